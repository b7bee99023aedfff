"""The start-up self-test of the linear layers: from how many rows on does a row's result not depend on the others?

Matrix kernels choose the order of their sums by the number of rows and a row's place among them. Random data hides
that behind the rounding of the result. So the data cancels: the second half of each row negates the first, under equal
weights, and what is left is nothing but the rounding errors of the sum, in the order in which it was taken.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from ensue.model.linear import Linear, LinearPath, RowRule
from ensue.outputs import SelfTest

ROW_COUNTS = (1, 2, 3, 4, 5, 6, 7, 8, 13, 16, 17, 31, 64, 257)
FEWEST_ROWS = 4  # the least padding: 1 to 3 rows cost more than 4
MOST_PADDING = 16  # padding to more than this is dearer than fixed blocks
ALWAYS_TRIED = 64  # row counts up to this one are tried whatever they cost
BLOCKS = (16, 8, 4, 2, 1)  # fixed row counts, where nothing else holds; one row alone has no neighbours
CUDA_BLOCKS = (64, *BLOCKS)
_PATTERN = 64  # different weights for as many outputs, then the same again
_MOST_WEIGHTS = 1 << 26  # of a tested layer; a larger one (a head) is tested with fewer outputs
_TINY = 2.0**-20  # of what is added to a result, so that the rounding errors remain

Compute = Callable[[Tensor], Tensor]  # [rows, in] → [rows, anything]


def self_test(linears: Iterable[Linear], budget_s: float = 1.0) -> SelfTest:
    """Find the row rule of every linear and set it (`Linear.rows`).

    Args:
        linears: all layers in use, the head included; equal shapes are tested once.
        budget_s: after this, no larger row counts are tried; calls with more rows are split into tried counts.
    """
    start = time.perf_counter()
    shapes: dict[tuple[object, ...], list[Linear]] = {}
    for linear in linears:
        shapes.setdefault(_shape(linear), []).append(linear)
    by_size = sorted(shapes.values(), key=lambda alike: alike[0].out_features * alike[0].in_features)
    for i, alike in enumerate(by_size):
        left_s = start + budget_s - time.perf_counter()
        rule = _test(alike[0], time.perf_counter() + left_s / (len(by_size) - i))
        for linear in alike:
            linear.rows = rule
    return _summary([alike[0] for alike in by_size], time.perf_counter() - start)


def find_rule(compute: Compute, row: Tensor, deadline: float) -> RowRule:
    """Compute the same row [in] at every place of many row counts, and compare bits.

    Row counts above `ALWAYS_TRIED` are left out once time.perf_counter() has passed the deadline.
    """
    results: dict[int, Tensor | None] = {}
    for count in ROW_COUNTS:
        if count > ALWAYS_TRIED and time.perf_counter() > deadline:
            break
        results[count] = _result(compute, row, count)
    for fewest in (count for count in results if FEWEST_ROWS <= count <= MOST_PADDING):
        if _all_equal([result for count, result in results.items() if count >= fewest]):
            return RowRule(fewest, max(results))
    return find_block(compute, row, BLOCKS)


def find_block(compute: Compute, row: Tensor, blocks: Sequence[int]) -> RowRule:
    """The first of `blocks` in which the row's result doesn't depend on its place."""
    block = next(count for count in blocks if _result(compute, row, count) is not None)
    return RowRule(block, block)


def _result(compute: Compute, row: Tensor, count: int) -> Tensor | None:
    """The bits of the row's result in that many rows; None if they depend on the place."""
    bits = _bits(compute(row.expand(count, -1).contiguous()))
    return bits[0].clone() if bool((bits == bits[0]).all()) else None


def _all_equal(results: list[Tensor | None]) -> bool:
    first = results[0]
    return first is not None and all(result is not None and torch.equal(result, first) for result in results)


def _bits(x: Tensor) -> Tensor:
    return x.view(torch.int16 if x.dtype.itemsize == 2 else torch.int32)  # 0 and −0 differ


def _shape(linear: Linear) -> tuple[object, ...]:
    return (linear.out_features, linear.in_features, linear.has_bias, linear.is_fused, linear.dtype, linear.path)


def _test(linear: Linear, deadline: float) -> RowRule:
    compute, row = _cancelling(linear)
    if linear.path is not LinearPath.PLAIN:
        return find_rule(compute, row, deadline)
    # torch's own shares rows out by rules we don't know: 11 may differ where 10 and 12 agree
    return find_block(compute, row, BLOCKS if linear.device.type == "cpu" else CUDA_BLOCKS)


def _cancelling(linear: Linear) -> tuple[Compute, Tensor]:
    """A layer of the same shape, and a row [in] that its weights cancel."""
    noise = torch.Generator().manual_seed(0)

    def make(*size: int) -> Tensor:
        return torch.randn(size, generator=noise).to(linear.device, linear.dtype)

    half, odd = divmod(linear.in_features, 2)
    num_outputs = min(linear.out_features, _MOST_WEIGHTS // linear.in_features)
    pattern, half_row = make(min(_PATTERN, num_outputs), half), make(half)
    unpaired = torch.zeros_like(pattern[:, :odd])
    times = -(-num_outputs // len(pattern))
    weight = torch.cat((pattern, pattern, unpaired), 1).repeat(times, 1)[:num_outputs]
    small = make(num_outputs) * _TINY
    probe = Linear(weight, small if linear.has_bias else None, linear.path, is_fused=linear.is_fused)
    probe.rows = RowRule(1, max(ROW_COUNTS))
    return _every_step(probe, small), torch.cat((half_row, -half_row, unpaired[0]))


def _every_step(probe: Linear, small: Tensor) -> Compute:
    """The layer's result with each fused step, side by side."""
    if not probe.is_fused:
        return probe

    def compute(x: Tensor) -> Tensor:
        other = small.expand(x.shape[0], -1).contiguous()
        return torch.cat((probe(x), probe(x, activation="silu"), probe(x, multiply=other), probe(x, add=other)), dim=1)

    return compute


def _summary(linears: list[Linear], elapsed_s: float) -> SelfTest:
    blocks = [linear.rows.min_rows for linear in linears if linear.rows.min_rows == linear.rows.max_rows]
    return SelfTest(
        path=str(linears[0].path),
        row_independent=True,
        min_rows=max(linear.rows.min_rows for linear in linears),
        row_block=max(blocks) if blocks else None,
        elapsed_s=elapsed_s,
    )
