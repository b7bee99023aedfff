"""What a sequence remembers of its text: counts that never look back, and the tokens that would complete a word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence as Ordered

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensue.engine.history import History, LogitRules
from ensue.engine.llm_engine import RowResult
from ensue.engine.rows import SampledToken
from ensue.engine.scheduler import SchedulerOutput
from ensue.engine.sequence import Sequence
from ensue.sampling_params import SamplingParams
from tests.engine.toy import ToyRunner, expected, make_engine, make_request, run_to_end

REPEATED = SamplingParams(repetition_penalty=1.5, frequency_penalty=0.5)
ids = st.integers(0, 6)


def assert_is_of(history: History | None, prompt: Ordered[int], output: Ordered[int]) -> None:
    """The history equals a recount of the whole text."""
    assert history is not None
    assert dict(zip(history.output_ids, history.counts, strict=True)) == Counter(output)
    assert sorted(history.seen_ids) == sorted({*prompt, *output})


@given(prompt=st.lists(ids, min_size=1), moves=st.lists(st.tuples(st.integers(0, 3), ids | st.none()), max_size=60))
@settings(deadline=None)
def test_counts_equal_a_recount_over_random_appends_and_forks(
    prompt: list[int], moves: list[tuple[int, int | None]]
) -> None:
    """A move appends a token to one of up to four texts, or (None) lets it be replaced by a fork of the first."""
    texts: list[list[int]] = [[] for _ in range(4)]
    histories = [History(frozenset(prompt)) for _ in range(4)]
    for which, token_id in moves:
        if token_id is None:
            texts[which], histories[which] = texts[0].copy(), histories[0].copy()
        else:
            texts[which].append(token_id)
            histories[which].append(token_id)
    for text, history in zip(texts, histories, strict=True):
        assert_is_of(history, prompt, text)


class CountingRunner(ToyRunner):
    """Checks the history of each sequence that it is given to compute."""

    def run(self, work: SchedulerOutput) -> list[RowResult]:
        for sequence in (item.sequence for item in work.scheduled):
            num_prompt = sequence.num_prompt_tokens
            assert_is_of(sequence.history, sequence.token_ids[:num_prompt], sequence.token_ids[num_prompt:])
        return super().run(work)


@pytest.mark.parametrize("num_blocks", [6, 8, 64])
def test_samples_count_for_themselves_through_preemption(num_blocks: int) -> None:
    engine = make_engine(num_blocks, max_model_len=24, runner=CountingRunner(num_blocks))
    request = make_request((5, 6, 5, 7, 8), sampling=REPEATED, max_tokens=12, num_samples=3)
    engine.add((0, 1), request)
    outputs = run_to_end(engine)
    assert [outputs[(0, 1), i].token_ids for i in range(3)] == [expected(request, i) for i in range(3)]
    assert (engine.stats().num_preemptions > 0) == (num_blocks < 64)


def test_tokens_generated_elsewhere_count_as_output() -> None:
    request = make_request((1, 2), sampling=REPEATED, resumed_token_ids=(2, 3, 3), min_tokens=4, end_token_ids=(9,))
    sequence = Sequence((0, 1), request, 0, 0, 0.0)
    assert_is_of(sequence.history, (1, 2), (2, 3, 3))
    assert sequence.sample_row().masked_ids == (9,)
    sequence.append(SampledToken(3), 64)
    assert_is_of(sequence.history, (1, 2), (2, 3, 3, 3))
    assert sequence.sample_row().masked_ids == ()


@pytest.mark.parametrize(
    ("sampling", "has_rules", "has_history"),
    [
        (SamplingParams(temperature=0.3, top_k=4, top_p=0.5, min_p=0.1), False, False),
        (SamplingParams(logit_bias=((1, 2.0),)), True, False),
        (SamplingParams(presence_penalty=0.1), True, True),
        (SamplingParams(repetition_penalty=1.1), True, True),
    ],
)
def test_only_what_the_settings_need_is_kept(sampling: SamplingParams, has_rules: bool, has_history: bool) -> None:
    sequence = Sequence((0, 1), make_request((1, 2), sampling=sampling), 0, 0, 0.0)
    row = sequence.sample_row()
    assert (row.rules is not None, row.history is not None) == (has_rules, has_history)
    assert row.changes_logits == has_rules


def test_the_prompt_is_left_alone_where_only_the_output_counts() -> None:
    history = History.of(make_request(range(5), sampling=SamplingParams(frequency_penalty=1.0)))
    assert_is_of(history, (), ())


def test_samples_share_what_is_known_of_their_request() -> None:
    first = Sequence((0, 1), make_request((1, 2), sampling=REPEATED, num_samples=2), 0, 0, 0.0)
    second = first.sibling(1)
    first.append(SampledToken(4), 64)
    assert second.rules is first.rules
    assert_is_of(first.history, (1, 2), (4,))
    assert_is_of(second.history, (1, 2), ())


@pytest.mark.parametrize(
    ("text", "banned"),
    [
        ((9,), {7}),
        ((1,), {7, 2}),
        ((1, 2), {7, 3}),
        ((3, 1), {7, 2, 8}),
        ((2, 3, 1), {7, 2, 8, 6}),
        ((1, 2, 9), {7}),
    ],
)
def test_a_word_is_banned_where_all_but_its_last_token_ends_the_text(text: tuple[int, ...], banned: set[int]) -> None:
    words = ((7,), (1, 2), (1, 2, 3), (3, 1, 8), (2, 3, 1, 6))
    rules = LogitRules.of(make_request((1,), sampling=SamplingParams(bad_words_token_ids=words)))
    assert rules is not None
    assert set(rules.banned_after(text)) == banned
