"""Tensors as the arrays that the kernels take: the same memory, bfloat16 as uint16."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[Any]


def is_for_kernels(x: Tensor) -> bool:
    """True on the CPU in a type that the kernels have; everything else runs in plain torch."""
    return x.device.type == "cpu" and x.dtype in (torch.bfloat16, torch.float32)


def as_array(x: Tensor) -> Array:
    """The memory of a tensor, copied only if it is not contiguous."""
    x = x.contiguous()
    array: Array = (x.view(torch.uint16) if x.dtype is torch.bfloat16 else x).numpy()
    return array
