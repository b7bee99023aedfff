"""The paged KV cache and attention over it. Its layout is private to this file and the kernels.

Per layer, keys are [blocks, kv_heads, head_dim, block_size], so that scores come as vectors over positions, and values
[blocks, kv_heads, block_size, head_dim]. Knows block ids, not who owns them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ensue.model import torch_ops
from ensue.model.config import ModelConfig

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class AttentionBatch:
    """The rows of one step. Rows of one sequence are adjacent, their positions ascend by one."""

    positions: Tensor  # int32 [num_tokens]
    query_start: Tensor  # int32 [num_sequences + 1]; rows of sequence i are [query_start[i], query_start[i + 1])
    block_tables: Tensor  # int32 [num_sequences, max_blocks]; entries beyond a sequence's blocks are never read
    slots: Tensor  # int64 [num_tokens]: block · block_size + offset, where each row's key and value go
    starts: tuple[int, ...]  # query_start again, for loops in Python

    @classmethod
    def build(
        cls,
        positions: Array,
        query_start: Array,
        block_tables: Array,
        device: torch.device | str = "cpu",
        block_size: int = 64,
    ) -> AttentionBatch:
        """From the integer arrays of the scheduler's side, checked here once so that no kernel reads out of bounds."""
        sequences = np.repeat(np.arange(len(query_start) - 1), np.diff(query_start))
        assert len(sequences) == len(positions)
        slots = block_tables[sequences, positions // block_size].astype(np.int64) * block_size + positions % block_size
        positions, query_start, block_tables = (
            np.ascontiguousarray(array, np.int32) for array in (positions, query_start, block_tables)
        )
        return cls(
            *(torch.from_numpy(array).to(device) for array in (positions, query_start, block_tables, slots)),
            starts=tuple(int(start) for start in query_start),
        )


class KVCache:
    """Keys and values of every layer, in blocks."""

    def __init__(self, config: ModelConfig, keys: Sequence[Tensor], values: Sequence[Tensor]) -> None:
        self._config = config
        self._keys = keys  # a tensor a layer
        self._values = values
        self._scale = config.head_dim**-0.5

    @staticmethod
    def bytes_per_block(config: ModelConfig, block_size: int, dtype: torch.dtype) -> int:
        """Memory of one block in all layers."""
        return 2 * config.num_layers * config.num_kv_heads * config.head_dim * block_size * dtype.itemsize

    @classmethod
    def allocate(
        cls, config: ModelConfig, num_blocks: int, block_size: int, dtype: torch.dtype, device: torch.device | str
    ) -> KVCache:
        """A cache of zeros (the operating system's zero pages: memory is taken as blocks are written)."""
        heads = (num_blocks, config.num_kv_heads)
        layers = range(config.num_layers)
        keys = [torch.zeros((*heads, config.head_dim, block_size), dtype=dtype, device=device) for _ in layers]
        values = [torch.zeros((*heads, block_size, config.head_dim), dtype=dtype, device=device) for _ in layers]
        return cls(config, keys, values)

    def copy_blocks(self, pairs: Sequence[tuple[int, int]]) -> None:
        """Copy each (source, destination) in all layers; no block is in two pairs as a destination and a source."""
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
            q: [tokens, heads, head_dim], after rope, as k.
            k, v: [tokens, kv_heads, head_dim].

        Returns:
            [tokens, heads · head_dim], of the dtype of q.
        """
        keys, values = self._keys[layer], self._values[layer]
        torch_ops.write_cache(keys, values, k, v, batch.slots)
        window = self._config.sliding_windows[layer]
        starts = list(batch.starts)
        return torch_ops.attend(q, keys, values, batch.positions, starts, batch.block_tables, window, self._scale)
