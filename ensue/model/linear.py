"""Linear layers: how they are computed on this machine, and rows that don't feel one another.

Knows shapes and rows, not what the layers are for.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from enum import StrEnum

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ensue.errors import ConfigError


class LinearPath(StrEnum):
    """The implementations."""

    BF16_PACKED = "bf16_packed"  # oneDNN, weights reordered once for its kernels
    FP32_PACKED = "fp32_packed"
    PLAIN = "plain"  # torch's own: CUDA, or forced


def choose_path(requested: str, dtype: str, device: str) -> LinearPath:
    """The path for settings `linear_path`, `dtype` (auto, bfloat16, float32) and a device (cpu, cuda).

    Raises:
        ConfigError: the settings contradict one another or this machine.
    """
    if requested != "auto":
        return _checked(LinearPath(requested), dtype, device)
    if device != "cpu":
        return LinearPath.PLAIN
    if dtype != "float32" and _can_pack(torch.bfloat16):
        return LinearPath.BF16_PACKED
    if dtype == "bfloat16" or not _can_pack(torch.float32):
        return LinearPath.PLAIN
    return LinearPath.FP32_PACKED


def _checked(path: LinearPath, dtype: str, device: str) -> LinearPath:
    if path is LinearPath.PLAIN:
        return path
    if device != "cpu":
        raise ConfigError(f"linear_path {path} runs on the CPU only; this engine's device is {device}.")
    needed = "bfloat16" if path is LinearPath.BF16_PACKED else "float32"
    if dtype not in ("auto", needed):
        raise ConfigError(f"linear_path {path} computes in {needed}, but dtype is {dtype}.")
    if not _can_pack(getattr(torch, needed)):
        raise ConfigError(f"linear_path {path} does not run on this CPU; leave it at auto.")
    return path


@functools.cache
def _can_pack(dtype: torch.dtype) -> bool:
    """Try it, and see that it computes what it should; bfloat16 without AVX-512 would be emulated."""
    if dtype is torch.bfloat16 and "AVX512" not in torch.backends.cpu.get_cpu_capability():
        return False
    weight, x = torch.eye(32, dtype=dtype), torch.arange(64, dtype=dtype).view(2, 32)
    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, None)
        result: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")
    except (AttributeError, RuntimeError):
        return False
    return torch.equal(result, x)


@dataclass(frozen=True, slots=True)
class RowRule:
    """How many rows a call may have so that a row's bits don't depend on the others; equal bounds are a fixed block."""

    min_rows: int = 4  # fewer are padded
    max_rows: int = 256  # more are split


class Linear:
    """y = x · weightᵀ + bias, then one fused step."""

    def __init__(self, weight: Tensor, bias: Tensor | None, path: LinearPath, *, is_fused: bool = True) -> None:
        """
        Args:
            weight: [out, in].
            bias: [out] or None.
            is_fused: False if activation, multiply and add are never used (a head), which spares their self-test.
        """
        self.out_features, self.in_features = weight.shape
        self.path = path
        self.is_fused = is_fused
        self.rows = RowRule()  # replaced by the self-test
        self._weight = weight
        self._bias = bias

    def __call__(
        self, x: Tensor, *, activation: str | None = None, multiply: Tensor | None = None, add: Tensor | None = None
    ) -> Tensor:
        """x [rows, in] → [rows, out]; at most one of activation="silu", multiply and add ([rows, out])."""
        y = F.linear(x, self._weight, self._bias)
        if activation is not None:
            return F.silu(y)
        if multiply is not None:
            return y * multiply
        return y if add is None else y + add
