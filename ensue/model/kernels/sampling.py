"""Choosing tokens from rows of logits, and their log-probabilities. Knows nothing of requests, bans or penalties.

Order is that of `vocabulary`; weight, mass and draw are those of `weights`. No other row, no number of threads, no
shortcut changes a bit.

*min_p* keeps weights ≥ min_p, as the largest weight is 1. *top_k* and *top_p* keep a beginning of the order; the k
tokens that top_k keeps are copied to a short row, ids ascending, and the rest is done there.

*top_p* keeps tokens in order until they have top_p × mass. Here the mass is added up in that order, but without a
sort: the kept weights go, by ascending id, into 4,096 buckets, 64 for each unit of (largest logit − logit) /
temperature; buckets are added up, and only the tokens of the one that reaches the target are sorted and added singly.
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
    NOT_FINITE,
    Row,
    count_up_to,
    place_of,
    rank_tokens,
    read_row,
)
from ensue.model.kernels.weights import LOG2_E, cumulate, cut_off, draw, weigh

Array = npt.NDArray[Any]

NO_TOKEN = -2  # instead of a token id: what changed the row has left nothing above −inf
DRAW = 0  # the purpose of the noise, a word of the generator's counter
NUM_BUCKETS = 4096
BUCKETS_PER_UNIT = 64


@kernel
def _choose(row: Row, temperature: float, min_p: float, top_k: int, top_p: float, noise: float) -> int:
    """Steps 7 to 11 for a row and a temperature above 0."""
    highest = np.float64(row.logits[row.first])
    if top_k < row.logits.size:
        ids = np.sort(rank_tokens(row, top_k)[:top_k] & ID)
        return int(ids[_draw_from(row.logits[ids], highest, temperature, min_p, top_p, noise)])
    return _draw_from(row.logits, highest, temperature, min_p, top_p, noise)


@kernel
def _draw_from(logits: Array, highest: float, temperature: float, min_p: float, top_p: float, noise: float) -> int:
    weights = weigh(logits, highest, LOG2_E / temperature, min_p)
    if top_p < 1.0:
        cut_off(weights, logits, _last_of_nucleus(logits, weights, highest, BUCKETS_PER_UNIT / temperature, top_p))
    return draw(weights, noise)


@kernel
def _last_of_nucleus(logits: Array, weights: Array, highest: float, scale: float, top_p: float) -> int:
    """Walk bucket by bucket, then token by token in the bucket where the mass reaches top_p."""
    buckets = _buckets_of(logits, highest, scale)
    sums = np.zeros(NUM_BUCKETS)
    for i in range(logits.size):
        sums[buckets[i]] += weights[i]
    target = top_p * _add_up(sums)
    mass = 0.0
    bucket = 0
    while mass + sums[bucket] < target:
        mass += sums[bucket]
        bucket += 1
    last = 0
    for place in _places_of(logits, weights, _find_equal(buckets, bucket)):
        last = place & ID  # the bucket's last one stands if rounding leaves the sum short: it was added up by id
        mass += weights[last]
        if mass >= target:
            break
    return last


@kernel
def _buckets_of(logits: Array, highest: float, scale: float) -> Array:
    """Each token's bucket, never a lower one for a smaller logit: uint16 [whole groups], NUM_BUCKETS beyond the row."""
    buckets = np.empty((logits.size + GROUP - 1) // GROUP * GROUP, np.uint16)
    buckets[logits.size :] = NUM_BUCKETS
    for i in range(logits.size):
        buckets[i] = np.uint16(np.int32(min((highest - np.float64(logits[i])) * scale, NUM_BUCKETS - 1.0)))
    return buckets


@kernel
def _add_up(numbers: Array) -> float:
    total = 0.0
    for number in numbers:
        total += number
    return total


@kernel
def _find_equal(numbers: Array, number: int) -> Array:
    """Where it stands, ascending; eight places are passed over at once, as it is rare."""
    found = np.empty(numbers.size, np.int64)
    num_found = 0
    flags = np.empty(GROUP, np.uint8)
    eights = flags.view(np.uint64)
    for start in range(0, numbers.size, GROUP):
        group = numbers[start : start + GROUP]
        for i in range(GROUP):
            flags[i] = group[i] == np.uint16(number)
        for eight in range(eights.size):
            if eights[eight]:
                for i in range(8 * eight, 8 * eight + 8):
                    found[num_found] = start + i
                    num_found += flags[i]
    return found[:num_found]


@kernel
def _places_of(logits: Array, weights: Array, ids: Array) -> Array:
    """The places of those that weigh anything, in order."""
    bits = logits.view(np.int32)
    places = np.empty(ids.size, np.int64)
    num_found = 0
    for token_id in ids:
        places[num_found] = place_of(bits[token_id], token_id)
        num_found += weights[token_id] > 0.0
    return np.sort(places[:num_found])


@kernel
def _read(logits: Array, bits: Array, changed: Array, changed_bits: Array, i: int, n: int) -> Row:
    """Row i, or its changed copy n where n ≥ 0; with NO_TOKEN as its first where only the changes are to blame."""
    row = read_row(logits[i], bits[i])
    if n < 0 or row.first == NOT_FINITE:
        return row
    row = read_row(changed[n], changed_bits[n])
    return row if row.first != NOT_FINITE else Row(row.logits, row.bits, row.firsts, NO_TOKEN)


@parallel_kernel
def choose_tokens(
    logits: Array,
    bits: Array,
    changed: Array,
    changed_bits: Array,
    copies: Array,
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
        logits, bits: raw, float32 [rows, width], and the same memory as int32.
        changed, changed_bits: the same, [copies, width], of the rows that steps 1 to 6 have changed.
        copies: int64 [rows], where a row's changed copy stands; −1: it has none.
        temperature, min_p, top_p: float64 [rows]; temperature 0 takes the first token of the order.
        top_k: int64 [rows], at least 1; the width or more is off.
        seed, sample_index, position: int64 [rows], what the noise is made of.
        chosen: int64 [rows], filled with token ids, NOT_FINITE or NO_TOKEN.
    """
    for i in numba.prange(logits.shape[0]):
        row = _read(logits, bits, changed, changed_bits, i, copies[i])
        chosen[i] = row.first
        if row.first >= 0 and temperature[i] > 0.0:
            noise = uniform(seed[i], sample_index[i], position[i], DRAW)
            chosen[i] = _choose(row, temperature[i], min_p[i], top_k[i], top_p[i], noise)


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
    """Log-softmax of logits: those of targets, their ranks from 1 in the order, and the likeliest tokens.

    Args:
        logits, bits: float32 [all rows, width], and the same memory as int32.
        rows: int64 [n], which rows.
        targets: int64 [n, t], token ids for each.
        chosen, rank: float64 and int64 [n, t], filled; NaN and 0 where a row is not finite.
        top_ids, top: int64 and float64 [n, k], k ≤ width, filled in order.
    """
    for n in numba.prange(rows.size):
        row = read_row(logits[rows[n]], bits[rows[n]])
        if row.first == NOT_FINITE:
            chosen[n], rank[n], top_ids[n], top[n] = np.nan, 0, 0, np.nan
            continue
        highest = np.float64(row.logits[row.first])
        log_mass = math.log(cumulate(weigh(row.logits, highest, LOG2_E, 0.0))[-1])
        for j in range(targets.shape[1]):
            target = targets[n, j]
            chosen[n, j] = (row.logits[target] - highest) - log_mass
            rank[n, j] = count_up_to(row, place_of(row.bits[target], target))
        if top.shape[1]:
            places = rank_tokens(row, top.shape[1])
            for j in range(top.shape[1]):
                top_ids[n, j] = places[j] & ID
                top[n, j] = (row.logits[places[j] & ID] - highest) - log_mass


def warm_sampling() -> None:
    """Compile every kernel of this module, or load it from the cache on disk."""
    logits = np.zeros((1, GROUP), np.float32)
    one, zero, index = np.ones(1), np.zeros(1), np.zeros(1, np.int64)
    bits = logits.view(np.int32)
    choose_tokens(logits, bits, logits, bits, index, one, zero, index + 1, one, index, index, index, index.copy())
    ids, values = np.zeros((1, 1), np.int64), np.zeros((1, 1))
    log_probabilities(logits, bits, index, ids, values, ids.copy(), ids.copy(), values.copy())
