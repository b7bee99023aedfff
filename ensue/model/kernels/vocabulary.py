"""The order of a row's tokens: which is first, which are the first k, where one stands. A function of the row alone.

A token comes before another if its logit is larger or, on a tie, if its id is lower. `place_of` makes that one integer:
ascending places are the order.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ensue.model.kernels.jit import kernel

Array = npt.NDArray[Any]

GROUP = 128
NOT_FINITE = -1  # instead of a token id: the row holds a NaN, a +inf, or nothing above −inf
ID = (1 << 32) - 1  # the part of a place that holds the token's id

_AFTER_ALL = (1 << 63) - 1
_ID_BITS = 32
_INFINITY = 0x7F800000  # the bits of float32 +inf; a NaN's are larger
_MAGNITUDE = 0x7FFFFFFF


class Row(NamedTuple):
    """One row of logits."""

    logits: Array  # float32 [width]
    bits: Array  # int32 [width]: the same memory
    firsts: Array  # int64 [groups]: the first place in each group of 128 ids
    first: int  # id of the first token of the order; NOT_FINITE: there is nothing to choose from


@kernel
def place_of(bits: int, token_id: int) -> int:
    """Where a token stands in the order: −logit in the high half as an integer in the floats' order, the id below."""
    magnitude = bits & _MAGNITUDE
    descending = -magnitude if bits >= 0 else magnitude  # −0.0 and 0.0 are both 0
    return (descending << _ID_BITS) | token_id


@kernel
def read_row(logits: Array, bits: Array) -> Row:
    """The row with its groups' first places."""
    firsts = np.empty((bits.size + GROUP - 1) // GROUP, np.int64)
    last = -_AFTER_ALL
    for group in range(firsts.size):
        start, first = group * GROUP, _AFTER_ALL
        group_bits = bits[start : start + GROUP]
        for i in range(group_bits.size):
            place = place_of(group_bits[i], start + i)
            first = min(first, place)
            last = max(last, place)
        firsts[group] = first
    first = firsts.min()
    is_finite = -_INFINITY < first >> _ID_BITS < _INFINITY and last >> _ID_BITS <= _INFINITY
    return Row(logits, bits, firsts, first & ID if is_finite else NOT_FINITE)


@kernel
def rank_tokens(row: Row, count: int) -> Array:
    """The places of at least the `count` first tokens, in order: a beginning of the order, however long."""
    bits, firsts = row.bits, row.firsts
    if count <= firsts.size:  # as many groups have a place up to this one, so at least as many places are
        limit = np.partition(firsts, count - 1)[count - 1]
    else:
        limit = _nth_place(bits, min(count, bits.size))
    places = np.empty(count_up_to(row, limit), np.int64)
    found = 0
    for group in range(firsts.size):
        if firsts[group] <= limit:
            for token_id in range(group * GROUP, min((group + 1) * GROUP, bits.size)):
                place = place_of(bits[token_id], token_id)
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
    bits, firsts = row.bits, row.firsts
    count = 0
    for group in range(firsts.size):
        if firsts[group] <= limit:
            group_bits = bits[group * GROUP : (group + 1) * GROUP]
            for i in range(group_bits.size):
                count += place_of(group_bits[i], group * GROUP + i) <= limit
    return count
