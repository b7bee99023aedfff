"""The paged KV cache and attention over it. Its layout is private to this file and the kernels.

Per layer, keys are [blocks, kv_heads, head_dim, block_size], so that scores come as vectors over positions, and values
[blocks, kv_heads, block_size, head_dim]; head_dim is filled up with zeros to whole vectors. Knows block ids, not who
owns them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ensue.model import kernels, torch_ops
from ensue.model.arrays import Array, as_array, is_for_kernels
from ensue.model.kernels import attention as kernel
from ensue.model.kernels.vectors import LANES

BLOCK_SIZE = 64
_NO_WINDOW = 1 << 30  # positions, more than any context


class CacheShape(Protocol):
    """What a cache needs to know of a model; `ModelConfig` says it."""

    @property
    def num_layers(self) -> int: ...
    @property
    def num_kv_heads(self) -> int: ...
    @property
    def head_dim(self) -> int: ...
    @property
    def sliding_windows(self) -> Sequence[int | None]:
        """Per layer, how many positions a query sees, itself included; None: all up to its own."""


@dataclass(frozen=True, slots=True)
class AttentionBatch:
    """The rows of one step. Rows of one sequence are adjacent, their positions ascend by one."""

    positions: Tensor  # int32 [num_tokens]
    query_start: Tensor  # int32 [num_sequences + 1]; rows of sequence i are [query_start[i], query_start[i + 1])
    block_tables: Tensor  # int32 [num_sequences, max_blocks]; entries beyond a sequence's blocks are never read
    slots: Tensor  # int64 [num_tokens]: block · block_size + offset, where each row's key and value go
    starts: tuple[int, ...]  # query_start, for Python
    spans: tuple[Span, ...]  # the sequences that have rows
    block_size: int
    num_blocks: int  # one more than the highest block id in use
    _tiles: dict[tuple[int, int | None], Array] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def build(
        cls,
        positions: Array,
        query_start: Array,
        block_tables: Array,
        device: torch.device | str = "cpu",
        block_size: int = BLOCK_SIZE,
    ) -> AttentionBatch:
        """From the integer arrays of the scheduler's side, checked here once so that no kernel reads out of bounds."""
        assert (positions >= 0).all()
        assert (block_tables >= 0).all()
        assert query_start[0] == 0
        assert query_start[-1] == len(positions)
        spans = tuple(
            Span(sequence, int(start), int(end), int(positions[start]))
            for sequence, (start, end) in enumerate(pairwise(query_start))
            if start < end
        )
        used = [block_tables[span.sequence, : span.last_position // block_size + 1].max() for span in spans]
        sequences = np.repeat(np.arange(len(block_tables)), np.diff(query_start))
        expected = np.concatenate([np.arange(span.end - span.start) + span.position for span in spans] or [positions])
        assert (positions == expected).all()
        slots = block_tables[sequences, positions // block_size].astype(np.int64) * block_size + positions % block_size

        def tensor(array: Array, kind: type[np.generic]) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array, kind)).to(device)

        return cls(
            positions=tensor(positions, np.int32),
            query_start=tensor(query_start, np.int32),
            block_tables=tensor(block_tables, np.int32),
            slots=tensor(slots, np.int64),
            starts=tuple(query_start.tolist()),
            spans=spans,
            block_size=block_size,
            num_blocks=int(max(used, default=-1)) + 1,
        )

    def tiles(self, num_kv_heads: int, window: int | None) -> Array:
        """The kernel's work items, int32 [tiles, 4]: sequence, first row, end row, kv head; longest first."""
        key = (num_kv_heads, window)
        if key not in self._tiles:
            cuts = [tile for span in self.spans for tile in span.cut(kernel.TILE_ROWS)]
            cuts.sort(key=lambda tile: -tile.cost(window, self.block_size))
            rows = [(tile.sequence, tile.start, tile.end, head) for tile in cuts for head in range(num_kv_heads)]
            self._tiles[key] = np.array(rows, np.int32).reshape(-1, 4)
        return self._tiles[key]


@dataclass(frozen=True, slots=True)
class Span:
    """Rows [start, end) of one sequence, the first at `position`."""

    sequence: int
    start: int
    end: int
    position: int

    @property
    def last_position(self) -> int:
        return self.position + self.end - self.start - 1

    def cut(self, num_rows: int) -> list[Span]:
        """Pieces of at most `num_rows` rows."""
        starts = range(self.start, self.end, num_rows)
        return [
            Span(self.sequence, start, min(start + num_rows, self.end), self.position + start - self.start)
            for start in starts
        ]

    def cost(self, window: int | None, block_size: int) -> int:
        """How long it takes, roughly: rows × blocks."""
        first = 0 if window is None else max(0, self.position - window + 1)
        return (self.end - self.start) * (self.last_position // block_size - first // block_size + 1)


class KVCache:
    """Keys and values of every layer, in blocks."""

    def __init__(self, config: CacheShape, keys: Sequence[Tensor], values: Sequence[Tensor]) -> None:
        self._config = config
        self._keys = keys  # a tensor a layer
        self._values = values
        self._scale = config.head_dim**-0.5

    @staticmethod
    def bytes_per_block(config: CacheShape, block_size: int, dtype: torch.dtype) -> int:
        """Memory of one block in all layers."""
        return 2 * config.num_layers * config.num_kv_heads * _width(config) * block_size * dtype.itemsize

    @classmethod
    def allocate(
        cls, config: CacheShape, num_blocks: int, block_size: int, dtype: torch.dtype, device: torch.device | str
    ) -> KVCache:
        """A cache of zeros; the operating system gives memory only as blocks are written."""
        assert kernel.SEGMENT % block_size == 0
        assert block_size % LANES == 0
        heads, width = (num_blocks, config.num_kv_heads), _width(config)
        layers = range(config.num_layers)
        keys = [_zeros((*heads, width, block_size), dtype, device) for _ in layers]
        values = [_zeros((*heads, block_size, width), dtype, device) for _ in layers]
        return cls(config, keys, values)

    def copy_blocks(self, pairs: Sequence[tuple[int, int]]) -> None:
        """Copy each (source, destination) in all layers, as if at once; destinations differ."""
        if pairs:
            sources, destinations = (list(ids) for ids in zip(*pairs, strict=True))
            for tensor in (*self._keys, *self._values):
                tensor[destinations] = tensor[sources]

    def zero_blocks(self, block_ids: Sequence[int]) -> None:
        """Wipe blocks in all layers: their sequence ended with a number that is not finite."""
        for tensor in (*self._keys, *self._values):
            tensor[list(block_ids)] = 0

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, batch: AttentionBatch) -> Tensor:
        """Write the rows' keys and values, then attend over the cache.

        Args:
            q: [tokens, heads, head_dim], after rope, as k; all of the cache's dtype.
            k, v: [tokens, kv_heads, head_dim].

        Returns:
            [tokens, heads · head_dim].
        """
        keys, values = self._keys[layer], self._values[layer]
        assert len(q) == len(k) == len(v) == len(batch.positions)
        assert batch.block_size == keys.shape[3]
        assert batch.num_blocks <= keys.shape[0]
        head_dim, width = q.shape[2], keys.shape[2]
        if head_dim < width:
            q, k, v = (F.pad(x, (0, width - head_dim)) for x in (q, k, v))
        window = self._config.sliding_windows[layer]
        run = _attend_by_kernel if is_for_kernels(keys) else _attend_by_torch
        out = run(q, (k, v), (keys, values), batch, window, self._scale)
        return out[:, :, :head_dim].flatten(1)


def _width(config: CacheShape) -> int:
    return -(-config.head_dim // LANES) * LANES


Pair = tuple[Tensor, Tensor]  # keys and values


def _attend_by_kernel(
    q: Tensor, new: Pair, cache: Pair, batch: AttentionBatch, window: int | None, scale: float
) -> Tensor:
    keys, values = as_array(cache[0]), as_array(cache[1])
    kernel.write_cache(as_array(new[0]), as_array(new[1]), as_array(batch.slots), keys, values)
    out = torch.empty(q.shape, dtype=q.dtype)
    kernel.attend(
        as_array(q),
        keys,
        values,
        as_array(batch.positions),
        as_array(batch.block_tables),
        batch.tiles(keys.shape[1], window),
        kernels.num_threads(),
        _NO_WINDOW if window is None else window,
        np.float32(scale * math.log2(math.e)),
        as_array(out),
    )
    return out


def _attend_by_torch(
    q: Tensor, new: Pair, cache: Pair, batch: AttentionBatch, window: int | None, scale: float
) -> Tensor:
    torch_ops.write_cache(*cache, *new, batch.slots)
    out = torch.empty_like(q)
    for span in batch.spans:
        rows = slice(span.start, span.end)
        blocks = batch.block_tables[span.sequence, : span.last_position // batch.block_size + 1].long()
        keys = cache[0][blocks].permute(1, 0, 3, 2).flatten(1, 2)  # [kv_heads, length, head_dim]
        values = cache[1][blocks].transpose(0, 1).flatten(1, 2)
        out[rows] = torch_ops.attend(q[rows], keys, values, batch.positions[rows], window, scale)
    return out


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device | str) -> Tensor:
    """On the CPU by calloc, as torch does not: pages take memory when they are written first."""
    if torch.device(device).type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    return torch.from_numpy(np.zeros(shape, f"u{dtype.itemsize}").view(f"i{dtype.itemsize}")).view(dtype)
