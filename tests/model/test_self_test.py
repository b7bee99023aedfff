"""The start-up self-test finds the rows that feel their neighbours."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ensue.model import linear, self_test
from ensue.model.linear import Linear, LinearPath, RowRule

NEVER = float("inf")
ROW = torch.arange(8.0)


def wrong_where(is_wrong: Callable[[int, int], bool]) -> self_test.Compute:
    """A layer whose result has another last bit for (row count, place)."""

    def compute(x: Tensor) -> Tensor:
        wrong = torch.tensor([[is_wrong(len(x), place)] for place in range(len(x))])
        return torch.where(wrong, torch.nextafter(x, x + 1), x)

    return compute


@pytest.mark.parametrize(
    ("is_wrong", "expected"),
    [
        (lambda count, place: False, RowRule(4, 257)),
        (lambda count, place: count == 1, RowRule(4, 257)),  # 1 to 3 rows are padded anyway
        (lambda count, place: count == 5 and place == 4, RowRule(6, 257)),
        (lambda count, place: count <= 8, RowRule(13, 257)),
        (lambda count, place: count > 16, RowRule(16, 16)),  # agrees with nothing larger
        (lambda count, place: count == 257 and place == 256, RowRule(16, 16)),
        (lambda count, place: count > 8 and place % 4 == 3, RowRule(8, 8)),
        (lambda count, place: place > 0, RowRule(1, 1)),  # a row alone has no neighbours
    ],
)
def test_the_smallest_safe_row_count_is_found(is_wrong: Callable[[int, int], bool], expected: RowRule) -> None:
    assert self_test.find_rule(wrong_where(is_wrong), ROW, NEVER) == expected


def test_a_sign_of_zero_counts_as_a_difference() -> None:
    def compute(x: Tensor) -> Tensor:
        return torch.full_like(x, -0.0 if len(x) == 6 else 0.0)

    assert self_test.find_rule(compute, ROW, NEVER) == RowRule(7, 257)


def test_what_there_was_no_time_for_is_not_allowed() -> None:
    rule = self_test.find_rule(lambda x: x, ROW, deadline=time.perf_counter())
    assert rule == RowRule(4, self_test.ALWAYS_TRIED)


def test_layers_of_one_shape_are_tested_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tested: list[tuple[int, int]] = []

    def test(layer: Linear, deadline: float) -> RowRule:
        tested.append((layer.out_features, layer.in_features))
        return RowRule(6, 64) if layer.out_features == 8 else RowRule(4, 257)

    monkeypatch.setattr(self_test, "_test", test)
    layers = [Linear(torch.zeros(size, 4), None, LinearPath.PLAIN) for size in (8, 4, 8)]
    found = self_test.self_test(layers)
    assert tested == [(4, 4), (8, 4)]
    assert [layer.rows.min_rows for layer in layers] == [6, 4, 6]
    assert (found.min_rows, found.row_block, found.row_independent, found.path) == (6, None, True, "plain")


def test_plain_layers_get_fixed_blocks() -> None:
    layer = Linear(torch.zeros(8, 4), torch.zeros(8), LinearPath.PLAIN)
    found = self_test.self_test([layer])
    assert found.row_block == found.min_rows == layer.rows.min_rows == layer.rows.max_rows


@pytest.mark.skipif(not linear._can_pack(torch.float32), reason="oneDNN cannot pack here")
@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("in_features", [64, 33])
def test_packed_layers_are_independent_from_few_rows_on(has_bias: bool, in_features: int) -> None:
    bias = torch.zeros(100) if has_bias else None
    found = self_test.self_test([Linear(torch.zeros(100, in_features), bias, LinearPath.FP32_PACKED)])
    assert 4 <= found.min_rows <= 16


def test_the_data_of_the_test_cancels() -> None:
    compute, row = self_test._cancelling(Linear(torch.zeros(96, 512), None, LinearPath.PLAIN, is_fused=False))
    assert compute(row[None]).abs().max() < 1e-3
    assert compute(row.abs()[None]).abs().max() > 1
