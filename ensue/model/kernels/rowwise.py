"""Row-local operations of a decoder: a row of the result is made from that row of the input, always in the same way.

Rows are shared out among threads, never the elements of a row.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

from ensue.model.kernels.jit import kernel, parallel_kernel
from ensue.model.kernels.vectors import LANES, Array, add_lanes, fma, load, load_one, splat, store, store_one

_ONE = np.float32(1.0)
_ZERO = np.float32(0.0)


@kernel
def _inverse_rms(x: Array, offset: int, size: int, eps: np.float32) -> np.float32:
    """1 / sqrt(mean of squares + eps): squares added in 16 lanes, the lanes in pairs, then what fills no vector."""
    whole = size - size % LANES
    sums = splat(_ZERO)
    for i in range(offset, offset + whole, LANES):
        element = load(x, i)
        sums = fma(element, element, sums)
    total = add_lanes(sums)
    for i in range(offset + whole, offset + size):
        element = load_one(x, i)
        total = total + element * element
    return _ONE / np.float32(math.sqrt(total / np.float32(size) + eps))


@kernel
def _normalise(
    x: Array, offset: int, size: int, weight: Array, eps: np.float32, result: Array, result_offset: int
) -> None:
    inverse = _inverse_rms(x, offset, size, eps)
    whole = size - size % LANES
    for i in range(0, whole, LANES):
        store(result, result_offset + i, load(x, offset + i) * splat(inverse) * load(weight, i))
    for i in range(whole, size):
        store_one(result, result_offset + i, load_one(x, offset + i) * inverse * load_one(weight, i))


@kernel
def rms_norm_rows(x: Array, weight: Array, eps: np.float32, out: Array) -> None:
    """x, out [rows, size] and weight [size]: float32, or bfloat16 as uint16."""
    size = x.shape[1]
    for row in range(x.shape[0]):
        _normalise(x, row * size, size, weight, eps, out, row * size)


@parallel_kernel
def rms_norm_rows_parallel(x: Array, weight: Array, eps: np.float32, out: Array) -> None:
    """The same, for many rows."""
    size = x.shape[1]
    for row in numba.prange(x.shape[0]):
        _normalise(x, row * size, size, weight, eps, out, row * size)


@kernel
def _turn(x: Array, offset: int, table: Array, position: int, out: Array, target: int) -> None:
    """One head of one row; without fma, as the two products of a turn deserve the same rounding."""
    half = table.shape[2]
    whole = half - half % LANES
    cosines = position * 2 * half
    sines = cosines + half
    for i in range(0, whole, LANES):
        cos, sin = load(table, cosines + i), load(table, sines + i)
        first, second = load(x, offset + i), load(x, offset + half + i)
        store(out, target + i, first * cos - second * sin)
        store(out, target + half + i, second * cos + first * sin)
    for i in range(whole, half):
        cos, sin = load_one(table, cosines + i), load_one(table, sines + i)
        first, second = load_one(x, offset + i), load_one(x, offset + half + i)
        store_one(out, target + i, first * cos - second * sin)
        store_one(out, target + half + i, second * cos + first * sin)


@kernel
def _turn_row(
    x: Array, row: int, norm: Array, eps: np.float32, table: Array, position: int, normed: Array, out: Array
) -> None:
    heads, head_dim = x.shape[1], x.shape[2]
    for head in range(heads):
        offset = (row * heads + head) * head_dim
        if norm.size:
            _normalise(x, offset, head_dim, norm, eps, normed, 0)
            _turn(normed, 0, table, position, out, offset)
        else:
            _turn(x, offset, table, position, out, offset)


@kernel
def rope_rows(x: Array, norm: Array, eps: np.float32, positions: Array, table: Array, out: Array) -> None:
    """Turn each head by its row's position, after an RMSNorm where `norm` is not empty.

    Args:
        x: [rows, heads, head_dim], out alike: float32, or bfloat16 as uint16.
        norm: [head_dim] of the same type, or [0].
        positions: int32 [rows].
        table: float32 [positions, 2, head_dim / 2]: cosines and sines.
    """
    normed = np.empty(x.shape[2], np.float32)
    for row in range(x.shape[0]):
        _turn_row(x, row, norm, eps, table, positions[row], normed, out)


@parallel_kernel
def rope_rows_parallel(x: Array, norm: Array, eps: np.float32, positions: Array, table: Array, out: Array) -> None:
    """The same, for many rows."""
    for row in numba.prange(x.shape[0]):
        normed = np.empty(x.shape[2], np.float32)
        _turn_row(x, row, norm, eps, table, positions[row], normed, out)


def warm(element_type: npt.DTypeLike) -> None:
    """Compile for one type of elements, or load from the cache on disk."""
    x, weight, eps = np.zeros((1, 2), element_type), np.zeros(2, element_type), np.float32(1.0)
    heads, positions, table = np.zeros((1, 1, 2), element_type), np.zeros(1, np.int32), np.zeros((1, 2, 1), np.float32)
    for norm in (rms_norm_rows, rms_norm_rows_parallel):
        norm(x, weight, eps, x.copy())
    for rope in (rope_rows, rope_rows_parallel):
        rope(heads, weight, eps, positions, table, heads.copy())
