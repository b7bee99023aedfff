"""The table of metrics, and counters that survive a restarted engine."""

from __future__ import annotations

import pytest

from ensue.metrics import TABLE, Metric, Metrics
from ensue.outputs import EngineStats, Usage


def value(metrics: Metrics, sample: str) -> float:
    lines = metrics.render()[0].decode().splitlines()
    return float(next(line.rsplit(" ", 1)[1] for line in lines if line.startswith(sample + " ")))


@pytest.mark.parametrize("metric", TABLE, ids=lambda metric: metric.name)
def test_every_row_of_the_table_is_shown(metric: Metric) -> None:
    text = Metrics().render()[0].decode()
    assert f"# HELP ensue_{metric.name} {metric.help}" in text
    assert f"# TYPE ensue_{metric.name} {metric.kind}" in text


def test_requests_tokens_and_times_are_counted() -> None:
    metrics = Metrics()
    metrics.request_ended("m", "completions", 200, 0.3)
    metrics.used("m", Usage(5, 7, 2))
    metrics.first_token("m", 0.02)
    assert value(metrics, 'ensue_requests_total{endpoint="completions",model="m",status="200"}') == 1
    assert value(metrics, 'ensue_completion_tokens_total{model="m"}') == 7
    assert value(metrics, 'ensue_time_to_first_token_seconds_bucket{le="0.025",model="m"}') == 1


def test_times_told_together_are_counted_as_if_told_singly() -> None:
    together, singly = Metrics(), Metrics()
    gaps = [0.001, 0.0011, 0.01, 0.3, 99.0]
    together.next_tokens("m", gaps)
    for gap in gaps:
        singly.next_tokens("m", [gap])
    for name, count in {'bucket{le="0.001",': 1, 'bucket{le="0.01",': 3, 'bucket{le="+Inf",': 5, "count{": 5}.items():
        sample = f'ensue_inter_token_seconds_{name}model="m"}}'
        assert value(together, sample) == value(singly, sample) == count
    assert value(together, 'ensue_inter_token_seconds_sum{model="m"}') == pytest.approx(sum(gaps))


def test_engine_counters_go_on_when_the_engine_starts_again() -> None:
    metrics = Metrics()
    for steps in (10, 25, 3, 4):
        metrics.observe_engine("m", EngineStats(num_steps=steps, num_running=2), is_ready=True)
    assert value(metrics, 'ensue_engine_steps_total{model="m"}') == 29
    assert value(metrics, 'ensue_running_sequences{model="m"}') == 2


def test_an_engine_that_started_again_and_took_more_steps_loses_no_tokens() -> None:
    metrics = Metrics()
    for steps, tokens in ((10, 1000), (12, 100)):
        metrics.observe_engine("m", EngineStats(num_steps=steps, num_prompt_tokens=tokens), is_ready=True)
    assert value(metrics, 'ensue_engine_prompt_tokens_total{model="m"}') == 1100


def test_an_engine_that_is_gone_is_shown_as_not_ready() -> None:
    metrics = Metrics()
    metrics.observe_engine("m", EngineStats(num_used_blocks=3, num_blocks=9), is_ready=True)
    assert value(metrics, 'ensue_kv_blocks_used{model="m"}') == 3
    metrics.observe_engine("m", EngineStats(), is_ready=False)
    assert value(metrics, 'ensue_engine_ready{model="m"}') == 0


def test_two_instances_share_nothing() -> None:
    one, two = Metrics(), Metrics()
    one.choice_ended("m", "stop")
    assert b'choices_total{finish_reason="stop"' not in two.render()[0]
