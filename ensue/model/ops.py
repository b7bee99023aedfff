"""The row-local operations of a decoder: each row of the result is a function of that row of the input alone.

One signature each; the device of the input chooses between our CPU kernels and plain torch operations.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ensue.model import torch_ops


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x²) + eps) · weight over the last dimension, in float32, rounded once.

    Args:
        x: bfloat16 or float32 [..., size].
        weight: [size], of the dtype of x or float32.
    """
    return torch_ops.rms_norm(x, weight, eps)


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
    return torch_ops.rope(q, k, positions, table, q_norm, k_norm, eps)
