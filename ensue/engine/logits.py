"""From the rows' settings and histories to the changes that steps 1 to 6 of the sampling order make to their logits.

The arithmetic of the steps is in `model/kernels/changes`. Raw logits are never changed; a row without a feature is
not even copied.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ensue.engine.history import History, LogitRules
from ensue.engine.rows import SampleRow
from ensue.model.kernels.changes import Changes, change_rows

Array = npt.NDArray[Any]
_LEAST = float(np.finfo(np.float32).tiny)
_LARGEST = float(np.finfo(np.float32).max)
_NO_RULES, _NO_HISTORY = LogitRules.none(), History()


def process(logits: Array, rows: Sequence[SampleRow]) -> Array:
    """The logits that tokens are chosen by, before temperature and filters.

    Args:
        logits: raw, float32 [num_rows, width]; left as they are.
        rows: one per row of logits.

    Returns:
        float32 [num_rows, width]; `logits` itself where no row changes any.
    """
    if not any(row.changes_logits for row in rows):
        return logits
    return process_some(logits, range(len(rows)), rows)


def process_some(logits: Array, indices: Sequence[int], rows: Sequence[SampleRow]) -> Array:
    """The same for the rows of logits at `indices`, in that order: float32 [len(indices), width].

    Args:
        rows: one per index.
    """
    processed = np.empty((len(indices), logits.shape[1]), np.float32)
    if len(indices):
        change_rows(logits, np.asarray(indices, np.int64), changes_of(rows), processed)
    return processed


def changes_of(rows: Sequence[SampleRow]) -> Changes:
    """The columns of all rows."""
    rules = [row.rules or _NO_RULES for row in rows]
    histories = [row.history or _NO_HISTORY for row in rows]
    settings = [row.sampling for row in rows]
    masks, banned_ids, bias_ids, seen_ids, counted_ids = columns = (
        [_mask_of(row.guide_mask, r.allowed_mask) for row, r in zip(rows, rules, strict=True)],
        [(*row.banned_ids, *row.masked_ids) for row in rows],
        [r.bias_ids for r in rules],
        [h.seen_ids for h in histories],
        [h.output_ids for h in histories],
    )
    return Changes(
        np.array([[0, *itertools.accumulate(map(len, parts))] for parts in columns], np.int64),
        _joined(masks, np.uint8),
        _joined(banned_ids, np.int64),
        _joined(bias_ids, np.int64),
        _joined([r.biases for r in rules], np.float32),
        _joined(seen_ids, np.int64),
        _joined(counted_ids, np.int64),
        _joined([h.counts for h in histories], np.int64),
        np.array([min(max(s.repetition_penalty, _LEAST), _LARGEST) for s in settings], np.float32),
        np.array([s.frequency_penalty for s in settings], np.float32),
        np.array([s.presence_penalty for s in settings], np.float32),
    )


def _mask_of(guide: bytes | None, allowed: array[int]) -> Array:
    """Steps 1 and 2 as one mask, empty where all tokens may stand; beyond the last byte none may."""
    of_request = np.asarray(allowed, np.uint8)
    if guide is None:
        return of_request
    of_guide = np.frombuffer(guide or b"\0", np.uint8)
    if not of_request.size:
        return of_guide
    num_bytes = min(of_guide.size, of_request.size)
    return of_guide[:num_bytes] & of_request[:num_bytes]


def _joined(parts: Sequence[Any], dtype: type[np.generic]) -> Array:
    return np.concatenate([np.asarray(part, dtype) for part in parts])
