"""Attention over the paged cache: right, and the same to the last bit however the rows are cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ensue.model import kernels, torch_ops
from ensue.model.arrays import as_array
from ensue.model.attention import AttentionBatch, KVCache
from ensue.model.kernels import attention as kernel

NUM_BLOCKS = 24
Rows = tuple[Tensor, Tensor, Tensor]  # queries, keys, values


@dataclass(frozen=True)
class Shape:
    num_kv_heads: int = 1
    head_dim: int = 16
    window: int | None = None
    group: int = 1
    num_layers: int = 1

    @property
    def sliding_windows(self) -> tuple[int | None, ...]:
        return (self.window,) * self.num_layers

    def cache(self, dtype: torch.dtype = torch.float32) -> KVCache:
        return KVCache.allocate(self, NUM_BLOCKS, 64, dtype, "cpu")

    def rows(self, length: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Rows:
        """Queries, keys and values of a sequence."""
        noise = torch.Generator().manual_seed(seed)
        heads = (self.num_kv_heads * self.group, self.num_kv_heads, self.num_kv_heads)
        q, k, v = (torch.randn(length, n, self.head_dim, generator=noise).to(dtype) for n in heads)
        return q, k, v


@pytest.fixture(scope="module", autouse=True)
def _restored_threads() -> Iterator[None]:
    before = kernels.num_threads()
    yield
    kernels.set_num_threads(before)


def batch_of(*spans: tuple[int, int], tables: Sequence[Sequence[int]]) -> AttentionBatch:
    """Rows at positions [start, end) of each sequence."""
    positions = np.concatenate([np.arange(start, end) for start, end in spans])
    ends = np.cumsum([0] + [end - start for start, end in spans])
    return AttentionBatch.build(positions, ends, np.array(tables))


def attend(cache: KVCache, layer: int, rows: Rows, start: int, end: int, table: Sequence[int]) -> Tensor:
    q, k, v = (x[start:end] for x in rows)
    return cache.attend(layer, q, k, v, batch_of((start, end), tables=[table]))


def attend_in_chunks(shape: Shape, rows: Rows, cuts: Sequence[int], table: Sequence[int]) -> Tensor:
    cache = shape.cache(rows[0].dtype)
    return torch.cat([attend(cache, 0, rows, start, end, table) for start, end in pairwise(cuts)])


SHAPES = [
    Shape(5, 64, None, 3),
    Shape(1, 80, 100, 8),
    Shape(2, 20, None, 2),  # no whole vectors
    Shape(4, 32, 64, 1),
    Shape(1, 256, 1, 2),
    Shape(2, 96, 700, 4),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2)])
def test_attention_agrees_with_the_reference(shape: Shape, dtype: torch.dtype, tolerance: float) -> None:
    q, k, v = shape.rows(600, dtype)
    ours = attend_in_chunks(shape, (q, k, v), [0, 600], range(10))
    keys, values = k.transpose(0, 1).float(), v.transpose(0, 1).float()
    expected = torch_ops.attend(q.float(), keys, values, torch.arange(600), shape.window, shape.head_dim**-0.5)
    torch.testing.assert_close(ours.float(), expected.flatten(1), rtol=tolerance, atol=tolerance)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.builds(Shape, st.integers(1, 3), st.just(16), st.none() | st.integers(1, 600), st.integers(1, 8)),
    length=st.sampled_from([1, 2, 63, 64, 65, 200, 511, 512, 513, 650]),
    cuts=st.sets(st.integers(1, 649), max_size=12),
    is_bfloat16=st.booleans(),
    order=st.permutations(range(NUM_BLOCKS)),
)
def test_rows_have_the_same_bits_in_any_chunks_and_blocks(
    shape: Shape, length: int, cuts: set[int], is_bfloat16: bool, order: list[int]
) -> None:
    rows = shape.rows(length, torch.bfloat16 if is_bfloat16 else torch.float32)
    whole = attend_in_chunks(shape, rows, [0, length], range(NUM_BLOCKS))
    cut = attend_in_chunks(shape, rows, [0, *sorted(c for c in cuts if c < length), length], order)
    assert_same_bits(cut, whole)


def test_decode_has_the_bits_of_one_chunk() -> None:
    shape = Shape(2, 64, 300, 3)
    rows = shape.rows(530, torch.bfloat16)
    decoded = attend_in_chunks(shape, rows, [0, *range(500, 531)], range(10))  # over the end of a segment
    assert_same_bits(decoded, attend_in_chunks(shape, rows, [0, 530], range(10)))


@settings(max_examples=20, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 260), min_size=2, max_size=4),
    chunk=st.integers(1, 40),
    threads=st.integers(1, 4),
)
def test_sequences_do_not_feel_one_another(lengths: list[int], chunk: int, threads: int) -> None:
    shape = Shape(2, 16, None, 3)
    kernels.set_num_threads(threads)
    rows = [shape.rows(length, seed=length) for length in lengths]
    tables = [list(range(5 * i, 5 * i + 5)) for i in range(len(lengths))]
    cache, news = shape.cache(), [(max(0, length - chunk), length) for length in lengths]
    for (start, _), own, table in zip(news, rows, tables, strict=True):
        if start:
            attend(cache, 0, own, 0, start, table)
    mixed = [torch.cat([own[i][start:] for (start, _), own in zip(news, rows, strict=True)]) for i in range(3)]
    together = cache.attend(0, mixed[0], mixed[1], mixed[2], batch_of(*news, tables=tables))
    alone = [
        attend_in_chunks(shape, own, [0, end], range(5))[start:] for (start, end), own in zip(news, rows, strict=True)
    ]
    assert_same_bits(together, torch.cat(alone))


@pytest.mark.parametrize("tile_rows", [1, 3, 16])
@pytest.mark.parametrize("num_workers", [1, 3])
def test_tiles_do_not_change_a_bit(tile_rows: int, num_workers: int) -> None:
    shape = Shape(2, 32, 90, 3)
    q, k, v = shape.rows(200)
    keys, values = torch.zeros(4, 2, 32, 64), torch.zeros(4, 2, 64, 32)
    torch_ops.write_cache(keys, values, k, v, torch.arange(200))
    cuts = [*range(0, 200, tile_rows), 200]
    tiles = np.array([(0, start, end, head) for head in (1, 0) for start, end in pairwise(cuts)], np.int32)
    out = np.zeros(q.shape, np.float32)
    table, scale = np.arange(4, dtype=np.int32)[None], np.float32(32**-0.5 * np.log2(np.e))
    where = (np.arange(200, dtype=np.int32), table, tiles)
    kernel.attend(as_array(q), as_array(keys), as_array(values), *where, num_workers, 90, scale, out)
    assert_same_bits(torch.from_numpy(out).flatten(1), attend_in_chunks(shape, (q, k, v), [0, 200], range(4)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("length", [1, 63, 70])
def test_what_an_earlier_owner_left_has_no_effect(dtype: torch.dtype, length: int) -> None:
    shape = Shape(2, 32, 40, 2)
    cache, bad = shape.cache(dtype), [torch.full_like(x, torch.nan) for x in shape.rows(128, dtype)]
    cache.attend(0, bad[0], bad[1], bad[2], batch_of((0, 128), tables=[[3, 5]]))
    rows = shape.rows(length, dtype)
    after = cache.attend(0, *rows, batch_of((0, length), tables=[[3, 5]]))
    assert_same_bits(after, attend_in_chunks(shape, rows, [0, length], range(2)))


def test_a_value_that_is_not_finite_shows_in_the_rows_that_see_it() -> None:
    shape = Shape()
    q, k, v = shape.rows(70)
    v[10] = torch.nan
    out = attend_in_chunks(shape, (q, k, v), [0, *range(1, 71)], range(2))
    assert out[:10].isfinite().all()
    assert out[10:].isnan().all()


def test_copied_blocks_continue_alike() -> None:
    shape = Shape(2, 16, None, 2, num_layers=2)
    rows = shape.rows(80)
    cache = shape.cache()
    for layer in range(2):
        attend(cache, layer, rows, 0, 79, [0, 1])
    cache.copy_blocks([(1, 7)])
    cache.zero_blocks([1])
    for layer in range(2):
        last = attend(cache, layer, rows, 79, 80, [0, 7])
        assert_same_bits(last, attend_in_chunks(shape, rows, [0, 80], range(2))[79:])


def test_zeroed_blocks_forget() -> None:
    shape = Shape()
    cache, rows = shape.cache(), shape.rows(64)
    cache.attend(0, *rows, batch_of((0, 64), tables=[[2]]))
    cache.zero_blocks([2])
    q, k, v = shape.rows(1, seed=9)
    seen = cache.attend(0, q, k, v, batch_of((63, 64), tables=[[2]]))
    fresh = shape.cache().attend(0, q, k, v, batch_of((63, 64), tables=[[2]]))
    assert_same_bits(seen, fresh)


def test_bytes_per_block_are_those_allocated() -> None:
    shape = Shape(3, 20, None, 1, num_layers=2)
    assert KVCache.bytes_per_block(shape, 64, torch.bfloat16) == 2 * 2 * 3 * 32 * 64 * 2


def test_tiles_are_whole_and_longest_first() -> None:
    batch = batch_of((0, 20), (100, 101), (300, 316), tables=[[0] * 5] * 3)
    tiles = batch.tiles(2, None)
    assert sorted(tiles.tolist()) == sorted(
        [s, start, end, head]
        for head in range(2)
        for s, start, end in [(0, 0, 16), (0, 16, 20), (1, 20, 21), (2, 21, 37)]
    )
    assert tiles[0, 0] == 2
    assert tiles[-1, 0] == 1
    assert batch.tiles(2, None) is tiles


@pytest.mark.parametrize(
    ("positions", "query_start", "tables"),
    [
        ([0, 2], [0, 2], [[0]]),  # a gap
        ([-1], [0, 1], [[0]]),
        ([0], [0, 2], [[0]]),  # more rows than positions
        ([0], [0, 1], [[-1]]),
    ],
)
def test_a_malformed_batch_is_caught_before_a_kernel_sees_it(
    positions: list[int], query_start: list[int], tables: list[list[int]]
) -> None:
    with pytest.raises(AssertionError):
        AttentionBatch.build(np.array(positions), np.array(query_start), np.array(tables))


def test_a_block_beyond_the_cache_is_caught() -> None:
    shape = Shape()
    with pytest.raises(AssertionError):
        shape.cache().attend(0, *shape.rows(1), batch_of((0, 1), tables=[[NUM_BLOCKS]]))


def test_the_way_of_other_devices_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = Shape(2, 20, 70, 3)
    rows = shape.rows(150)
    ours = attend_in_chunks(shape, rows, [0, 100, 150], [4, 2, 0])
    monkeypatch.setattr("ensue.model.attention.is_for_kernels", lambda _: False)
    torch.testing.assert_close(attend_in_chunks(shape, rows, [0, 100, 150], [4, 2, 0]), ours, rtol=1e-5, atol=1e-5)


def assert_same_bits(a: Tensor, b: Tensor) -> None:
    np.testing.assert_array_equal(as_array(a).view(np.uint8), as_array(b).view(np.uint8))
