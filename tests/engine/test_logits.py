"""Steps 1 to 6 against plain NumPy formulas, and the end of a sample that no token is left for."""

from __future__ import annotations

from collections.abc import Sequence as Ordered
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ensue.engine.logits import process
from ensue.engine.rows import SampledToken
from ensue.engine.sampler import Sampler
from ensue.engine.sequence import Sequence
from ensue.sampling_params import SamplingParams
from tests.engine.toy import make_request

Array = npt.NDArray[Any]
INF = float("inf")
WIDTH = 12


def sequence_of(
    sampling: SamplingParams, prompt: Ordered[int] = (1, 2, 3), output: Ordered[int] = (), **request: Any
) -> Sequence:
    """A sequence that has generated `output`."""
    request = {"max_tokens": 64, **request}
    sequence = Sequence((0, 1), make_request(prompt, sampling=sampling, **request), 0, 0, 0.0)
    for token_id in output:
        sequence.append(SampledToken(token_id), 1000)
    return sequence


def reference(logits: Array, sequence: Sequence) -> Array:
    """The contract's sentences, one after the other, on a row of float32."""
    request, how = sequence.request, sequence.request.sampling
    text = sequence.token_ids
    output = text[len(request.prompt_token_ids) :]
    row, one = logits.copy(), np.float32(1)
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
                row[i] = -INF if bias == -100 else row[i] + np.float32(bias)
        if i in text:
            factor = np.float32(how.repetition_penalty)
            row[i] = row[i] / factor if row[i] > 0 else row[i] * factor
        row[i] -= np.float32(how.frequency_penalty) * (one * output.count(i))
        row[i] -= np.float32(how.presence_penalty) * (one * (i in output))
    return row


def processed(logits: Array, sequence: Sequence) -> Array:
    (row,) = process(logits[None], [sequence.sample_row()])
    return np.asarray(row)


ids = st.integers(0, WIDTH - 1)
texts = st.lists(st.integers(0, 4) | ids, max_size=12)
logits_rows = st.lists(st.sampled_from([-INF, -2.0, 0.0, 1.0]) | st.floats(-30, 30, width=32), min_size=12, max_size=12)
penalties = st.sampled_from([0.0, 0.5, -2.0, 2.0, 0.1])
samplings = st.builds(
    SamplingParams,
    allowed_token_ids=st.none() | st.lists(ids, min_size=1).map(tuple),
    bad_words_token_ids=st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=3).map(tuple), max_size=4).map(tuple),
    logit_bias=st.dictionaries(ids, st.sampled_from([-100.0, 100.0, -0.3, 5.0])).map(lambda d: tuple(d.items())),
    repetition_penalty=st.sampled_from([1.0, 1.0, 1.3, 0.7]),
    frequency_penalty=penalties,
    presence_penalty=penalties,
)
limits = st.fixed_dictionaries(
    {
        "min_tokens": st.integers(0, 14),
        "end_token_ids": st.lists(ids, max_size=2).map(tuple),
        "stop_token_ids": st.lists(ids, max_size=2).map(tuple),
    }
)


@given(logits_rows, samplings, texts.filter(bool), texts, limits)
@settings(max_examples=400, deadline=None)
def test_all_steps_equal_the_contract(
    logits: list[float], sampling: SamplingParams, prompt: list[int], output: list[int], limits: dict[str, Any]
) -> None:
    row = np.array(logits, np.float32)
    sequence = sequence_of(sampling, prompt, output, **limits)
    assert processed(row, sequence).tolist() == reference(row, sequence).tolist()


def test_rows_that_change_nothing_are_not_even_copied() -> None:
    logits = np.zeros((2, WIDTH), np.float32)
    plain = sequence_of(SamplingParams(temperature=0.5, top_k=3, top_p=0.9, min_p=0.1)).sample_row()
    assert process(logits, [plain, plain]) is logits


BAN_ALL = SamplingParams(logit_bias=tuple((i, -100.0) for i in range(WIDTH)))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_row_without_a_token_left_is_told_apart_from_one_that_is_not_finite(temperature: float) -> None:
    banned = sequence_of(replace(BAN_ALL, temperature=temperature)).sample_row()
    logits = torch.zeros(3, WIDTH)
    logits[1, 2] = torch.nan
    none_left, bad, good = Sampler().sample(logits, [banned, banned, sequence_of(SamplingParams()).sample_row()])
    assert (none_left.has_token, none_left.is_finite) == (False, True)
    assert not bad.is_finite
    assert (good.has_token, good.is_finite) == (True, True)
