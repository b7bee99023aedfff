"""Rotary position embeddings: the angular frequency of each pair of dimensions, per kind of scaling."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ensue.model.rope_config import RopeConfig


def inverse_frequencies(rope: RopeConfig, head_dim: int) -> Tensor:
    """Radians per position, float32 [head_dim / 2].

    default: θ^(−2i/d), Su et al. 2021 (RoFormer). linear: divided by the factor, Chen et al. 2023. dynamic: as default
    up to the original length, which is as far as it is served. yarn: Peng et al. 2023. llama3: Llama 3.1's release.
    """
    exponents = torch.arange(0, head_dim, 2, dtype=torch.int64).float() / head_dim
    plain = 1.0 / rope.theta**exponents
    match rope.kind:
        case "linear":
            return plain / rope.factor
        case "yarn":
            return _yarn(rope, head_dim, rope.theta**exponents)
        case "llama3":
            return _llama3(rope, plain)
        case _:
            return plain


def attention_factor(rope: RopeConfig) -> float:
    """What cosines and sines are multiplied by; other than 1 for yarn only (its equation 22)."""
    if rope.kind != "yarn":
        return 1.0
    if rope.attention_factor is not None:
        return rope.attention_factor
    if rope.mscale and rope.mscale_all_dim:
        return _mscale(rope.factor, rope.mscale) / _mscale(rope.factor, rope.mscale_all_dim)
    return _mscale(rope.factor, 1.0)


def _mscale(factor: float, weight: float) -> float:
    return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0


def _yarn(rope: RopeConfig, head_dim: int, wavelengths: Tensor) -> Tensor:
    """Fast dimensions as they are, slow ones interpolated, a ramp between (equations 20 and 23)."""
    low, high = (_dimension_of(rope, head_dim, turns) for turns in (rope.beta_fast, rope.beta_slow))
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_dim - 1)
    high += 0.001 if low == high else 0.0
    ramp = ((torch.arange(head_dim // 2, dtype=torch.float32) - low) / (high - low)).clamp(0, 1)
    kept = 1 - ramp
    return 1.0 / (rope.factor * wavelengths) * (1 - kept) + 1.0 / wavelengths * kept


def _dimension_of(rope: RopeConfig, head_dim: int, num_turns: float) -> float:
    """The dimension whose angle makes so many turns over the original length."""
    return head_dim * math.log(rope.original_length / (num_turns * 2 * math.pi)) / (2 * math.log(rope.theta))


def _llama3(rope: RopeConfig, plain: Tensor) -> Tensor:
    """Long waves slowed by the factor, short ones as they are, smoothly between."""
    wavelengths = 2 * math.pi / plain
    longest, shortest = rope.original_length / rope.low_freq_factor, rope.original_length / rope.high_freq_factor
    smooth = (rope.original_length / wavelengths - rope.low_freq_factor) / (
        rope.high_freq_factor - rope.low_freq_factor
    )
    between = (1 - smooth) * plain / rope.factor + smooth * plain
    slowed = torch.where(wavelengths > longest, plain / rope.factor, plain)
    return torch.where((wavelengths >= shortest) & (wavelengths <= longest), between, slowed)
