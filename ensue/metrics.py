"""Every metric, declared in one table. Labels are bounded: models are served names, never what a caller sent."""

from __future__ import annotations

import functools
from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from ensue import __version__
from ensue.outputs import EngineStats, Usage

Kind = Literal["counter", "gauge", "histogram"]


Combine = Literal["sum", "max", "own"]  # what several API processes know of a metric, as one number


class Metric(NamedTuple):
    """One row of the table; a name is shown as ensue_<name>."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ("model",)
    buckets: tuple[float, ...] = ()
    combine: Combine | None = None  # None: the sum, but of gauges the one of the process that is asked

    @property
    def combining(self) -> Combine:
        return self.combine or ("own" if self.kind == "gauge" else "sum")


_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_GAP_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)

TABLE = (
    Metric("build_info", "gauge", "1, with the version as a label", ("version",)),
    Metric("requests_total", "counter", "Requests answered, by HTTP status", ("model", "endpoint", "status")),
    Metric("choices_total", "counter", "Choices returned, by finish reason", ("model", "finish_reason")),
    Metric("prompt_tokens_total", "counter", "Prompt tokens billed"),
    Metric("completion_tokens_total", "counter", "Generated tokens billed"),
    Metric("cached_tokens_total", "counter", "Prompt tokens found in the prefix cache"),
    Metric("time_to_first_token_seconds", "histogram", "From a request's arrival to its first token", buckets=_SECONDS),
    Metric(
        "inter_token_seconds", "histogram", "Between a choice's tokens, as they reach the API", buckets=_GAP_SECONDS
    ),
    Metric("request_seconds", "histogram", "From a request's arrival to its last byte", buckets=_SECONDS),
    Metric("limit_refusals_total", "counter", "Requests refused by a limit of their key or address", ("limit",)),
    Metric("guided_cache_hits_total", "counter", "Constraints that were proved before, or are being proved"),
    Metric("guided_cache_misses_total", "counter", "Constraints that had to be proved"),
    Metric("guided_refusals_total", "counter", "Proofs that ended with a refusal"),
    Metric("guided_prover_kills_total", "counter", "Times that the prover was killed at a constraint"),
    Metric("ledger_rows_total", "counter", "Requests written to the ledger", ()),
    Metric("ledger_batches_total", "counter", "Transactions of the ledger that were committed", ()),
    Metric("ledger_failures_total", "counter", "Transactions of the ledger that failed, to be tried again", ()),
    Metric("ledger_pending", "gauge", "Changes that are yet to be written to the ledger", (), combine="sum"),
    Metric("ledger_lag_seconds", "gauge", "Age of the oldest of these changes", (), combine="max"),
    Metric("engine_ready", "gauge", "1 while the engine makes progress"),
    Metric("running_sequences", "gauge", "Sequences that hold a slot of the engine"),
    Metric("waiting_sequences", "gauge", "Sequences that wait for a slot"),
    Metric("kv_blocks_used", "gauge", "Blocks of the key/value cache in use"),
    Metric("kv_blocks", "gauge", "Blocks of the key/value cache"),
    # What all API processes see of the one engine: the most is known to who has watched it longest.
    Metric("engine_steps_total", "counter", "Steps of the engine", combine="max"),
    Metric("preemptions_total", "counter", "Sequences pushed out to be computed again", combine="max"),
    Metric("engine_prompt_tokens_total", "counter", "Prompt tokens computed, recomputation included", combine="max"),
    Metric("engine_generation_tokens_total", "counter", "Tokens chosen by the engine", combine="max"),
)


class _Histogram(Histogram):
    """One that takes many values at once: what costs is done once a bucket, not once a value."""

    def observe_all(self, values: Sequence[float]) -> None:
        for bucket, num_values in Counts(map(functools.partial(bisect_left, self._upper_bounds), values)).items():
            self._buckets[bucket].inc(num_values)
        self._sum.inc(sum(values))


_Sample = tuple[str, dict[str, str], float]  # name, labels, value
_Key = tuple[str, tuple[tuple[str, str], ...]]
Snapshot = dict[str, list[_Sample]]  # by the metric's name without _total
_COMBINING = {f"ensue_{metric.name.removesuffix('_total')}": metric.combining for metric in TABLE}
_GAUGES = {f"ensue_{metric.name}" for metric in TABLE if metric.kind == "gauge"}
_CLASSES: dict[Kind, Any] = {"counter": Counter, "gauge": Gauge, "histogram": _Histogram}


class Metrics:
    """The metrics of one API process; no globals, so that tests and processes don't share any."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._metrics = {metric.name: self._make(metric) for metric in TABLE}
        self._child = functools.cache(self._find_child)
        self._prover_totals: dict[str, dict[str, int]] = {}
        self._engine_totals: dict[str, EngineStats] = {}
        self._ledger_totals: dict[str, int] = {}
        self._sources: list[Callable[[], None]] = []
        self._read_others: Callable[[], Sequence[Snapshot]] = tuple
        self._metrics["build_info"].labels(__version__).set(1)

    def _make(self, metric: Metric) -> Any:
        more = {"buckets": metric.buckets} if metric.kind == "histogram" else {}
        return _CLASSES[metric.kind](
            metric.name, metric.help, metric.labels, namespace="ensue", registry=self._registry, **more
        )

    def _find_child(self, name: str, *labels: str) -> Any:
        return self._metrics[name].labels(*labels)

    def request_ended(self, model: str, endpoint: str, status: int, seconds: float) -> None:
        """Count an answered request; `seconds` from its arrival to its last byte."""
        self._child("requests_total", model, endpoint, str(status)).inc()
        self._child("request_seconds", model).observe(seconds)

    def limit_refused(self, limit: str) -> None:
        """Count a request that a limit refused, by the limit's name."""
        self._child("limit_refusals_total", limit).inc()

    def choice_ended(self, model: str, finish_reason: str) -> None:
        """Count a choice by why it ended."""
        self._child("choices_total", model, finish_reason).inc()

    def used(self, model: str, usage: Usage) -> None:
        """Count the tokens of a request."""
        self._child("prompt_tokens_total", model).inc(usage.prompt_tokens)
        self._child("completion_tokens_total", model).inc(usage.completion_tokens)
        self._child("cached_tokens_total", model).inc(usage.cached_tokens)

    def first_token(self, model: str, seconds: float) -> None:
        """Record the time from a request's arrival to its first token."""
        self._child("time_to_first_token_seconds", model).observe(seconds)

    def next_tokens(self, model: str, seconds: Sequence[float]) -> None:
        """Record times between two tokens of a choice."""
        self._child("inter_token_seconds", model).observe_all(seconds)

    def observe_engine(self, model: str, stats: EngineStats, is_ready: bool) -> None:
        """Take over what the engine says of itself; called before the metrics are shown."""
        gauges = {
            "engine_ready": is_ready,
            "running_sequences": stats.num_running,
            "waiting_sequences": stats.num_waiting,
            "kv_blocks_used": stats.num_used_blocks,
            "kv_blocks": stats.num_blocks,
        }
        for name, value in gauges.items():
            self._metrics[name].labels(model).set(value)
        self._count_engine(model, stats)

    def observe_prover(self, model: str, totals: Mapping[str, int]) -> None:
        """Take over what the prover counted.

        Args:
            totals: since the start, by the metric's name.
        """
        before = self._prover_totals.setdefault(model, {})
        for name, total in totals.items():
            self._metrics[name].labels(model).inc(total - before.get(name, 0))
        before.update(totals)

    def observe_ledger(self, totals: Mapping[str, int], *, num_pending: int, lag_s: float) -> None:
        """Take over what the ledger counted.

        Args:
            totals: since the start, by the metric's name.
        """
        for name, total in totals.items():
            self._metrics[name].inc(total - self._ledger_totals.get(name, 0))
        self._ledger_totals.update(totals)
        self._metrics["ledger_pending"].set(num_pending)
        self._metrics["ledger_lag_seconds"].set(lag_s)

    def add_source(self, observe: Callable[[], None]) -> None:
        """Have this called before the metrics are shown."""
        self._sources.append(observe)

    def _count_engine(self, model: str, stats: EngineStats) -> None:
        """Add what is new; a restarted worker counts from zero again, our counters go on."""
        before = self._engine_totals.get(model, EngineStats())
        totals = {
            "engine_steps_total": (stats.num_steps, before.num_steps),
            "preemptions_total": (stats.num_preemptions, before.num_preemptions),
            "engine_prompt_tokens_total": (stats.num_prompt_tokens, before.num_prompt_tokens),
            "engine_generation_tokens_total": (stats.num_generation_tokens, before.num_generation_tokens),
        }
        for name, (now, then) in totals.items():
            self._metrics[name].labels(model).inc(now - then if now >= then else now)
        self._engine_totals[model] = stats

    def add_others(self, read: Callable[[], Sequence[Snapshot]]) -> None:
        """Show one number for this process and those whose snapshots are read whenever the metrics are shown."""
        self._read_others = read

    def snapshot(self) -> Snapshot:
        """What this process has counted."""
        for observe in self._sources:
            observe()
        return {
            family.name: [(sample.name, dict(sample.labels), sample.value) for sample in family.samples]
            for family in self._registry.collect()
        }

    def render(self) -> tuple[bytes, str]:
        """The exposition text and its content type."""
        snapshot = together(self.snapshot(), self._read_others())
        families = list(self._registry.collect())
        for family in families:
            family.samples = [Sample(*sample) for sample in snapshot[family.name]]
        return generate_latest(_Collected(families)), CONTENT_TYPE_LATEST


class _Collected(Collector):
    """Metrics as they were collected, to be shown."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        return self._families


def together(own: Snapshot, others: Iterable[Snapshot]) -> Snapshot:
    """One number for each that several processes have counted; `own` is the one of the process that is asked."""
    values = {family: {_key(sample): sample[2] for sample in samples} for family, samples in own.items()}
    for other in others:
        for family, samples in other.items():
            if family in values and _COMBINING[family] != "own":
                _add(values[family], samples, sum if _COMBINING[family] == "sum" else max)
    return {
        family: [(name, dict(labels), value) for (name, labels), value in numbers.items()]
        for family, numbers in values.items()
    }


def without_gauges(snapshot: Snapshot) -> Snapshot:
    """What a process that has ended leaves behind."""
    return {family: samples for family, samples in snapshot.items() if family not in _GAUGES}


def _add(values: dict[_Key, float], samples: Iterable[_Sample], combine: Callable[[Sequence[float]], float]) -> None:
    for sample in samples:
        key, value = _key(sample), sample[2]
        how = min if key[0].endswith("_created") else combine
        values[key] = how((values[key], value)) if key in values else value


def _key(sample: _Sample) -> _Key:
    return sample[0], tuple(sample[1].items())
