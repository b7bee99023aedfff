"""Probes and figures: /health, /ready, /version, /metrics."""

from __future__ import annotations

from dataclasses import asdict

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ensue import __version__
from ensue.api.error_handlers import body_of, draining, headers_of
from ensue.api.protocol import HealthObject, NotReadyObject, ReadyObject, SelfTestObject, VersionObject
from ensue.engine.base import Engine
from ensue.errors import EngineDead, Overloaded, RequestError
from ensue.guided.prover import ProofStats
from ensue.metrics import Metrics
from ensue.served_models import ServedModel, ServedModels


class HealthEndpoint:
    """What this process knows of itself and of the engines behind it."""

    def __init__(self, models: ServedModels, metrics: Metrics) -> None:
        self._models = models
        self._metrics = metrics
        metrics.add_source(self._observe)

    async def health(self, _request: Request) -> Response:
        """The process answers."""
        return _json(HealthObject())

    async def ready(self, _request: Request) -> Response:
        """Every engine makes progress; otherwise 503 with the phase and how long it has lasted."""
        for model in self._models.all():
            if not model.engine.is_ready:
                return _not_ready(model.engine)
        return _json(ReadyObject())

    async def version(self, _request: Request) -> Response:
        """The build, and what makes answers reproducible."""
        return _json(_version(self._models.default))

    async def metrics(self, _request: Request) -> Response:
        """Prometheus."""
        content, media_type = self._metrics.render()
        return Response(content, headers={"content-type": media_type})

    def _observe(self) -> None:
        for model in self._models.all():
            self._metrics.observe_engine(model.name, model.engine.stats(), model.engine.is_ready)
            if model.prover is not None:
                self._metrics.observe_prover(model.name, _counts(model.prover.stats))


def _counts(stats: ProofStats) -> dict[str, int]:
    return {
        "guided_cache_hits_total": stats.num_hits,
        "guided_cache_misses_total": stats.num_misses,
        "guided_refusals_total": stats.num_refused,
        "guided_prover_kills_total": stats.num_kills,
    }


def _not_ready(engine: Engine) -> Response:
    error = _reason(engine.phase)
    content = NotReadyObject(body_of(error).error, engine.phase, round(engine.phase_elapsed_s, 1))
    return _json(content, error.status, headers_of(error))


def _reason(phase: str) -> RequestError:
    match phase:
        case "dead":
            return EngineDead("The engine worker is being restarted.")
        case "draining":
            return draining()
        case "stalled":
            return Overloaded("The engine makes no progress.")
    return Overloaded("The model is loading.", code="model_loading")


def _version(model: ServedModel) -> VersionObject:
    try:
        info = model.engine.info
    except RequestError:  # not loaded yet
        return VersionObject(version=__version__, model=model.name)
    return VersionObject(
        version=__version__,
        model=model.name,
        fingerprint=info.fingerprint,
        row_independent=info.row_independent,
        self_test=None if info.self_test is None else SelfTestObject(**asdict(info.self_test)),
        dtype=info.dtype,
        device=info.device,
    )


def _json(value: msgspec.Struct, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status, headers, media_type="application/json")
