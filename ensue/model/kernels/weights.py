"""The weights of a row's tokens, their sum, and a point on the line that they make. A function of the row alone.

*Weight.* 2^((logit − largest logit) · scale) in float64 with scale = log2 e / temperature, by our own 2^y: its relative
error is below 2⁻⁴⁶, and below 2⁻¹⁰⁰⁰ it is exactly 0.

*Mass.* Ids stand in groups of 128. A group's halves are added onto one another, and the groups' sums from id 0 on.

*Draw.* Tokens lie on a line by ascending id, each as long as its weight. The point noise × mass falls into one of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ensue.model.kernels.fma import fma
from ensue.model.kernels.jit import kernel

Array = npt.NDArray[Any]

GROUP = 128
LOG2_E = 1.4426950408889634

_LN2 = 0.6931471805599453
_ROUND = 6755399441055744.0  # 1.5 × 2⁵²: adding it leaves the nearest whole number in the low bits
_LEAST_EXPONENT = -1000.0  # long before subnormal numbers
_EXPONENT_BIAS = 1023
_MANTISSA_BITS = 52
# 2^r for r in ±1/2: Taylor series in r · ln 2, cut where terms are 7e-15 of the sum
_C2 = _LN2**2 / 2
_C3 = _LN2**3 / 6
_C4 = _LN2**4 / 24
_C5 = _LN2**5 / 120
_C6 = _LN2**6 / 720
_C7 = _LN2**7 / 5_040
_C8 = _LN2**8 / 40_320
_C9 = _LN2**9 / 362_880
_C10 = _LN2**10 / 3_628_800
_C11 = _LN2**11 / 39_916_800


@kernel
def exp2(y: float) -> float:
    """2^y for y ≤ 0: 2^n × polynomial(r) with r in ±1/2. Branch-free for vectors."""
    shifted = y + _ROUND
    r = y - (shifted - _ROUND)
    r2 = r * r
    r4 = r2 * r2
    low = fma(r2, fma(_C3, r, _C2), fma(_LN2, r, 1.0))
    middle = fma(r2, fma(_C7, r, _C6), fma(_C5, r, _C4))
    high = fma(r2, fma(_C11, r, _C10), fma(_C9, r, _C8))
    p = fma(r4, fma(r4, high, middle), low)
    exponent = np.float64(shifted).view(np.int64) + _EXPONENT_BIAS  # the low bits, those above are shifted out
    return p * np.int64(exponent << _MANTISSA_BITS).view(np.float64) if y >= _LEAST_EXPONENT else 0.0


@kernel
def weigh(logits: Array, highest: float, scale: float, floor: float) -> Array:
    """The weights, 0 where they are below the floor: float64 [whole groups], 0 beyond the row's end."""
    num_groups = (logits.size + GROUP - 1) // GROUP
    weights = np.empty(num_groups * GROUP)
    weights[logits.size :] = 0.0
    for i in range(logits.size):
        weight = exp2((np.float64(logits[i]) - highest) * scale)
        weights[i] = weight if weight >= floor else 0.0
    return weights


@kernel
def cut_off(weights: Array, logits: Array, last: int) -> None:
    """Let nothing weigh that comes after the token `last`: smaller logits, and equal ones of higher ids."""
    border = logits[last]
    for i in range(logits.size):
        is_kept = (logits[i] > border) | ((logits[i] == border) & (i <= last))
        weights[i] = weights[i] if is_kept else 0.0


@kernel
def _sum_group(weights: Array, halves: Array) -> float:
    for i in range(64):
        halves[i] = weights[i] + weights[i + 64]
    for i in range(32):
        halves[i] += halves[i + 32]
    for i in range(16):
        halves[i] += halves[i + 16]
    for i in range(8):
        halves[i] += halves[i + 8]
    return float(
        ((halves[0] + halves[4]) + (halves[2] + halves[6])) + ((halves[1] + halves[5]) + (halves[3] + halves[7]))
    )


@kernel
def cumulate(weights: Array) -> Array:
    """The mass of groups 0…g, for each g: float64 [groups]."""
    halves = np.empty(GROUP // 2)
    ends = np.empty(weights.size // GROUP)
    mass = 0.0
    for group in range(ends.size):
        mass += _sum_group(weights[group * GROUP : (group + 1) * GROUP], halves)
        ends[group] = mass
    return ends


@kernel
def draw(weights: Array, noise: float) -> int:
    """The token into which the point noise × mass falls; never one of weight 0."""
    ends = cumulate(weights)
    point = noise * ends[-1]  # below the mass, as noise ≤ 1 − 2⁻⁵³
    group = np.searchsorted(ends, point, side="right")
    mass = ends[group - 1] if group else 0.0
    chosen = 0
    for i in range(group * GROUP, (group + 1) * GROUP):
        if weights[i] > 0.0:
            chosen = i  # the last one stands if rounding leaves the sum short of the group's end
            mass += weights[i]
            if mass > point:
                break
    return chosen
