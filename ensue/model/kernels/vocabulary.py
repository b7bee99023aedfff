"""One row of logits as kernels see it: tokens in order, their weights, and the mass of those that are kept.

A row's numbers are a function of that row alone, to the last bit. Three definitions make it so; all else is speed.

*Order.* A token comes before another if its logit is larger or, on a tie, if its id is lower. `place_of` makes that one
integer: ascending places are the order. A *cut*, the place of the last token kept, names any beginning of the order.

*Weight.* exp((logit − largest logit) / temperature) in float64, by our own exp.

*Mass.* Ids stand in groups of 128, a group in 16 lanes (id mod 16) that are added in pairs; the groups' sums are added
up from id 0.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ensue.model.kernels.jit import kernel

Array = npt.NDArray[Any]

GROUP = 128
LANES = 16
NOT_FINITE = -1  # instead of a token id: the row holds a NaN, a +inf, or nothing above −inf
ID = (1 << 32) - 1  # the part of a place that holds the token's id
NO_CUT = (1 << 63) - 1  # after every place

_ID_BITS = 32
_INFINITY = 0x7F800000  # the bits of float32 +inf; a NaN's are larger
_MAGNITUDE = 0x7FFFFFFF

_LOG2_E = 1.4426950408889634
_LN2_HIGH = 6.93147180369123816490e-01  # its last bits are 0: a whole number below 2¹¹ times it is exact
_LN2_LOW = 1.90821492927058770002e-10
_ROUND = 6755399441055744.0  # 1.5 × 2⁵²: adding it leaves the nearest whole number in the low bits
_EXP_FLOOR = -700.0  # below it a weight is 0, long before subnormal numbers
_EXPONENT_BIAS = 1023
_MANTISSA_BITS = 52


class Row(NamedTuple):
    """One row and how its weights are made."""

    logits: Array  # float32 [width]
    bits: Array  # int32 [width]: the same memory
    firsts: Array  # int64 [groups]: the first place in each group
    highest: float
    temperature: float
    floor: float  # min_p


@kernel
def place_of(bits: int, token_id: int) -> int:
    """Where a token stands in the order: −logit in the high half as an integer in the floats' order, the id below."""
    magnitude = bits & _MAGNITUDE
    descending = -magnitude if bits >= 0 else magnitude  # −0.0 and 0.0 are both 0
    return (descending << _ID_BITS) | token_id


@kernel
def _exp(x: float) -> float:
    """e^x for x ≤ 0 within 1 ulp, 0 below −700: 2^n × polynomial(r) with r in ±ln 2 / 2. Branch-free for vectors."""
    shifted = x * _LOG2_E + _ROUND
    whole = shifted - _ROUND
    r = (x - whole * _LN2_HIGH) - whole * _LN2_LOW
    p = 1.0 / 6227020800.0
    p = p * r + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    exponent = np.float64(shifted).view(np.int64) + _EXPONENT_BIAS  # the low bits, those above are shifted out
    return p * np.int64(exponent << _MANTISSA_BITS).view(np.float64) if x >= _EXP_FLOOR else 0.0


@kernel
def weight_of(row: Row, token_id: int) -> float:
    return _exp((np.float64(row.logits[token_id]) - row.highest) / row.temperature)


@kernel
def read_row(logits: Array, bits: Array, temperature: float, floor: float) -> tuple[Row, int]:
    """The row with its groups' first places, and its first token, or NOT_FINITE."""
    firsts = np.empty((bits.size + GROUP - 1) // GROUP, np.int64)
    last = -NO_CUT
    for group in range(firsts.size):
        start, first = group * GROUP, NO_CUT
        group_bits = bits[start : start + GROUP]
        for i in range(group_bits.size):
            place = place_of(group_bits[i], start + i)
            first = min(first, place)
            last = max(last, place)
        firsts[group] = first
    first = firsts.min()
    is_finite = -_INFINITY < first >> _ID_BITS < _INFINITY and last >> _ID_BITS <= _INFINITY
    best = first & ID
    return Row(logits, bits, firsts, np.float64(logits[best]), temperature, floor), best if is_finite else NOT_FINITE


@kernel
def fill_weights(row: Row, cut: int, group: int, weights: Array) -> None:
    """Weights of one group's ids; 0 for what is not kept and beyond the row's end."""
    start = group * GROUP
    logits, bits = row.logits[start : start + GROUP], row.bits[start : start + GROUP]
    for i in range(bits.size):
        weight = _exp((np.float64(logits[i]) - row.highest) / row.temperature)
        is_kept = (weight >= row.floor) & (place_of(bits[i], start + i) <= cut)
        weights[i] = weight if is_kept else 0.0
    weights[bits.size :] = 0.0


@kernel
def _sum_lanes(weights: Array, lanes: Array) -> float:
    """Sum of a group's weights in the fixed order."""
    for lane in range(LANES):
        lanes[lane] = weights[lane]
    for start in range(LANES, GROUP, LANES):
        for lane in range(LANES):
            lanes[lane] += weights[start + lane]
    half = LANES // 2
    while half:
        for lane in range(half):
            lanes[lane] += lanes[lane + half]
        half //= 2
    return float(lanes[0])


@kernel
def is_alive(row: Row, cut: int, group: int) -> bool:
    """False where every weight of the group is exactly 0."""
    first = row.firsts[group]
    return first <= cut and weight_of(row, first & ID) > 0.0


@kernel
def cumulate(row: Row, cut: int) -> Array:
    """Mass of all that is kept in groups 0…g, for each g: float64 [groups]."""
    weights = np.empty(GROUP)
    lanes = np.empty(LANES)
    ends = np.empty(row.firsts.size)
    mass = 0.0
    for group in range(ends.size):
        if is_alive(row, cut, group):
            fill_weights(row, cut, group, weights)
            mass += _sum_lanes(weights, lanes)
        ends[group] = mass
    return ends


@kernel
def rank_tokens(row: Row, count: int) -> Array:
    """The places of at least the `count` first tokens, in order: a beginning of the order, however long."""
    if count <= row.firsts.size:  # as many groups have a place up to this one, so at least as many places are
        limit = np.partition(row.firsts, count - 1)[count - 1]
    else:
        limit = _nth_place(row.bits, min(count, row.bits.size))
    places = np.empty(count_up_to(row, limit), np.int64)
    found = 0
    for group in range(row.firsts.size):
        if row.firsts[group] <= limit:
            for token_id in range(group * GROUP, min((group + 1) * GROUP, row.bits.size)):
                place = place_of(row.bits[token_id], token_id)
                if place <= limit:
                    places[found] = place
                    found += 1
    places.sort()
    return places


@kernel
def _nth_place(bits: Array, count: int) -> int:
    places = np.empty(bits.size, np.int64)
    for token_id in range(bits.size):
        places[token_id] = place_of(bits[token_id], token_id)
    return int(np.partition(places, count - 1)[count - 1])


@kernel
def count_up_to(row: Row, limit: int) -> int:
    """How many tokens have a place ≤ limit."""
    count = 0
    for group in range(row.firsts.size):
        if row.firsts[group] <= limit:
            for token_id in range(group * GROUP, min((group + 1) * GROUP, row.bits.size)):
                count += place_of(row.bits[token_id], token_id) <= limit
    return count
