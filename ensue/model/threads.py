"""How many threads compute, in torch and in our kernels alike."""

from __future__ import annotations

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
