"""Attention over a paged cache: one arithmetic for decode, prompt chunks and every tiling of them.

The result for a query is a function of the query, its position and the keys and values up to it, to the last bit. Each
number is made by one chain of operations in a fixed order; vectors run across independent numbers only:

- a score is a chain of fma over head_dim, vectors run over the positions of a block;
- a weight is 2^(score − top), by our own `exp2`; a block's weights are added in 16 lanes;
- an output is a chain of fma over the positions of a block, vectors run over head_dim.

Blocks are whole: positions that a query doesn't see get weight 0 by selection, and slots that no query of the tile sees
are read as 0, so whatever an earlier owner left there, NaN included, has no effect. From block to block goes the usual
online softmax (Milakov, Gimelshein 2018), within segments of 512 absolute positions; segments are merged left to right,
so they could also be computed apart.

Knows arrays: keys [blocks, kv_heads, head_dim, block_size], values [blocks, kv_heads, block_size, head_dim]; head_dim
and block_size are whole vectors.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from ensue.model.kernels.jit import kernel, parallel_kernel
from ensue.model.kernels.vectors import (
    LANES,
    Array,
    add_lanes,
    exp2,
    first_lane,
    fma,
    larger,
    largest_lane,
    load,
    load_one,
    select_lanes,
    splat,
    store,
)

SEGMENT = 512  # positions per online-softmax state
TILE_ROWS = 16  # query positions that share the conversion of a block

_NOTHING = np.float32(-np.inf)
_ZERO = np.float32(0.0)


class _Softmax(NamedTuple):
    """Running softmax of each query of a tile."""

    top: Array  # float32 [queries]: largest score so far, as a power of two
    mass: Array  # float32 [queries]: Σ 2^(score − top); 0 exactly where nothing was seen
    output: Array  # float32 [queries, head_dim]: Σ 2^(score − top) · value


class _Scratch(NamedTuple):
    """What one thread needs for a tile."""

    queries: Array  # float32 [queries, head_dim], scaled
    keys: Array  # float32 [head_dim, block_size]
    values: Array  # float32 [block_size, head_dim]
    scores: Array  # float32 [queries, block_size], then weights
    segment: _Softmax
    total: _Softmax


@kernel
def _new_softmax(queries: int, head_dim: int) -> _Softmax:
    top, mass = np.empty(queries, np.float32), np.empty(queries, np.float32)
    return _Softmax(top, mass, np.empty((queries, head_dim), np.float32))


@kernel
def _new_scratch(queries: int, head_dim: int, block_size: int) -> _Scratch:
    return _Scratch(
        np.empty((queries, head_dim), np.float32),
        np.empty((head_dim, block_size), np.float32),
        np.empty((block_size, head_dim), np.float32),
        np.empty((queries, block_size), np.float32),
        _new_softmax(queries, head_dim),
        _new_softmax(queries, head_dim),
    )


@kernel
def _clear(state: _Softmax, queries: int) -> None:
    state.top[:queries] = _NOTHING
    state.mass[:queries] = _ZERO
    state.output[:queries] = _ZERO


@kernel
def _load_queries(q: Array, start: int, end: int, kv_head: int, group: int, scale: np.float32, queries: Array) -> None:
    heads, head_dim = q.shape[1], q.shape[2]
    for row in range(start, end):
        for member in range(group):
            source = (row * heads + kv_head * group + member) * head_dim
            target = ((row - start) * group + member) * head_dim
            for i in range(0, head_dim, LANES):
                store(queries, target + i, load(q, source + i) * splat(scale))


@kernel
def _load_block(keys: Array, values: Array, block: int, kv_head: int, num_live: int, scratch: _Scratch) -> None:
    """Convert one block of one head; slots from `num_live` on become 0."""
    head_dim, block_size = keys.shape[2], keys.shape[3]
    offset = (block * keys.shape[1] + kv_head) * head_dim * block_size
    for slot in range(0, block_size, LANES):
        for i in range(slot, head_dim * block_size, block_size):
            store(scratch.keys, i, select_lanes(load(keys, offset + i), 0, num_live - slot, splat(_ZERO)))
    for i in range(0, num_live * head_dim, LANES):
        store(scratch.values, i, load(values, offset + i))
    scratch.values[num_live:] = _ZERO


@kernel
def _add_products(factors: Array, rows: Array, results: Array, first: int, last: int) -> None:
    """results[n, j] += Σ_i factors[n, i] · rows[i, j] for n = first and last, which may be the same.

    For each j that is a chain of fma in the order of i.
    """
    width = rows.shape[1]
    a, b = first * factors.shape[1], last * factors.shape[1]
    wide = width - width % (4 * LANES)
    for j in range(0, wide, 4 * LANES):
        at_x, at_y = first * width + j, last * width + j
        x0, x1 = load(results, at_x), load(results, at_x + LANES)
        x2, x3 = load(results, at_x + 2 * LANES), load(results, at_x + 3 * LANES)
        y0, y1 = load(results, at_y), load(results, at_y + LANES)
        y2, y3 = load(results, at_y + 2 * LANES), load(results, at_y + 3 * LANES)
        for i in range(rows.shape[0]):
            at = i * width + j
            r0, r1 = load(rows, at), load(rows, at + LANES)
            r2, r3 = load(rows, at + 2 * LANES), load(rows, at + 3 * LANES)
            x, y = splat(load_one(factors, a + i)), splat(load_one(factors, b + i))
            x0, x1, x2, x3 = fma(x, r0, x0), fma(x, r1, x1), fma(x, r2, x2), fma(x, r3, x3)
            y0, y1, y2, y3 = fma(y, r0, y0), fma(y, r1, y1), fma(y, r2, y2), fma(y, r3, y3)
        store(results, at_x, x0)
        store(results, at_x + LANES, x1)
        store(results, at_x + 2 * LANES, x2)
        store(results, at_x + 3 * LANES, x3)
        store(results, at_y, y0)
        store(results, at_y + LANES, y1)
        store(results, at_y + 2 * LANES, y2)
        store(results, at_y + 3 * LANES, y3)
    for j in range(wide, width, LANES):
        x0, y0 = load(results, first * width + j), load(results, last * width + j)
        for i in range(rows.shape[0]):
            r0 = load(rows, i * width + j)
            x, y = splat(load_one(factors, a + i)), splat(load_one(factors, b + i))
            x0, y0 = fma(x, r0, x0), fma(y, r0, y0)
        store(results, first * width + j, x0)
        store(results, last * width + j, y0)


@kernel
def _weigh(query: int, first: int, end: int, scratch: _Scratch) -> None:
    """Turn a query's scores into weights, those outside slots [first, end) into 0, and its softmax to the new top."""
    scores, state = scratch.scores, scratch.segment
    block_size = scores.shape[1]
    row = query * block_size
    old_top = splat(state.top[query])
    tops = old_top
    for slot in range(0, block_size, LANES):
        seen = select_lanes(load(scores, row + slot), first - slot, end - slot, splat(_NOTHING))
        store(scores, row + slot, seen)
        tops = larger(seen, tops)
    top = splat(largest_lane(tops))
    sums = splat(_ZERO)
    for slot in range(0, block_size, LANES):
        weights = exp2(load(scores, row + slot) - top)
        store(scores, row + slot, weights)
        sums = sums + weights
    shrink = exp2(old_top - top)
    mass = fma(splat(state.mass[query]), shrink, splat(add_lanes(sums)))
    state.top[query] = first_lane(top)
    state.mass[query] = first_lane(mass)
    width = state.output.shape[1]
    for i in range(query * width, (query + 1) * width, LANES):
        store(state.output, i, load(state.output, i) * shrink)


@kernel
def _see_block(
    positions: Array, start: int, end: int, group: int, block_start: int, window: int, scratch: _Scratch
) -> None:
    """The rows [start, end) of the tile that see something of the loaded block take it in."""
    block_size = scratch.keys.shape[1]
    first_row, end_row = start, end  # those that see: adjacent, as positions ascend
    while positions[first_row] < block_start:
        first_row += 1
    while positions[end_row - 1] - window + 1 >= block_start + block_size:
        end_row -= 1
    first_query, end_query = (first_row - start) * group, (end_row - start) * group
    scratch.scores[first_query:end_query] = _ZERO
    for query in range(first_query, end_query, 2):
        _add_products(scratch.queries, scratch.keys, scratch.scores, query, min(query + 1, end_query - 1))
    for row in range(first_row, end_row):
        first = positions[row] - window + 1 - block_start
        for member in range(group):
            _weigh((row - start) * group + member, first, positions[row] + 1 - block_start, scratch)
    for query in range(first_query, end_query, 2):
        last = min(query + 1, end_query - 1)
        _add_products(scratch.scores, scratch.values, scratch.segment.output, query, last)


@kernel
def _merge(total: _Softmax, segment: _Softmax, queries: int) -> None:
    """Add the segment's softmax to that of the segments before it; a query that saw nothing is left alone."""
    width = total.output.shape[1]
    for query in range(queries):
        if segment.mass[query] == _ZERO:
            continue
        old_top, new_top = splat(total.top[query]), splat(segment.top[query])
        top = larger(new_top, old_top)
        old_shrink, new_shrink = exp2(old_top - top), exp2(new_top - top)
        mass = fma(splat(total.mass[query]), old_shrink, splat(segment.mass[query]) * new_shrink)
        total.top[query] = first_lane(top)
        total.mass[query] = first_lane(mass)
        for i in range(query * width, (query + 1) * width, LANES):
            store(total.output, i, fma(load(total.output, i), old_shrink, load(segment.output, i) * new_shrink))


@kernel
def _store_outputs(total: _Softmax, start: int, end: int, kv_head: int, group: int, out: Array) -> None:
    heads, head_dim = out.shape[1], out.shape[2]
    for row in range(start, end):
        for member in range(group):
            query = (row - start) * group + member
            mass = splat(total.mass[query])
            target = (row * heads + kv_head * group + member) * head_dim
            # + 0 makes −0 to 0: which of the two a chain leaves depends on what stands in the slots of weight 0
            for i in range(0, head_dim, LANES):
                store(out, target + i, load(total.output, query * head_dim + i) / mass + splat(_ZERO))


@kernel
def _attend_tile(
    q: Array,
    keys: Array,
    values: Array,
    positions: Array,
    block_table: Array,
    start: int,
    end: int,
    kv_head: int,
    window: int,
    scale: np.float32,
    scratch: _Scratch,
    out: Array,
) -> None:
    """Rows [start, end) of one sequence, the heads that share one kv head."""
    group, block_size = q.shape[1] // keys.shape[1], keys.shape[3]
    queries = (end - start) * group
    _load_queries(q, start, end, kv_head, group, scale, scratch.queries)
    _clear(scratch.segment, queries)
    _clear(scratch.total, queries)
    length = positions[end - 1] + 1
    first_block = max(0, positions[start] - window + 1) // block_size
    for index in range(first_block, (length + block_size - 1) // block_size):
        block_start = index * block_size
        if block_start % SEGMENT == 0 and index > first_block:
            _merge(scratch.total, scratch.segment, queries)
            _clear(scratch.segment, queries)
        _load_block(keys, values, block_table[index], kv_head, min(block_size, length - block_start), scratch)
        _see_block(positions, start, end, group, block_start, window, scratch)
    _merge(scratch.total, scratch.segment, queries)
    _store_outputs(scratch.total, start, end, kv_head, group, out)


@parallel_kernel
def attend(
    q: Array,
    keys: Array,
    values: Array,
    positions: Array,
    block_tables: Array,
    tiles: Array,
    num_workers: int,
    window: int,
    scale: np.float32,
    out: Array,
) -> None:
    """Attention of every tile.

    Args:
        q: [rows, heads, head_dim], out alike: float32, or bfloat16 as uint16, as are keys and values.
        positions: int32 [rows].
        block_tables: int32 [sequences, blocks].
        tiles: int32 [tiles, 4]: sequence, first row, end row, kv head; longest first. Bounds are not checked here.
        num_workers: threads; worker w takes tiles w, w + num_workers, …
        window: positions that a query sees, itself included.
        scale: of the scores, times log2(e).
    """
    most_queries = TILE_ROWS * (q.shape[1] // keys.shape[1])
    for worker in numba.prange(num_workers):
        scratch = _new_scratch(most_queries, q.shape[2], keys.shape[3])
        for i in range(worker, tiles.shape[0], num_workers):
            sequence, start, end, kv_head = tiles[i]
            table = block_tables[sequence]
            _attend_tile(q, keys, values, positions, table, start, end, kv_head, window, scale, scratch, out)


@parallel_kernel
def write_cache(k: Array, v: Array, slots: Array, keys: Array, values: Array) -> None:
    """Put k and v [rows, kv_heads, head_dim] into slots (block · block_size + offset) int64 [rows]."""
    block_size = keys.shape[3]
    for kv_head in numba.prange(keys.shape[1]):
        for row in range(slots.size):
            block, offset = slots[row] // block_size, slots[row] % block_size
            for i in range(k.shape[2]):
                keys[block, kv_head, i, offset] = k[row, kv_head, i]
                values[block, kv_head, offset, i] = v[row, kv_head, i]


def warm(element_type: npt.DTypeLike) -> None:
    """Compile for one type of elements, or load from the cache on disk."""
    x, positions = np.zeros((1, 1, LANES), element_type), np.zeros(1, np.int32)
    keys, values = np.zeros((1, 1, LANES, LANES), element_type), np.zeros((1, 1, LANES, LANES), element_type)
    table, tiles = np.zeros((1, 1), np.int32), np.array([[0, 0, 1, 0]], np.int32)
    write_cache(x, x, np.zeros(1, np.int64), keys, values)
    attend(x, keys, values, positions, table, tiles, 1, 1, np.float32(1.0), x.copy())
