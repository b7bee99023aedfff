"""Beam search by itself: the best of all texts where the width allows it, ties, ends, and when it stops."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.engine.beam import BeamSearch, EndedBeam, score
from ensue.engine.rows import Candidates
from ensue.outputs import FinishReason
from ensue.request import BeamParams
from tests.engine.toy import ends_at

Text = tuple[int, ...]
Logprobs = Callable[[Text], list[float]]  # of each token of a small vocabulary after a text; −inf bans
END, BANNED = 0, -math.inf
EARLY = (True, False, "never")


def candidates_of(logprobs: list[float], count: int) -> Candidates:
    """As the sampler gives them."""
    likeliest = sorted((token_id for token_id, p in enumerate(logprobs) if p > BANNED), key=lambda i: (-logprobs[i], i))
    kept = tuple(likeliest[:count])
    return Candidates(kept, tuple(logprobs[i] for i in kept))


def search(logprobs: Logprobs, params: BeamParams, max_length: int, ending: frozenset[int]) -> BeamSearch:
    """Run to the end."""
    beams = BeamSearch(params, ends_at(ending), max_length)
    while not beams.is_done:
        texts = [tuple(token.token_id for token in beam.tokens) for beam in beams.running]
        beams.advance([candidates_of(logprobs(text), params.width + len(ending)) for text in texts])
    return beams


def text_of(beam: EndedBeam) -> Text:
    return tuple(token.token_id for token in beam.tokens)


def all_texts(logprobs: Logprobs, max_length: int, text: Text = (), total: float = 0.0) -> Iterator[tuple[Text, float]]:
    """Every text that ends, or is as long as allowed, with the sum of its log-probabilities."""
    for token_id, logprob in enumerate(logprobs(text)):
        if logprob == BANNED:
            continue
        longer = (*text, token_id)
        if token_id == END or len(longer) == max_length:
            yield longer, total + logprob
        else:
            yield from all_texts(logprobs, max_length, longer, total + logprob)


def table(values: list[int], num_tokens: int, banned: frozenset[int] = frozenset()) -> Logprobs:
    """A made-up model: numbers of a list, chosen by the text; eighths, so that sums are exact and ties occur."""

    def logprobs(text: Text) -> list[float]:
        start = sum((position + 2) * (token + 1) for position, token in enumerate(text)) * 7
        row = [-values[(start + token) % len(values)] / 8 for token in range(num_tokens)]
        return [BANNED if token in banned else value for token, value in enumerate(row)]

    return logprobs


values = st.lists(st.integers(0, 40), min_size=1, max_size=60)
penalties = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0])


@given(
    values=values, penalty=penalties, early=st.sampled_from([False, "never"]), banned=st.frozensets(st.integers(0, 3))
)
def test_a_search_wide_enough_for_all_texts_finds_the_best(
    values: list[int], penalty: float, early: bool | str, banned: frozenset[int]
) -> None:
    logprobs = table(values, 4, banned - {1})
    params = BeamParams(width=4**4, length_penalty=penalty, early_stopping=early)  # type: ignore[arg-type]
    found = search(logprobs, params, 4, frozenset({END})).ended
    every = [(score(total, len(text), penalty), text) for text, total in all_texts(logprobs, 4)]
    assert [beam.score for beam in found] == sorted((s for s, _ in every), reverse=True)
    assert {(beam.score, text_of(beam)) for beam in found} == set(every)


def steps_by_the_book(logprobs: Logprobs, width: int, max_length: int) -> list[list[tuple[float, Text]]]:
    """The beams of each length by the definition, without ends: all continuations, sorted whole."""
    beams: list[tuple[float, Text]] = [(0.0, ())]
    lengths = []
    for _ in range(max_length):
        grown = [
            (-(total + p), place, token, text)
            for place, (total, text) in enumerate(beams)
            for token, p in enumerate(logprobs(text))
        ]
        beams = [(-loss, (*text, token)) for loss, _, token, text in sorted(grown)[:width]]
        lengths.append(beams)
    return lengths


@given(values=values, width=st.integers(1, 5))
def test_ties_go_to_the_beam_that_stands_first_then_to_the_lower_id(values: list[int], width: int) -> None:
    logprobs = table(values, 6)
    beams = BeamSearch(BeamParams(width), ends_at(frozenset()), 5)
    for expected in steps_by_the_book(logprobs, width, 5)[:4]:
        texts = [tuple(t.token_id for t in beam.tokens) for beam in beams.running]
        beams.advance([candidates_of(logprobs(text), width) for text in texts])
        assert [(b.total, tuple(t.token_id for t in b.tokens)) for b in beams.running] == expected


@given(values=values, width=st.integers(1, 4), penalty=penalties, early=st.sampled_from(EARLY), more=st.integers(1, 9))
def test_a_few_candidates_do_as_well_as_all(
    values: list[int], width: int, penalty: float, early: bool | str, more: int
) -> None:
    logprobs, ending = table(values, 9), frozenset({0, 4})
    params = BeamParams(width, penalty, early)  # type: ignore[arg-type]
    few, many = BeamSearch(params, ends_at(ending), 6), BeamSearch(params, ends_at(ending), 6)
    while not many.is_done:
        texts = [tuple(t.token_id for t in beam.tokens) for beam in many.running]
        few.advance([candidates_of(logprobs(text), width + 2) for text in texts])
        many.advance([candidates_of(logprobs(text), width + 2 + more) for text in texts])
        assert (few.running, few.ended) == (many.running, many.ended)


def fixed(rows: dict[Text, dict[int, float]]) -> Logprobs:
    """A model that knows these continuations only."""
    return lambda text: [rows.get(text, {}).get(token, BANNED) for token in range(4)]


def test_an_end_counts_only_among_the_first_of_the_ranking() -> None:
    """The end token is the third of three candidates, so it does not end one of two beams."""
    logprobs = fixed({(): {1: -1.0, 2: -2.0, END: -3.0}, (1,): {1: -1.0}, (2,): {1: -1.0}})
    found = search(logprobs, BeamParams(2, 0.0), 2, frozenset({END})).ended
    assert [text_of(beam) for beam in found] == [(1, 1), (2, 1)]


@pytest.mark.parametrize(
    ("early", "penalty", "num_steps"),
    [
        (True, 1.0, 2),  # as many as wanted have ended: −1 / 1 and −5 / 2
        (False, 1.0, 4),  # −3 / 2 and −7 / 3 beat −5 / 2, but −11 / 4 does not
        ("never", 1.0, 5),  # −11 / 6 might yet, −15 / 6 would not
        ("never", 0.0, 3),  # −3 beats −5, but −7 does not, and no text gets better by being longer
        ("never", -1.0, 3),
        (False, -1.0, 3),  # −3 · 2 beats −5 · 2, but −7 · 3 does not
    ],
)
def test_a_search_stops_when_the_setting_says(early: bool | str, penalty: float, num_steps: int) -> None:
    rows = {(): {END: -1.0, 1: -2.0}, (1,): {END: -3.0, 1: -1.0}, (1, 1): {END: -5.0, 1: -4.0}}
    logprobs = fixed(rows | {(1,) * length: {END: -5.0, 1: -4.0} for length in (3, 4, 5)})
    beams = BeamSearch(BeamParams(2, penalty, early), ends_at(frozenset({END})), 6)  # type: ignore[arg-type]
    for _ in range(num_steps):
        assert not beams.is_done
        text = tuple(token.token_id for token in beams.running[0].tokens)
        beams.advance([candidates_of(logprobs(text), 3)])
    assert beams.is_done


def test_reasons_tell_how_each_beam_ended() -> None:
    logprobs = fixed({(): {END: -1.0, 1: -1.0, 2: -1.0}, (1,): {1: -1.0}})  # nothing may follow 2
    found = search(logprobs, BeamParams(3, 0.0, "never"), 2, frozenset({END})).ended
    told = [(text_of(beam), beam.finish_reason, beam.is_stuck) for beam in found]
    stop, length = FinishReason.STOP, FinishReason.LENGTH
    assert told == [((END,), stop, False), ((2,), length, True), ((1, 1), length, False)]


def test_a_prompt_that_nothing_may_follow_ends_at_once() -> None:
    found = search(fixed({}), BeamParams(3), 2, frozenset()).ended
    assert [(text_of(beam), beam.score, beam.is_stuck) for beam in found] == [((), -math.inf, True)]


def test_the_end_token_counts_for_the_length() -> None:
    logprobs = fixed({(): {1: -1.0}, (1,): {END: -2.0}})
    (beam,) = search(logprobs, BeamParams(1, 2.0), 5, frozenset({END})).ended
    assert (text_of(beam), beam.score) == ((1, END), -3.0 / 2**2)


@pytest.mark.parametrize(
    ("total", "length", "penalty", "expected"),
    [
        (-6.0, 3, 1.0, -2.0),
        (-6.0, 3, 0.0, -6.0),
        (-6.0, 3, -1.0, -18.0),
        (-1.0, 9, 999.0, 0.0),
        (-1.0, 9, -999.0, -math.inf),
    ],
)
def test_a_score_is_the_sum_over_a_power_of_the_length(
    total: float, length: int, penalty: float, expected: float
) -> None:
    assert score(total, length, penalty) == expected


def test_a_token_of_the_candidates_carries_its_raw_log_probabilities() -> None:
    found = Candidates((7, 3), (-0.1, -0.2), (-1.0, -2.0), (1, 4), (7, 5), (-1.0, -1.5))
    token = found.token(1)
    assert (token.token_id, token.logprob, token.rank) == (3, -2.0, 4)
    assert (token.top_ids, token.top_logprobs) == ((7, 5), (-1.0, -1.5))


def test_all_orders_of_the_same_candidates_of_two_beams_are_distinct_texts() -> None:
    """Two beams never hold one text twice."""
    logprobs = table([0], 3)
    found = search(logprobs, BeamParams(9), 2, frozenset()).ended
    assert sorted(map(text_of, found)) == sorted(itertools.product(range(3), repeat=2))
