"""The row-local operations of a decoder: each row of the result is a function of that row of the input alone.

One signature each; the device of the input chooses between our CPU kernels and plain torch operations.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ensue.model import torch_ops
from ensue.model.arrays import as_array, is_for_kernels
from ensue.model.kernels import rowwise

_MANY = 1 << 15  # elements from which on it pays to wake other threads


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x²) + eps) · weight over the last dimension, in float32, rounded once.

    Args:
        x: bfloat16 or float32 [..., size].
        weight: [size].
    """
    if not is_for_kernels(x):
        return torch_ops.rms_norm(x, weight, eps)
    x = x.contiguous()
    out = torch.empty_like(x)
    run = rowwise.rms_norm_rows_parallel if x.numel() >= _MANY else rowwise.rms_norm_rows
    size = x.shape[-1]
    weights = as_array(weight.to(x.dtype))
    run(as_array(x).reshape(-1, size), weights, np.float32(eps), as_array(out).reshape(-1, size))
    return out


def rope_table(inverse_frequencies: Tensor, length: int, scale: float = 1.0) -> Tensor:
    """Cosines and sines for positions [0, length), times `scale` (yarn's attention factor).

    Args:
        inverse_frequencies: float32 [head_dim / 2].

    Returns:
        float32 [length, 2, head_dim / 2].
    """
    angles = torch.outer(torch.arange(length, dtype=torch.float32), inverse_frequencies.float().cpu())
    return torch.stack((angles.cos() * scale, angles.sin() * scale), dim=1)


def rope(
    q: Tensor,
    k: Tensor,
    positions: Tensor,
    table: Tensor,
    *,
    q_norm: Tensor | None = None,
    k_norm: Tensor | None = None,
    eps: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Turn the halves of each head by the angle of its position (Hugging Face's rotate-half), after optional RMSNorms.

    Args:
        q: [tokens, heads, head_dim]; may be a slice of a wider tensor.
        k: [tokens, kv_heads, head_dim].
        positions: int32 [tokens].
        table: what `rope_table` returns.
        q_norm, k_norm: weights [head_dim] of a norm over each head, both or neither.

    Returns:
        q and k, contiguous.
    """
    if not is_for_kernels(q):
        return torch_ops.rope(q, k, positions, table, q_norm, k_norm, eps)
    assert as_array(positions).max(initial=0) < len(table)  # the kernel doesn't look
    return _turn(q, positions, table, q_norm, eps), _turn(k, positions, table, k_norm, eps)


def _turn(x: Tensor, positions: Tensor, table: Tensor, norm: Tensor | None, eps: float) -> Tensor:
    x = x.contiguous()
    out = torch.empty_like(x)
    run = rowwise.rope_rows_parallel if x.numel() >= _MANY else rowwise.rope_rows
    weights = as_array(x.new_empty(0) if norm is None else norm.to(x.dtype))
    run(as_array(x), weights, np.float32(eps), as_array(positions), as_array(table), as_array(out))
    return out
