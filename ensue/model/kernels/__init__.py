"""Kernels written in Python and compiled by Numba. They know arrays; what the numbers mean is said above them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numba
import numpy as np

from ensue.model.kernels import attention, changes, rowwise, sampling

_config: Any = numba.config
# Numba's own pool lets each parallel call wait for milliseconds; torch's threads are OpenMP's, too.
_config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]

ELEMENT_TYPES: tuple[type[np.generic], ...] = (np.uint16, np.float32)  # bfloat16 as its bits, and float32


def set_num_threads(count: int) -> None:
    """How many threads share a parallel kernel, at most the cores this process may use."""
    numba.set_num_threads(min(count, _config.NUMBA_NUM_THREADS))


def num_threads() -> int:
    return int(numba.get_num_threads())


def warm(element_types: Iterable[type[np.generic]] = ELEMENT_TYPES) -> None:
    """Compile every kernel for these types of activations, or load it from the cache on disk."""
    for element_type in element_types:
        attention.warm(element_type)
        rowwise.warm(element_type)
    changes.warm_changes()
    sampling.warm_sampling()
