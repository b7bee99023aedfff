"""The sampling order of the contract in plain NumPy, sentence by sentence: what tests compare the engine with."""

from __future__ import annotations

from collections.abc import Sequence as Ordered
from typing import Any

import numpy as np
import numpy.typing as npt

from ensue.engine.rows import SampledToken
from ensue.engine.sequence import Sequence
from ensue.sampling_params import SamplingParams
from tests.engine.toy import make_request

Array = npt.NDArray[Any]
INF = float("inf")


def sequence_of(sampling: SamplingParams, prompt: Ordered[int], output: Ordered[int], **request: Any) -> Sequence:
    """A sequence that has generated `output`."""
    sequence = Sequence((0, 1), make_request(prompt, sampling=sampling, **request), 0, 0, 0.0)
    for token_id in output:
        sequence.append(SampledToken(token_id), 1000)
    return sequence


def processed_logits(logits: Array, sequence: Sequence) -> Array:
    """Steps 2 to 6 on one row, in float32."""
    request, how, text = sequence.request, sequence.request.sampling, tuple(sequence.token_ids)
    output = text[len(request.prompt_token_ids) :]
    row, number = logits.copy(), np.float32
    for i in range(row.size):
        if how.allowed_token_ids is not None and i not in how.allowed_token_ids:
            row[i] = -INF
        for word in how.bad_words_token_ids:
            if (*text, i)[-len(word) :] == word:
                row[i] = -INF
        if len(output) < request.min_tokens and i in (*request.end_token_ids, *request.stop_token_ids):
            row[i] = -INF
        for token_id, bias in how.logit_bias:
            if token_id == i:
                row[i] = -INF if bias == -100 else row[i] + number(bias)
        if i in text:
            factor = number(how.repetition_penalty)
            row[i] = row[i] / factor if row[i] > 0 else row[i] * factor
        row[i] -= number(how.frequency_penalty) * number(output.count(i))
        row[i] -= number(how.presence_penalty) * number(i in output)
    return row


def kept_ids(logits: Array, how: SamplingParams) -> Array:
    """Steps 8 to 10 on one row, with a full sort; ids ascending."""
    weights = np.exp((logits.astype(np.float64) - logits.max()) / how.temperature)
    ids = np.lexsort((np.arange(logits.size), -logits))  # likeliest first, on ties the lowest id
    ids = ids[(weights[ids] >= how.min_p) & (weights[ids] > 0)][: how.top_k]
    if how.top_p < 1:
        mass = np.cumsum(weights[ids])
        ids = ids[: np.argmax(mass >= how.top_p * mass[-1] * (1 - 1e-12)) + 1]
    return np.sort(ids)


def drawn_id(logits: Array, how: SamplingParams, noise: float) -> int:
    """Steps 7 to 11: the kept ids on a line, ascending; the one in which the point falls."""
    if how.temperature < 2.0**-149:
        return int(np.argmax(logits))
    ids = kept_ids(logits, how)
    ends = np.cumsum(np.exp((logits[ids].astype(np.float64) - logits.max()) / how.temperature))
    return int(ids[np.searchsorted(ends, noise * ends[-1], side="right")])
