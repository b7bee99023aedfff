"""GET /v1/models and /v1/models/{id}."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ensue.api.context import context_of
from ensue.api.params import BY_DEFAULT_THE_MODELS
from ensue.api.protocol import ModelList, ModelObject
from ensue.errors import RequestError
from ensue.sampling_params import SamplingParams
from ensue.served_models import ServedModel, ServedModels
from ensue.service.prompt import context_length


class ModelsEndpoint:
    """What is served."""

    def __init__(self, models: ServedModels) -> None:
        self._models = models

    async def list(self, request: Request) -> Response:
        """All models that the caller may use, under each of their names."""
        models = self._models.usable(context_of(request.scope).rights)
        data = [_describe(model, name) for model in models for name in model.names]
        return _json(ModelList(data=data))

    async def get(self, request: Request) -> Response:
        """One model by name or alias."""
        name = request.path_params["model"]
        return _json(_describe(self._models.resolve(name, context_of(request.scope).rights), name))


def _describe(model: ServedModel, name: str) -> ModelObject:
    standard = SamplingParams()
    defaults = {field: getattr(standard, field) or 0 for field in BY_DEFAULT_THE_MODELS}
    return ModelObject(
        id=name,
        created=model.created,
        root=model.root,
        max_model_len=_max_model_len(model),
        default_sampling_params={**defaults, **model.sampling_defaults},
    )


def _max_model_len(model: ServedModel) -> int | None:
    try:
        return context_length(model.engine.info)
    except RequestError:  # not loaded yet
        return None


def _json(value: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
