"""The arithmetic of the kernels, bit for bit."""

from __future__ import annotations

import os

import numba
import numpy as np
import pytest
import torch

from ensue.model import kernels
from ensue.model.kernels.jit import kernel, parallel_kernel
from ensue.model.kernels.vectors import (
    LANES,
    Array,
    add_lanes,
    exp2,
    fma,
    largest_lane,
    load,
    load_one,
    select_lanes,
    splat,
    store,
    store_one,
)


@kernel
def power(x: Array, out: Array) -> None:
    for i in range(0, x.size, LANES):
        store(out, i, exp2(load(x, i)))


@kernel
def combine(x: Array, y: Array, z: Array, fused: Array, parted: Array) -> None:
    store(fused, 0, fma(load(x, 0), load(y, 0), load(z, 0)))
    store(parted, 0, load(x, 0) * load(y, 0) + load(z, 0))


@kernel
def reduce(x: Array) -> tuple[float, float]:
    return add_lanes(load(x, 0)), largest_lane(load(x, 0))


@kernel
def choose(x: Array, first: int, end: int) -> None:
    store(x, 0, select_lanes(load(x, 0), first, end, splat(np.float32(-1.0))))


@kernel
def copy(x: Array, out: Array) -> None:
    whole = x.size - x.size % LANES
    for i in range(0, whole, LANES):
        store(out, i, load(x, i))
    for i in range(whole, x.size):
        store_one(out, i, load_one(x, i))


@parallel_kernel
def shrink(x: Array) -> None:
    for i in numba.prange(x.shape[0]):
        for j in range(x.shape[1]):
            x[i, j] = x[i, j] * np.float32(0.25)


def test_exp2_is_within_one_unit_of_the_last_bit() -> None:
    x = np.linspace(0, -126, 16000, dtype=np.float32)
    out = np.empty_like(x)
    power(x, out)
    exact = np.exp2(x.astype(np.float64))
    assert (np.abs(out - exact) <= np.spacing(exact.astype(np.float32))).all()


def test_exp2_of_the_extremes() -> None:
    x = np.array([0.0, -0.0, -126.0, -126.001, -1e30, -np.inf, np.nan, -1.0] * 2, np.float32)
    out = np.empty_like(x)
    power(x, out)
    np.testing.assert_array_equal(out[:8], np.array([1, 1, 2.0**-126, 0, 0, 0, np.nan, 0.5], np.float32))


def test_fma_rounds_once_and_nothing_else_is_fused() -> None:
    x = np.random.default_rng(0).standard_normal(LANES).astype(np.float32)
    fused, parted = np.empty_like(x), np.empty_like(x)
    combine(x, x, -(x * x), fused, parted)
    np.testing.assert_array_equal(parted, 0.0)
    np.testing.assert_array_equal(fused, (x.astype(np.float64) ** 2 - x * x).astype(np.float32))


def test_lanes_are_added_in_halves() -> None:
    x = np.random.default_rng(0).standard_normal(LANES).astype(np.float32)
    halves = x.copy()
    while halves.size > 1:
        halves = halves[: halves.size // 2] + halves[halves.size // 2 :]
    assert reduce(x) == (halves[0], x.max())


def test_lanes_outside_the_bounds_are_replaced() -> None:
    for first, end in [(0, 16), (3, 7), (-20, 2), (14, 90), (5, 5), (20, 30)]:
        x = np.arange(LANES, dtype=np.float32)
        expected = np.where((x >= first) & (x < end), x, -1)
        choose(x, first, end)
        np.testing.assert_array_equal(x, expected)


def test_bfloat16_rounds_as_torch_does() -> None:
    bits = np.random.default_rng(0).integers(0, 1 << 32, 40_000, np.uint32)
    halves = (np.arange(1 << 16, dtype=np.uint32) << 16) | 0x8000
    x = np.concatenate([bits, halves, halves + 1, halves - 1]).view(np.float32)[:-3]
    x = x[np.isfinite(x)]
    out = np.empty(x.size, np.uint16)
    copy(x, out)
    expected = torch.from_numpy(x).bfloat16().view(torch.uint16).numpy()
    np.testing.assert_array_equal(out, expected)


def test_bfloat16_keeps_what_is_not_finite() -> None:
    x = np.array([np.nan, -np.nan, np.inf, -np.inf] * 5, np.float32)
    x.view(np.uint32)[0] = 0x7F800001  # a NaN whose low bits alone say so
    out, back = np.empty(x.size, np.uint16), np.empty_like(x)
    copy(x, out)
    copy(out, back)
    np.testing.assert_array_equal(back, x)


def test_small_numbers_are_flushed_in_no_thread() -> None:
    x = np.full((64, LANES), 2.0**-126, np.float32)  # the least normal number
    shrink(x)
    assert (x == np.float32(2.0**-128)).all()
    y = torch.full((64, 4096), 2.0**-126) * 0.25  # torch's threads
    assert bool((y == 2.0**-128).all())


def test_threads_are_bounded_by_the_cores() -> None:
    before = kernels.num_threads()
    kernels.set_num_threads(1000)
    assert 1 <= kernels.num_threads() <= (os.cpu_count() or 1)
    kernels.set_num_threads(before)


def test_kernels_run_on_openmp_where_it_is_installed() -> None:
    pytest.importorskip("numba.np.ufunc.omppool", exc_type=ImportError)
    shrink(np.zeros((2, LANES), np.float32))
    assert numba.threading_layer() == "omp"  # type: ignore[attr-defined]
