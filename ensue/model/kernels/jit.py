"""The one way in which kernels are compiled; knows nothing of what they compute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def kernel(function: Kernel) -> Kernel:
    """Compile for one thread, on the first call, and keep the machine code on disk.

    No fastmath: neither reassociation nor contraction, so that equal inputs give equal bits wherever a row stands.
    """
    return cast(Kernel, numba.njit(cache=True, error_model="numpy", nogil=True)(function))


def parallel_kernel(function: Kernel) -> Kernel:
    """The same for a kernel whose `prange` shares out rows among Numba's threads."""
    return cast(Kernel, numba.njit(cache=True, error_model="numpy", nogil=True, parallel=True)(function))
