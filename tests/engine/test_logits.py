"""Steps 1 to 6 and the whole order against the contract in plain NumPy; rows that are left without a token."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ensue.engine.logits import process
from ensue.engine.sampler import Sampler
from ensue.engine.sequence import Sequence
from ensue.model.kernels.philox import uniform
from ensue.model.kernels.sampling import DRAW
from ensue.sampling_params import SamplingParams
from tests.engine.contract import drawn_id, processed_logits, sequence_of

Array = npt.NDArray[Any]
INF = float("inf")
WIDTH = 12
LOGITS = (1.0, -2.0, 0.0, 3.0, -1.0, 0.5, 2.0, -INF, 0.25, -0.5, 4.0, -4.0)

ids = st.integers(0, WIDTH - 1)
texts = st.lists(st.integers(0, 4) | ids, max_size=12)
logit = st.sampled_from([-INF, -2.0, 0.0, 1.0]) | st.floats(-30, 30, width=32)
logit_rows = st.lists(logit, min_size=WIDTH, max_size=WIDTH)
penalties = st.sampled_from([0.0, 0.5, -2.0, 2.0, 0.1])
samplings = st.builds(
    SamplingParams,
    allowed_token_ids=st.none() | st.lists(ids, min_size=1).map(tuple),
    bad_words_token_ids=st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=3).map(tuple), max_size=4).map(tuple),
    logit_bias=st.dictionaries(ids, st.sampled_from([-100.0, 100.0, -0.3, 5.0])).map(lambda d: tuple(d.items())),
    repetition_penalty=st.sampled_from([1.0, 1.0, 1.3, 0.7]),
    frequency_penalty=penalties,
    presence_penalty=penalties,
    temperature=st.sampled_from([0.0, 1e-46, 0.5, 1.0, 1.7]),
    min_p=st.sampled_from([0.0, 0.0, 0.05, 1.0]),
    top_k=st.none() | st.integers(1, WIDTH + 1),
    top_p=st.sampled_from([0.0, 0.4, 0.9, 1.0]),
)
limits = st.fixed_dictionaries(
    {
        "min_tokens": st.integers(0, 14),
        "end_token_ids": st.lists(ids, max_size=2).map(tuple),
        "stop_token_ids": st.lists(ids, max_size=2).map(tuple),
        "seed": st.integers(-(2**63), 2**63 - 1),
    }
)
sequences = st.builds(
    lambda sampling, prompt, output, limits: sequence_of(sampling, prompt, output, max_tokens=64, **limits),
    samplings,
    texts.filter(bool),
    texts,
    limits,
)


@given(logit_rows, sequences)
@settings(max_examples=300, deadline=None)
def test_all_steps_before_the_temperature_equal_the_contract(logits: list[float], sequence: Sequence) -> None:
    row = np.array(logits, np.float32)
    (processed,) = process(row[None], [sequence.sample_row()])
    assert processed.tolist() == processed_logits(row, sequence).tolist()


@given(st.lists(st.tuples(logit_rows.filter(lambda row: max(row) > -INF), sequences), min_size=1, max_size=5))
@settings(max_examples=200, deadline=None)
def test_the_tokens_of_mixed_rows_equal_the_contract(rows: list[tuple[list[float], Sequence]]) -> None:
    logits = np.array([values for values, _ in rows], np.float32)
    tokens = Sampler().sample(torch.from_numpy(logits.copy()), [sequence.sample_row() for _, sequence in rows])
    for values, (_, sequence), token in zip(logits, rows, tokens, strict=True):
        processed, request = processed_logits(values, sequence), sequence.request
        assert token.has_token == (processed.max() > -INF)
        if token.has_token:
            noise = uniform(request.seed, 0, sequence.num_tokens, DRAW)
            assert token.token_id == drawn_id(processed, request.sampling, noise)


@pytest.mark.parametrize(
    ("sampling", "changed"),
    [
        ({"allowed_token_ids": (3, 10)}, {i: -INF for i in range(WIDTH) if i not in (3, 10)}),
        ({"bad_words_token_ids": ((5,), (4, 6), (2, 4, 8), (9, 4, 3))}, {5: -INF, 6: -INF, 8: -INF}),
        ({"logit_bias": ((0, 2.5), (1, -100.0), (7, 100.0))}, {0: 3.5, 1: -INF}),
        ({"repetition_penalty": 2.0}, {1: -4.0}),
        ({"frequency_penalty": 0.5}, {2: -1.0, 4: -1.5}),  # the prompt does not count
        ({"presence_penalty": -1.0}, {2: 1.0, 4: 0.0}),
        ({"repetition_penalty": 2.0, "frequency_penalty": 1.0}, {1: -4.0, 2: -2.0, 4: -3.0}),
        ({"logit_bias": ((1, 6.0),), "repetition_penalty": 2.0}, {1: 2.0}),  # the bias decides the sign
    ],
)
def test_each_step_changes_just_its_tokens(sampling: dict[str, Any], changed: dict[int, float]) -> None:
    """After the prompt 0 1 and the output 2 2 4."""
    row = np.array(LOGITS, np.float32)
    (processed,) = process(row[None], [sequence_of(SamplingParams(**sampling), (0, 1), (2, 2, 4)).sample_row()])
    if "repetition_penalty" in sampling:
        changed = {0: 0.5, 2: 0.0, 4: -2.0, **changed}
    assert processed.tolist() == [changed.get(i, value) for i, value in enumerate(LOGITS)]
    assert row.tolist() == list(LOGITS)  # the raw ones stay


@pytest.mark.parametrize(
    ("guide", "allowed", "left"),
    [
        (b"\x28", None, [3, 5]),
        (b"\xff", (3, 9), [3]),  # the guide ends before 9
        (b"\x08\x02", (3, 9, 11), [3, 9]),
        (b"", None, []),
        (b"\xff\xff", (0,), [0]),
    ],
)
def test_a_guide_and_the_allowed_tokens_must_both_allow_a_token(
    guide: bytes, allowed: tuple[int, ...] | None, left: list[int]
) -> None:
    row = sequence_of(SamplingParams(allowed_token_ids=allowed), (1,), ()).sample_row()
    (processed,) = process(np.zeros((1, WIDTH), np.float32), [replace(row, guide_mask=guide)])
    assert np.flatnonzero(processed == 0).tolist() == left


@pytest.mark.parametrize(("num_generated", "is_masked"), [(0, True), (2, True), (3, False)])
def test_end_and_stop_tokens_are_masked_until_min_tokens(num_generated: int, is_masked: bool) -> None:
    sequence = sequence_of(
        SamplingParams(), (1,), (3,) * num_generated, min_tokens=3, end_token_ids=(0, 99), stop_token_ids=(5,)
    )
    (processed,) = process(np.zeros((1, WIDTH), np.float32), [sequence.sample_row()])
    assert np.flatnonzero(processed == -INF).tolist() == ([0, 5] if is_masked else [])


@pytest.mark.parametrize("penalty", [1e-300, 1e300])
@pytest.mark.parametrize("logit", [-3e38, -1.0, 0.0, 1.0, 3e38])
def test_a_penalty_beyond_float32_leaves_numbers(penalty: float, logit: float) -> None:
    sequence = sequence_of(SamplingParams(repetition_penalty=penalty, frequency_penalty=2.0), (0,), (0,))
    (processed,) = process(np.array([[logit, 0.0]], np.float32), [sequence.sample_row()])
    assert np.isfinite(processed).all()


def test_rows_that_change_nothing_are_not_even_copied() -> None:
    logits = np.zeros((2, WIDTH), np.float32)
    plain = sequence_of(SamplingParams(temperature=0.5, top_k=3, top_p=0.9, min_p=0.1), (1,), (2,)).sample_row()
    assert process(logits, [plain, plain]) is logits


def test_logprobs_are_of_the_raw_logits_whatever_is_banned_and_added() -> None:
    logits = torch.tensor([LOGITS])
    sampling = SamplingParams(temperature=0.0, logit_bias=((10, -100.0), (3, 5.0)), repetition_penalty=3.0)
    row = sequence_of(sampling, (3, 6), (), num_logprobs=2).sample_row()
    (token,) = Sampler().sample(logits, [row])
    assert (token.token_id, token.rank, token.top_ids) == (3, 2, (10, 3))
    assert token.logprob == pytest.approx(logits.double().log_softmax(-1)[0, 3].item(), abs=1e-12)


BAN_ALL = SamplingParams(logit_bias=tuple((i, -100.0) for i in range(WIDTH)))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("bad", [np.nan, INF])
def test_a_row_without_a_token_left_is_told_apart_from_one_that_is_not_finite(temperature: float, bad: float) -> None:
    banned = sequence_of(replace(BAN_ALL, temperature=temperature), (1,), (), num_logprobs=1).sample_row()
    logits = torch.zeros(3, WIDTH)
    logits[1, 2] = bad
    plain = sequence_of(SamplingParams(), (1,), ()).sample_row()
    none_left, failed, good = Sampler().sample(logits, [banned, banned, plain])
    assert (none_left.has_token, none_left.is_finite) == (False, True)
    assert not failed.is_finite
    assert (good.has_token, good.is_finite) == (True, True)


def test_a_ban_does_not_hide_a_bad_number() -> None:
    sampling = SamplingParams(logit_bias=((2, -100.0),))
    (token,) = Sampler().sample(torch.tensor([[0.0, 1.0, torch.nan]]), [sequence_of(sampling, (1,), ()).sample_row()])
    assert not token.is_finite
