"""Masks, bans, biases and penalties on rows of logits: steps 1 to 6 of the sampling order, all in float32.

Each step is a function that changes one row in place; `change_row` applies them in order. Ids beyond the row have no
logit, and change nothing. A finite logit stays finite unless it is banned: what would outgrow float32 becomes its
largest number. Knows nothing of requests and texts.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from ensue.model.kernels.jit import kernel, parallel_kernel

Array = npt.NDArray[Any]

_BANNED = np.float32(-np.inf)
_LARGEST = np.finfo(np.float32).max
_ZERO = np.float32(0.0)


class Changes(NamedTuple):
    """What to do to each row. Columns hold all rows' numbers, one row's after the other's.

    Row i's part of a column is [starts[i], starts[i + 1]) for its row of starts; where it is empty, nothing is done.
    """

    starts: Array  # int64 [columns, rows + 1]: of masks, banned, biases, seen, counted
    masks: Array  # uint8: bit (id mod 8) of byte (id div 8) says that a token may stand; beyond the last byte none may
    banned_ids: Array  # int64, as all ids
    bias_ids: Array
    biases: Array  # float32, one per bias id; −inf bans
    seen_ids: Array  # distinct ids of prompt ∪ output
    counted_ids: Array  # distinct ids of the output
    counts: Array  # int64, one per counted id
    repetition: Array  # float32 [rows], as the other penalties; neither 0 nor infinite
    frequency: Array
    presence: Array


MASKS, BANNED, BIASES, SEEN, COUNTED = range(5)  # the rows of `starts`


@kernel
def _part(changes: Changes, column: int, i: int) -> slice:
    return slice(changes.starts[column, i], changes.starts[column, i + 1])


@kernel
def _is_in(logits: Array, token_id: int) -> bool:
    return 0 <= token_id < logits.size


@kernel
def _bounded(logit: np.float32) -> np.float32:
    return min(max(logit, -_LARGEST), _LARGEST)


@kernel
def mask(logits: Array, allowed: Array) -> None:
    """Ban what the bits do not allow."""
    for token_id in range(min(logits.size, 8 * allowed.size)):
        if not (allowed[token_id >> 3] >> (token_id & 7)) & 1:
            logits[token_id] = _BANNED
    logits[8 * allowed.size :] = _BANNED


@kernel
def ban(logits: Array, ids: Array) -> None:
    for token_id in ids:
        if _is_in(logits, token_id):
            logits[token_id] = _BANNED


@kernel
def add_biases(logits: Array, ids: Array, biases: Array) -> None:
    for i in range(ids.size):
        if _is_in(logits, ids[i]) and logits[ids[i]] > _BANNED:
            is_ban = biases[i] == _BANNED
            logits[ids[i]] = _BANNED if is_ban else _bounded(logits[ids[i]] + biases[i])


@kernel
def penalise_repetition(logits: Array, ids: Array, penalty: np.float32) -> None:
    """Positive logits ÷ penalty, the others × penalty."""
    for token_id in ids:
        if _is_in(logits, token_id) and logits[token_id] > _BANNED:
            logit = logits[token_id]
            logits[token_id] = _bounded(logit / penalty if logit > _ZERO else logit * penalty)


@kernel
def penalise_frequency(logits: Array, ids: Array, counts: Array, penalty: np.float32) -> None:
    for i in range(ids.size):
        if _is_in(logits, ids[i]) and logits[ids[i]] > _BANNED:
            logits[ids[i]] = _bounded(logits[ids[i]] - penalty * np.float32(counts[i]))


@kernel
def penalise_presence(logits: Array, ids: Array, penalty: np.float32) -> None:
    for token_id in ids:
        if _is_in(logits, token_id) and logits[token_id] > _BANNED:
            logits[token_id] = _bounded(logits[token_id] - penalty)


@kernel
def change_row(logits: Array, changes: Changes, i: int) -> None:
    """All steps on one row, in place."""
    allowed = changes.masks[_part(changes, MASKS, i)]
    biases, counted = _part(changes, BIASES, i), _part(changes, COUNTED, i)
    if allowed.size:  # a guided bitmask, step 1, is a mask of the same kind
        mask(logits, allowed)
    ban(logits, changes.banned_ids[_part(changes, BANNED, i)])
    add_biases(logits, changes.bias_ids[biases], changes.biases[biases])
    penalise_repetition(logits, changes.seen_ids[_part(changes, SEEN, i)], changes.repetition[i])
    penalise_frequency(logits, changes.counted_ids[counted], changes.counts[counted], changes.frequency[i])
    penalise_presence(logits, changes.counted_ids[counted], changes.presence[i])


@parallel_kernel
def change_rows(logits: Array, rows: Array, changes: Changes, changed: Array) -> None:
    """All steps on copies of some rows.

    Args:
        logits: float32 [all rows, width], left as they are.
        rows: int64 [n], which ones; the changes are those of these n.
        changed: float32 [n, width], filled.
    """
    for n in numba.prange(rows.size):
        changed[n] = logits[rows[n]]
        change_row(changed[n], changes, n)


def warm_changes() -> None:
    """Compile the steps, or load them from the cache on disk."""
    logits, ids, one = np.zeros((1, 1), np.float32), np.zeros(0, np.int64), np.ones(1, np.float32)
    starts = np.zeros((5, 2), np.int64)
    changes = Changes(starts, ids.astype(np.uint8), ids, ids, one[:0], ids, ids, ids, one, one, one)
    change_rows(logits, starts[0, :1], changes, logits.copy())
