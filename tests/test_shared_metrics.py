"""Several processes' metrics as one, through files."""

from __future__ import annotations

from pathlib import Path

from ensue.metrics import Metrics
from ensue.outputs import EngineStats, Usage
from ensue.shared_metrics import SharedMetrics
from tests.test_metrics import value


def process(folder: Path, index: int) -> tuple[Metrics, SharedMetrics]:
    metrics = Metrics()
    return metrics, SharedMetrics(folder, index, metrics)


def test_counters_and_times_are_added_up(tmp_path: Path) -> None:
    (one, shared), (two, _) = process(tmp_path, 0), process(tmp_path, 1)
    for metrics in (one, two):
        metrics.used("m", Usage(1, 2))
        metrics.first_token("m", 0.02)
    one.choice_ended("m", "stop")
    shared.write()
    assert value(two, 'ensue_completion_tokens_total{model="m"}') == 4
    assert value(two, 'ensue_time_to_first_token_seconds_bucket{le="0.025",model="m"}') == 2
    assert value(two, 'ensue_choices_total{finish_reason="stop",model="m"}') == 1  # that only the other knows
    assert value(one, 'ensue_completion_tokens_total{model="m"}') == 2  # nothing is there to add


def test_what_all_know_of_the_engine_is_not_added_up(tmp_path: Path) -> None:
    (one, shared), (two, _) = process(tmp_path, 0), process(tmp_path, 1)
    one.observe_engine("m", EngineStats(num_steps=50, num_running=3), is_ready=True)
    two.observe_engine("m", EngineStats(num_steps=40, num_running=2), is_ready=True)
    shared.write()
    assert value(two, 'ensue_engine_steps_total{model="m"}') == 50
    assert value(two, 'ensue_running_sequences{model="m"}') == 2


def test_a_successor_goes_on_from_the_counters_of_the_dead_but_not_from_its_gauges(tmp_path: Path) -> None:
    first, shared = process(tmp_path, 0)
    first.used("m", Usage(1, 2))
    first.observe_ledger({}, num_pending=5, lag_s=9.0)
    shared.write()
    second, shared = process(tmp_path, 0)
    second.used("m", Usage(1, 2))
    assert value(second, 'ensue_completion_tokens_total{model="m"}') == 4
    assert value(second, "ensue_ledger_pending") == value(second, "ensue_ledger_lag_seconds") == 0
    shared.write()
    third, _ = process(tmp_path, 0)
    assert value(third, 'ensue_completion_tokens_total{model="m"}') == 4


def test_what_waits_in_each_process_is_added_up_and_the_longest_wait_is_shown(tmp_path: Path) -> None:
    (one, shared), (two, _) = process(tmp_path, 0), process(tmp_path, 1)
    one.observe_ledger({}, num_pending=2, lag_s=9.0)
    two.observe_ledger({}, num_pending=1, lag_s=3.0)
    shared.write()
    assert (value(two, "ensue_ledger_pending"), value(two, "ensue_ledger_lag_seconds")) == (3, 9.0)
