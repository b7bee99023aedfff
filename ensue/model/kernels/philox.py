"""Philox4x32-10, a random number generator without state: the words are a function of (key, counter).

Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3 (2011). Knows nothing of tokens.
"""

from __future__ import annotations

import numpy as np

from ensue.model.kernels.jit import kernel

_ROUNDS = 10
_MULTIPLIER_0 = np.uint64(0xD2511F53)
_MULTIPLIER_1 = np.uint64(0xCD9E8D57)
_WEYL_0 = np.uint64(0x9E3779B9)
_WEYL_1 = np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)  # the low 32 bits; all arithmetic is on 32-bit words kept in 64
_WORD = np.uint64(32)
_TO_53_BITS = np.uint64(11)

Words = tuple[np.uint64, np.uint64, np.uint64, np.uint64]


@kernel
def philox(c0: np.uint64, c1: np.uint64, c2: np.uint64, c3: np.uint64, k0: np.uint64, k1: np.uint64) -> Words:
    """Four random 32-bit words for a counter of four words and a key of two."""
    for _ in range(_ROUNDS):
        product_0 = _MULTIPLIER_0 * c0
        product_1 = _MULTIPLIER_1 * c2
        c0, c1, c2, c3 = (
            (product_1 >> _WORD) ^ c1 ^ k0,
            product_1 & _LOW,
            (product_0 >> _WORD) ^ c3 ^ k1,
            product_0 & _LOW,
        )
        k0 = (k0 + _WEYL_0) & _LOW
        k1 = (k1 + _WEYL_1) & _LOW
    return c0, c1, c2, c3


@kernel
def uniform(seed: int, sample_index: int, position: int, purpose: int) -> float:
    """A multiple of 2⁻⁵³ in [0, 1): key = the seed's 64 bits, counter = (sample index, position, purpose, 0)."""
    key = np.uint64(seed)
    low, high, _, _ = philox(
        np.uint64(sample_index) & _LOW,
        np.uint64(position) & _LOW,
        np.uint64(purpose) & _LOW,
        np.uint64(0),
        key & _LOW,
        key >> _WORD,
    )
    return float(((high << _WORD) | low) >> _TO_53_BITS) * 2.0**-53
