"""The operations of a decoder in plain torch: what other devices than the CPU run, and the reference of the tests.

These are the definitions; they promise nothing about bits.
"""

from __future__ import annotations

import torch
from torch import Tensor


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    wide = x.float()
    normed = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
    return (normed * weight.float()).to(x.dtype)


def rope(
    q: Tensor, k: Tensor, positions: Tensor, table: Tensor, q_norm: Tensor | None, k_norm: Tensor | None, eps: float
) -> tuple[Tensor, Tensor]:
    turns = table[positions.long()]  # [tokens, 2, head_dim / 2]
    return _turn(q, turns, q_norm, eps), _turn(k, turns, k_norm, eps)


def _turn(x: Tensor, turns: Tensor, norm: Tensor | None, eps: float) -> Tensor:
    wide = rms_norm(x.float(), norm, eps) if norm is not None else x.float()
    first, second = wide.chunk(2, dim=-1)
    cos, sin = turns[:, None, 0], turns[:, None, 1]
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).to(x.dtype)


def write_cache(keys: Tensor, values: Tensor, k: Tensor, v: Tensor, slots: Tensor) -> None:
    """Put k and v [tokens, kv_heads, head_dim] into their slots (block · block_size + offset) int64 [tokens].

    keys is [blocks, kv_heads, head_dim, block_size], values [blocks, kv_heads, block_size, head_dim].
    """
    block_size = keys.shape[3]
    blocks, offsets = slots // block_size, slots % block_size
    keys[blocks, :, :, offsets] = k
    values[blocks, :, offsets] = v


def attend(q: Tensor, k: Tensor, v: Tensor, positions: Tensor, window: int | None, scale: float) -> Tensor:
    """Softmax attention of q [tokens, heads, head_dim] at `positions` over k and v [kv_heads, length, head_dim].

    A query sees positions up to its own, the last `window` of them.
    """
    group = q.shape[1] // k.shape[0]
    columns = torch.arange(k.shape[1], device=q.device)
    distance = positions[:, None] - columns  # [tokens, length]
    is_seen = distance >= 0 if window is None else (distance >= 0) & (distance < window)
    is_alive = is_seen.any(0)[:, None]  # slots that nobody sees may hold anything
    k, v = (torch.where(is_alive, x, torch.zeros_like(x)).float().repeat_interleave(group, dim=0) for x in (k, v))
    scores = torch.einsum("thd,hpd->htp", q.float(), k) * scale
    weights = scores.masked_fill(~is_seen, float("-inf")).softmax(-1)
    return torch.einsum("htp,hpd->thd", weights, v).to(q.dtype)
