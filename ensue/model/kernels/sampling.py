"""Choosing tokens from rows of logits, and their log-probabilities. Knows nothing of requests, bans or penalties.

Order, weight and mass are those of `vocabulary`. No other row, no number of threads, no shortcut changes a bit.

*min_p* keeps weights ≥ min_p, as the largest weight is 1. *top_k* and *top_p* keep a beginning of the order.

*top_p* keeps tokens in order until they have top_p × mass. Here the mass is added up in that order, but without a
sort: the kept weights go, by ascending id, into 4,096 buckets, 32 for each unit of (largest logit − logit) /
temperature; buckets are added up, and only the tokens of the one that reaches the target are sorted and added singly.

*Draw.* The kept tokens lie on a line by ascending id, each as long as its weight. The point noise × mass falls into
one of them.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from ensue.model.kernels.jit import kernel, parallel_kernel
from ensue.model.kernels.philox import uniform
from ensue.model.kernels.vocabulary import (
    GROUP,
    ID,
    NO_CUT,
    NOT_FINITE,
    Row,
    count_up_to,
    cumulate,
    fill_weights,
    is_alive,
    place_of,
    rank_tokens,
    read_row,
    weight_of,
)

Array = npt.NDArray[Any]

DRAW = 0  # the purpose of the noise, a word of the generator's counter
NUM_BUCKETS = 4096
BUCKETS_PER_UNIT = 32


@kernel
def _find_cut(row: Row, top_k: int, top_p: float) -> int:
    """The place of the last token that top_k and then top_p keep."""
    cut = NO_CUT
    if top_k < row.bits.size:
        cut = rank_tokens(row, top_k)[top_k - 1]
    return _find_nucleus(row, cut, top_p) if top_p < 1.0 else cut


@kernel
def _find_nucleus(row: Row, cut: int, top_p: float) -> int:
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
        mass += weight_of(row, place & ID)
        if mass >= target:
            return int(place)
    return int(places[-1])  # rounding: the bucket's weights were added by id


@kernel
def _bucket(row: Row, token_id: int) -> int:
    distance = (row.highest - np.float64(row.logits[token_id])) / row.temperature
    return int(min(distance * BUCKETS_PER_UNIT, NUM_BUCKETS - 1.0))


@kernel
def _fill_buckets(row: Row, cut: int) -> Array:
    """The kept weights of each bucket, added by ascending id: float64 [buckets]."""
    buckets = np.zeros(NUM_BUCKETS)
    weights = np.empty(GROUP)
    for group in range(row.firsts.size):
        if is_alive(row, cut, group):
            fill_weights(row, cut, group, weights)
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
def _places_in(row: Row, cut: int, bucket: int) -> Array:
    """The places of the kept tokens of one bucket, in order."""
    places = np.empty(row.bits.size, np.int64)
    found = 0
    for group in range(row.firsts.size):
        if row.firsts[group] <= cut and _bucket(row, row.firsts[group] & ID) <= bucket:
            for token_id in range(group * GROUP, min((group + 1) * GROUP, row.bits.size)):
                place = place_of(row.bits[token_id], token_id)
                if place <= cut and _bucket(row, token_id) == bucket and weight_of(row, token_id) >= row.floor:
                    places[found] = place
                    found += 1
    return np.sort(places[:found])


@kernel
def _draw(row: Row, cut: int, noise: float) -> int:
    """The token into which the point noise × mass falls; never one of weight 0."""
    ends = cumulate(row, cut)
    point = noise * ends[-1]  # below the mass, as noise ≤ 1 − 2⁻⁵³
    group = np.searchsorted(ends, point, side="right")
    mass = ends[group - 1] if group else 0.0
    weights = np.empty(GROUP)
    fill_weights(row, cut, group, weights)
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
        row, best = read_row(logits[i], bits[i], temperature[i], min_p[i])
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
        row, best = read_row(logits[rows[n]], bits[rows[n]], 1.0, 0.0)
        if best == NOT_FINITE:
            chosen[n], rank[n], top_ids[n], top[n] = np.nan, 0, 0, np.nan
            continue
        log_mass = math.log(cumulate(row, NO_CUT)[-1])
        target = targets[n]
        chosen[n] = (row.logits[target] - row.highest) - log_mass
        rank[n] = count_up_to(row, place_of(row.bits[target], target))
        if top.shape[1]:
            places = rank_tokens(row, top.shape[1])
            for j in range(top.shape[1]):
                top_ids[n, j] = places[j] & ID
                top[n, j] = (row.logits[places[j] & ID] - row.highest) - log_mass


def warm_sampling() -> None:
    """Compile every kernel of this module, or load it from the cache on disk."""
    logits = np.zeros((1, GROUP), np.float32)
    one, zero, index = np.ones(1), np.zeros(1), np.zeros(1, np.int64)
    choose_tokens(logits, logits.view(np.int32), one, zero, index + 1, one, index, index, index, index.copy())
    top_ids, top = np.zeros((1, 1), np.int64), np.zeros((1, 1))
    log_probabilities(logits, logits.view(np.int32), index, index, zero.copy(), index.copy(), top_ids, top)
