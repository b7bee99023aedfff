"""What the machine gives to the arithmetic: threads, compiled kernels, memory of a device."""

from __future__ import annotations

import numpy as np
import torch

from ensue.model import kernels


def set_num_threads(count: int) -> None:
    """To be called once, before anything is computed: threads are made on first use.

    They inherit the treatment of subnormal numbers from this one, so that none flushes what another keeps; a library
    that was compiled for fast mathematics may have turned it on in the thread that loaded it.
    """
    torch.set_flush_denormal(False)
    torch.set_num_threads(count)
    kernels.set_num_threads(count)


def load_kernels(device: torch.device, dtype: torch.dtype) -> None:
    """Have the CPU kernels for this type ready before the first request; compiled where they are not cached."""
    if device.type == "cpu":
        kernels.warm([np.uint16 if dtype is torch.bfloat16 else np.float32])


def free_device_memory(device: torch.device) -> int | None:
    """Bytes free on an accelerator; None on the CPU, whose memory is the system's to count."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None
