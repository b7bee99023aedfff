"""Linear layers: how they are computed on this machine, and rows that don't feel one another.

Knows shapes and rows, not what the layers are for.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

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

    min_rows: int = 4  # fewer are padded; 1 to 3 are slower than 4, too
    max_rows: int = 257  # more are split


class Linear:
    """y = x · weightᵀ + bias, then at most one more step: silu(y), y · multiply or y + add."""

    def __init__(self, weight: Tensor, bias: Tensor | None, path: LinearPath, *, is_fused: bool = True) -> None:
        """
        Args:
            weight: [out, in]; packed paths convert it, and keep no reference to it.
            bias: [out] or None.
            is_fused: False if activation, multiply and add are never used (a head), which spares their self-test.
        """
        self.out_features, self.in_features = weight.shape
        self.path = path
        self.is_fused = is_fused
        self.rows = RowRule()  # replaced by the self-test
        dtype = _DTYPES.get(path, weight.dtype)
        self._bias = None if bias is None else bias.to(dtype)
        self._weight = weight.to(dtype)
        if path is not LinearPath.PLAIN:
            self._weight = torch.ops.mkldnn._reorder_linear_weight(self._weight.contiguous(), None)

    @property
    def has_bias(self) -> bool:
        return self._bias is not None

    @property
    def dtype(self) -> torch.dtype:
        """Of inputs and outputs."""
        return self._weight.dtype

    @property
    def device(self) -> torch.device:
        return self._weight.device

    def __call__(
        self,
        x: Tensor,
        *,
        activation: Literal["silu"] | None = None,
        multiply: Tensor | None = None,
        add: Tensor | None = None,
    ) -> Tensor:
        """x [rows, in] → [rows, out]; at most one of activation, multiply and add ([rows, out])."""
        assert (activation is not None) + (multiply is not None) + (add is not None) <= self.is_fused
        step = "swish" if activation else "mul" if multiply is not None else "none" if add is None else "add"
        other = add if multiply is None else multiply
        if x.shape[0] <= self.rows.max_rows:
            return self._compute_padded(x, step, other)
        out = x.new_empty(x.shape[0], self.out_features)
        for start in range(0, x.shape[0], self.rows.max_rows):
            rows = slice(start, start + self.rows.max_rows)
            out[rows] = self._compute_padded(x[rows], step, None if other is None else other[rows])
        return out

    def _compute_padded(self, x: Tensor, step: str, other: Tensor | None) -> Tensor:
        missing = self.rows.min_rows - x.shape[0]
        if missing <= 0:
            return self._compute(x, step, other)
        padded_other = None if other is None else _pad(other, missing)
        return self._compute(_pad(x, missing), step, padded_other)[: x.shape[0]]

    def _compute(self, x: Tensor, step: str, other: Tensor | None) -> Tensor:
        x = x.contiguous()
        if self.path is LinearPath.PLAIN:
            return _STEPS[step](F.linear(x, self._weight, self._bias), other)
        if other is None:
            y: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, step, [], "")
        else:
            y = torch.ops.mkldnn._linear_pointwise.binary(x, other.contiguous(), self._weight, self._bias, step)
        return y


_DTYPES = {LinearPath.BF16_PACKED: torch.bfloat16, LinearPath.FP32_PACKED: torch.float32}
_STEPS: dict[str, Callable[[Tensor, Any], Tensor]] = {
    "none": lambda y, _: y,
    "swish": lambda y, _: F.silu(y),
    "mul": torch.mul,
    "add": torch.add,
}


def _pad(x: Tensor, num_rows: int) -> Tensor:
    return torch.cat((x, x.new_zeros(num_rows, x.shape[1])))
