"""From rows of raw logits to chosen tokens and their log-probabilities.

The order of spec: raw logits → log-probabilities are read here → steps 1 to 6 change the logits (masks, biases,
penalties), see `logits` → steps 7 to 11 choose (temperature, min_p, top_k, top_p, draw). The arithmetic is in
`model/kernels/sampling`; this file turns settings into columns and columns into results.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from ensue.engine.logits import process, process_some
from ensue.engine.rows import Candidates, SampledToken, SampleRow
from ensue.model.kernels.sampling import NO_TOKEN, choose_tokens, log_probabilities
from ensue.model.kernels.vocabulary import NOT_FINITE
from ensue.outputs import TokenLogprobs

Array = npt.NDArray[Any]
_SEED_MASK = 2**64 - 1
_SIGN = 2**63


class Sampler:
    """Stateless: what a row gives depends on its logits and its `SampleRow` alone."""

    def choose(self, logits: Tensor, rows: Sequence[SampleRow]) -> Sequence[SampledToken | Candidates]:
        """A token for each row, or the candidates of one that is a beam's."""
        beams = [i for i, row in enumerate(rows) if row.num_candidates]
        if not beams:
            return self.sample(logits, rows)
        others = [i for i, row in enumerate(rows) if not row.num_candidates]
        found: dict[int, SampledToken | Candidates] = {}
        found |= zip(beams, self.candidates(logits[beams], [rows[i] for i in beams]), strict=True)
        if others:
            found |= zip(others, self.sample(logits[others], [rows[i] for i in others]), strict=True)
        return [found[i] for i in range(len(rows))]

    def sample(self, logits: Tensor, rows: Sequence[SampleRow]) -> list[SampledToken]:
        """Choose one token per row.

        Args:
            logits: raw, float32 [num_rows, width], on any device.
            rows: one per row of logits.
        """
        raw = _on_host(logits)  # [num_rows, width]
        chosen = _choose(raw, rows)
        asked = [i for i, row in enumerate(rows) if row.num_logprobs is not None and chosen[i] >= 0]
        columns = _columns(raw, asked, chosen[asked, None], max((rows[i].num_logprobs or 0 for i in asked), default=0))
        results = [_without_logprobs(token_id) for token_id in chosen.tolist()]
        for n, i in enumerate(asked):
            results[i] = columns.token(n, int(chosen[i]), rows[i].num_logprobs or 0)
        return results

    def candidates(self, logits: Tensor, rows: Sequence[SampleRow]) -> list[Candidates]:
        """The `num_candidates` likeliest tokens of each row that its masks leave, for beam search."""
        raw = _on_host(logits)  # [num_rows, width]
        count, everything = max(row.num_candidates for row in rows), range(len(rows))
        found = _columns(process(raw, rows), everything, np.empty((len(rows), 0), np.int64), count)
        asked = [i for i, row in enumerate(rows) if row.num_logprobs is not None]
        columns = _columns(raw, asked, found.top_ids[asked], max((rows[i].num_logprobs or 0 for i in asked), default=0))
        are_finite = np.isfinite(raw.max(axis=1))
        results = [_candidates(found, i, row) if are_finite[i] else _BAD_CANDIDATES for i, row in enumerate(rows)]
        for n, i in enumerate(asked):
            results[i] = columns.beside(n, results[i], rows[i].num_logprobs or 0)
        return results

    def score(self, logits: Tensor, target_ids: Sequence[int], num_logprobs: int) -> TokenLogprobs:
        """Log-probabilities of given tokens, for a slice of a prompt.

        Args:
            logits: raw, float32 [len(target_ids), width]; row i is the one that predicts target_ids[i].

        Returns:
            Columns; a row that is not finite (NaN, +inf) has NaN as its chosen value.
        """
        raw = _on_host(logits)
        columns = _columns(raw, range(len(target_ids)), np.asarray(target_ids, np.int64)[:, None], num_logprobs)
        return TokenLogprobs(
            tuple(columns.chosen[:, 0].tolist()),
            tuple(columns.rank[:, 0].tolist()),
            tuple(map(tuple, columns.top_ids.tolist())),
            tuple(map(tuple, columns.top.tolist())),
        )


def has_failed(logprobs: TokenLogprobs) -> bool:
    """True where a scored row was not finite: its sequence must end with an error."""
    return any(map(math.isnan, logprobs.chosen))


@dataclass(frozen=True, slots=True)
class _Columns:
    """What `log_probabilities` fills: n rows, t targets each, k likeliest tokens."""

    chosen: Array  # float64 [n, t]
    rank: Array  # int64 [n, t]
    top_ids: Array  # int64 [n, k]
    top: Array  # float64 [n, k]

    def token(self, n: int, token_id: int, num_logprobs: int) -> SampledToken:
        return SampledToken(
            token_id,
            float(self.chosen[n, 0]),
            int(self.rank[n, 0]),
            tuple(self.top_ids[n, :num_logprobs].tolist()),
            tuple(self.top[n, :num_logprobs].tolist()),
        )

    def beside(self, n: int, candidates: Candidates, num_logprobs: int) -> Candidates:
        """The same candidates, the first targets of row n, with these columns."""
        count = len(candidates.token_ids)
        return replace(
            candidates,
            raw_logprobs=tuple(self.chosen[n, :count].tolist()),
            ranks=tuple(self.rank[n, :count].tolist()),
            top_ids=tuple(self.top_ids[n, :num_logprobs].tolist()),
            top_logprobs=tuple(self.top[n, :num_logprobs].tolist()),
        )


_BAD_CANDIDATES = Candidates((), (), is_finite=False)


def _candidates(likeliest: _Columns, n: int, row: SampleRow) -> Candidates:
    """Those of row n that are not banned, which all stand before those that are."""
    logprobs = likeliest.top[n, : row.num_candidates]
    count = int(np.count_nonzero(logprobs > -np.inf))  # 0 where nothing is left: then all are NaN
    return Candidates(tuple(likeliest.top_ids[n, :count].tolist()), tuple(logprobs[:count].tolist()))


def _without_logprobs(token_id: int) -> SampledToken:
    if token_id == NOT_FINITE:
        return SampledToken(0, is_finite=False)
    return SampledToken(0, has_token=False) if token_id == NO_TOKEN else SampledToken(token_id)


def _on_host(logits: Tensor) -> Array:
    """The same numbers as a contiguous array; no copy for a contiguous tensor of the CPU."""
    array: Array = np.ascontiguousarray(logits.detach().cpu().numpy())
    assert array.dtype == np.float32
    return array


def _bits(logits: Array) -> Array:
    return logits.view(np.int32)


def _choose(raw: Array, rows: Sequence[SampleRow]) -> Array:
    """All steps: int64 [num_rows], token ids, NOT_FINITE or NO_TOKEN."""
    width = raw.shape[1]
    indices = [i for i, row in enumerate(rows) if row.changes_logits]
    changed = process_some(raw, indices, [rows[i] for i in indices])
    copies = np.full(len(rows), -1, np.int64)
    copies[indices] = np.arange(len(indices))
    settings = [row.sampling for row in rows]
    chosen = np.empty(len(rows), np.int64)
    choose_tokens(
        raw,
        _bits(raw),
        changed,
        _bits(changed),
        copies,
        np.array([0.0 if s.is_greedy else s.temperature for s in settings], np.float64),
        np.array([s.min_p for s in settings], np.float64),
        np.array([s.top_k or width for s in settings], np.int64),
        np.array([s.top_p for s in settings], np.float64),
        np.array([_as_int64(row.seed) for row in rows], np.int64),
        np.array([row.sample_index for row in rows], np.int64),
        np.array([row.position for row in rows], np.int64),
        chosen,
    )
    return chosen


def _as_int64(seed: int) -> int:
    """The low 64 bits, so that a seed drawn without a sign fits too."""
    return (seed & _SEED_MASK ^ _SIGN) - _SIGN


def _columns(logits: Array, rows: Sequence[int], targets: Array, num_logprobs: int) -> _Columns:
    """Log-probabilities of `targets[n]` in row `rows[n]`."""
    shape, top_shape = targets.shape, (len(rows), min(num_logprobs, logits.shape[1]))
    columns = _Columns(np.empty(shape), np.empty(shape, np.int64), np.empty(top_shape, np.int64), np.empty(top_shape))
    if len(rows):
        log_probabilities(
            logits,
            _bits(logits),
            np.asarray(rows, np.int64),
            targets,
            columns.chosen,
            columns.rank,
            columns.top_ids,
            columns.top,
        )
    return columns
