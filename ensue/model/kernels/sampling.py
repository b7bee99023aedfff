"""Choosing tokens from rows of logits, and their log-probabilities. Knows nothing of requests, bans or penalties.

What a row gives is a function of that row and its settings alone: no other row, no number of threads and no shortcut
taken on the way changes a bit. Four definitions make it so; everything else is speed.

*Order.* A token comes before another if its logit is larger or, on a tie, if its id is lower. `_place` makes that one
integer: ascending places are the order. top_k and top_p keep a beginning of the order, so a *cut*, the place of the
last token kept, says all.

*Weight.* exp((logit − largest logit) / temperature) in float64, by our own exp. min_p keeps weights ≥ min_p, as the
largest weight is 1.

*Mass* of what is kept: ids in groups of 128, a group in 16 lanes (id mod 16) that are then added in pairs, the groups'
sums added up from id 0.

*top_p* keeps tokens in order until they have top_p × mass. Here the mass is added up in that order, but without a
sort: the kept weights go, by ascending id, into 4,096 buckets, 32 for each unit of (largest logit − logit) /
temperature; buckets are added up, and only the tokens of the one that reaches the target are sorted and added singly.

*Draw.* The kept tokens lie on a line by ascending id, each as long as its weight. The point noise × mass falls into
one of them.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from ensue.model.kernels.jit import kernel, parallel_kernel
from ensue.model.kernels.philox import uniform

Array = npt.NDArray[Any]

GROUP = 128
LANES = 16
NUM_BUCKETS = 4096
BUCKETS_PER_UNIT = 32
DRAW = 0  # the purpose of the noise, a word of the generator's counter
NOT_FINITE = -1  # instead of a token id: a NaN, a +inf, or nothing above −inf

_INFINITY = 0x7F800000  # the bits of float32 +inf; a NaN's are larger
_MAGNITUDE = 0x7FFFFFFF
_ID_BITS = 32
_ID = (1 << _ID_BITS) - 1
_NO_CUT = (1 << 63) - 1  # after every place

_LOG2_E = 1.4426950408889634
_LN2_HIGH = 6.93147180369123816490e-01  # its last bits are 0: a whole number below 2¹¹ times it is exact
_LN2_LOW = 1.90821492927058770002e-10
_ROUND = 6755399441055744.0  # 1.5 × 2⁵²: adding it leaves the nearest whole number in the low bits
_EXP_FLOOR = -700.0  # below it a weight is 0, long before subnormal numbers
_EXPONENT_BIAS = 1023
_MANTISSA_BITS = 52


class _Row(NamedTuple):
    """One row and how its weights are made."""

    logits: Array  # float32 [width]
    bits: Array  # int32 [width]: the same memory
    firsts: Array  # int64 [groups]: the first place in each group
    highest: float
    temperature: float
    floor: float  # min_p


@kernel
def _place(bits: int, token_id: int) -> int:
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
def _weight(row: _Row, token_id: int) -> float:
    return _exp((np.float64(row.logits[token_id]) - row.highest) / row.temperature)


@kernel
def _read(logits: Array, bits: Array, temperature: float, floor: float) -> tuple[_Row, int]:
    """The row with its groups' first places, and its first token, or NOT_FINITE."""
    firsts = np.empty((bits.size + GROUP - 1) // GROUP, np.int64)
    last = -_NO_CUT
    for group in range(firsts.size):
        start, first = group * GROUP, _NO_CUT
        group_bits = bits[start : start + GROUP]
        for i in range(group_bits.size):
            place = _place(group_bits[i], start + i)
            first = min(first, place)
            last = max(last, place)
        firsts[group] = first
    first = firsts.min()
    is_finite = -_INFINITY < first >> _ID_BITS < _INFINITY and last >> _ID_BITS <= _INFINITY
    best = first & _ID
    return _Row(logits, bits, firsts, np.float64(logits[best]), temperature, floor), best if is_finite else NOT_FINITE


@kernel
def _fill_weights(row: _Row, cut: int, group: int, weights: Array) -> None:
    """Weights of one group's ids; 0 for what is not kept and beyond the row's end."""
    start = group * GROUP
    logits, bits = row.logits[start : start + GROUP], row.bits[start : start + GROUP]
    for i in range(bits.size):
        weight = _exp((np.float64(logits[i]) - row.highest) / row.temperature)
        is_kept = (weight >= row.floor) & (_place(bits[i], start + i) <= cut)
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
def _is_alive(row: _Row, cut: int, group: int) -> bool:
    """False where every weight of the group is exactly 0."""
    first = row.firsts[group]
    return first <= cut and _weight(row, first & _ID) > 0.0


@kernel
def _cumulate(row: _Row, cut: int) -> Array:
    """Mass of all that is kept in groups 0…g, for each g: float64 [groups]."""
    weights = np.empty(GROUP)
    lanes = np.empty(LANES)
    ends = np.empty(row.firsts.size)
    mass = 0.0
    for group in range(ends.size):
        if _is_alive(row, cut, group):
            _fill_weights(row, cut, group, weights)
            mass += _sum_lanes(weights, lanes)
        ends[group] = mass
    return ends


@kernel
def _rank(row: _Row, count: int) -> Array:
    """The places of at least the `count` first tokens, in order: a beginning of the order, however long."""
    if count <= row.firsts.size:  # as many groups have a place up to this one, so at least as many places are
        limit = np.partition(row.firsts, count - 1)[count - 1]
    else:
        limit = _nth_place(row.bits, min(count, row.bits.size))
    places = np.empty(_count_up_to(row, limit), np.int64)
    found = 0
    for group in range(row.firsts.size):
        if row.firsts[group] <= limit:
            for token_id in range(group * GROUP, min((group + 1) * GROUP, row.bits.size)):
                place = _place(row.bits[token_id], token_id)
                if place <= limit:
                    places[found] = place
                    found += 1
    places.sort()
    return places


@kernel
def _nth_place(bits: Array, count: int) -> int:
    places = np.empty(bits.size, np.int64)
    for token_id in range(bits.size):
        places[token_id] = _place(bits[token_id], token_id)
    return int(np.partition(places, count - 1)[count - 1])


@kernel
def _count_up_to(row: _Row, limit: int) -> int:
    """How many tokens have a place ≤ limit."""
    count = 0
    for group in range(row.firsts.size):
        if row.firsts[group] <= limit:
            for token_id in range(group * GROUP, min((group + 1) * GROUP, row.bits.size)):
                count += _place(row.bits[token_id], token_id) <= limit
    return count


@kernel
def _find_cut(row: _Row, top_k: int, top_p: float) -> int:
    """The place of the last token that top_k and then top_p keep."""
    cut = _NO_CUT
    if top_k < row.bits.size:
        cut = _rank(row, top_k)[top_k - 1]
    return _find_nucleus(row, cut, top_p) if top_p < 1.0 else cut


@kernel
def _find_nucleus(row: _Row, cut: int, top_p: float) -> int:
    """Walk bucket by bucket, then token by token in the bucket where the mass reaches top_p."""
    buckets = _fill_buckets(row, cut)
    target = top_p * _add_up(buckets)
    mass = 0.0
    bucket = 0
    while mass + buckets[bucket] < target:
        mass += buckets[bucket]
        bucket += 1
    places = _places_in(row, cut, bucket)
    for place in places:
        mass += _weight(row, place & _ID)
        if mass >= target:
            return int(place)
    return int(places[-1])  # rounding: the bucket's weights were added by id


@kernel
def _bucket(row: _Row, token_id: int) -> int:
    distance = (row.highest - np.float64(row.logits[token_id])) / row.temperature
    return int(min(distance * BUCKETS_PER_UNIT, NUM_BUCKETS - 1.0))


@kernel
def _fill_buckets(row: _Row, cut: int) -> Array:
    """The kept weights of each bucket, added by ascending id: float64 [buckets]."""
    buckets = np.zeros(NUM_BUCKETS)
    weights = np.empty(GROUP)
    for group in range(row.firsts.size):
        if _is_alive(row, cut, group):
            _fill_weights(row, cut, group, weights)
            start = group * GROUP
            for i in range(min(GROUP, row.bits.size - start)):
                buckets[_bucket(row, start + i)] += weights[i]
    return buckets


@kernel
def _add_up(numbers: Array) -> float:
    total = 0.0
    for number in numbers:
        total += number
    return total


@kernel
def _places_in(row: _Row, cut: int, bucket: int) -> Array:
    """The places of the kept tokens of one bucket, in order."""
    places = np.empty(row.bits.size, np.int64)
    found = 0
    for group in range(row.firsts.size):
        if row.firsts[group] <= cut and _bucket(row, row.firsts[group] & _ID) <= bucket:
            for token_id in range(group * GROUP, min((group + 1) * GROUP, row.bits.size)):
                place = _place(row.bits[token_id], token_id)
                if place <= cut and _bucket(row, token_id) == bucket and _weight(row, token_id) >= row.floor:
                    places[found] = place
                    found += 1
    return np.sort(places[:found])


@kernel
def _draw(row: _Row, cut: int, noise: float) -> int:
    """The token into which the point noise × mass falls; never one of weight 0."""
    ends = _cumulate(row, cut)
    point = noise * ends[-1]  # below the mass, as noise ≤ 1 − 2⁻⁵³
    group = np.searchsorted(ends, point, side="right")
    mass = ends[group - 1] if group else 0.0
    weights = np.empty(GROUP)
    _fill_weights(row, cut, group, weights)
    chosen = 0
    for i in range(GROUP):
        if weights[i] > 0.0:
            chosen = i  # the last one stands if rounding leaves the sum short of the group's end
            mass += weights[i]
            if mass > point:
                break
    return int(group * GROUP + chosen)


@parallel_kernel
def choose_tokens(
    logits: Array,
    bits: Array,
    temperature: Array,
    min_p: Array,
    top_k: Array,
    top_p: Array,
    seed: Array,
    sample_index: Array,
    position: Array,
    chosen: Array,
) -> None:
    """Steps 7 to 11 of the sampling order for every row.

    Args:
        logits, bits: float32 [rows, width], and the same memory as int32.
        temperature, min_p, top_p: float64 [rows]; temperature 0 takes the first token of the order.
        top_k: int64 [rows], at least 1; the width or more is off.
        seed, sample_index, position: int64 [rows], what the noise is made of.
        chosen: int64 [rows], filled with token ids or NOT_FINITE.
    """
    for i in numba.prange(logits.shape[0]):
        row, best = _read(logits[i], bits[i], temperature[i], min_p[i])
        if best != NOT_FINITE and temperature[i] > 0.0:
            noise = uniform(seed[i], sample_index[i], position[i], DRAW)
            best = _draw(row, _find_cut(row, top_k[i], top_p[i]), noise)
        chosen[i] = best


@parallel_kernel
def log_probabilities(
    logits: Array,
    bits: Array,
    rows: Array,
    targets: Array,
    chosen: Array,
    rank: Array,
    top_ids: Array,
    top: Array,
) -> None:
    """Log-softmax of raw logits: the target's, its rank from 1 in the order, and the likeliest tokens.

    Args:
        logits, bits: float32 [all rows, width], and the same memory as int32.
        rows, targets: int64 [n], which rows, and a token id for each.
        chosen, rank: float64 and int64 [n], filled; NaN and 0 where a row is not finite.
        top_ids, top: int64 and float64 [n, k], k ≤ width, filled in order.
    """
    for n in numba.prange(rows.size):
        row, best = _read(logits[rows[n]], bits[rows[n]], 1.0, 0.0)
        if best == NOT_FINITE:
            chosen[n], rank[n], top_ids[n], top[n] = np.nan, 0, 0, np.nan
            continue
        log_mass = math.log(_cumulate(row, _NO_CUT)[-1])
        target = targets[n]
        chosen[n] = (row.logits[target] - row.highest) - log_mass
        rank[n] = _count_up_to(row, _place(row.bits[target], target))
        if top.shape[1]:
            places = _rank(row, top.shape[1])
            for j in range(top.shape[1]):
                top_ids[n, j] = places[j] & _ID
                top[n, j] = (row.logits[places[j] & _ID] - row.highest) - log_mass


def warm_sampling() -> None:
    """Compile every kernel of this module, or load it from the cache on disk."""
    logits = np.zeros((1, GROUP), np.float32)
    one, zero, index = np.ones(1), np.zeros(1), np.zeros(1, np.int64)
    choose_tokens(logits, logits.view(np.int32), one, zero, index + 1, one, index, index, index, index.copy())
    top_ids, top = np.zeros((1, 1), np.int64), np.zeros((1, 1))
    log_probabilities(logits, logits.view(np.int32), index, index, zero.copy(), index.copy(), top_ids, top)
