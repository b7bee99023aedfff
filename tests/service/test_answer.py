"""The choices of one prompt: whose output is whose, what was used, what went wrong."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from ensue.errors import GenerationFailed, Overloaded, RequestError, RequestTimeout
from ensue.outputs import PROMPT, FinishReason, TokenLogprobs, TokenOutput
from ensue.request import BeamParams
from ensue.service.answer import Answer, News
from ensue.service.choice import ChoiceDelta
from ensue.service.logprobs import PromptLogprob
from ensue.service.prompt import EncodedPrompt
from ensue.service.request import CompletionRequest
from ensue.text.tokenizer import Tokenizer


@pytest.fixture
def answer(tokenizer: Tokenizer) -> Answer:
    """The second prompt of a request for two choices each."""
    return Answer(1, EncodedPrompt((5, 6, 7)), CompletionRequest("id", ("", ""), n=2), tokenizer, {})


def test_choices_are_numbered_through_all_prompts(answer: Answer) -> None:
    deltas = [delta for sample in (1, 0) for delta in answer.take(TokenOutput(sample, (40,))).deltas]
    assert [delta.index for delta in deltas] == [3, 2]


def test_usage_counts_the_prompt_once_and_cached_tokens_as_first_said(answer: Answer) -> None:
    answer.take(TokenOutput(0, (40,), num_cached_tokens=2))
    answer.take(TokenOutput(1, (40, 41), num_cached_tokens=3))
    usage = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (3, 3, 2)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"finish_reason": FinishReason.ERROR, "error_code": "not_finite"}, GenerationFailed),
        ({"finish_reason": FinishReason.ERROR, "error_code": "request_timeout"}, RequestTimeout),
        ({"finish_reason": FinishReason.ABORT}, Overloaded),
    ],
)
def test_a_sample_that_the_engine_gave_up_is_an_error(
    answer: Answer, fields: dict[str, Any], error: type[RequestError]
) -> None:
    with pytest.raises(error):
        answer.take(TokenOutput(0, (), **fields))


def test_a_choice_that_has_ended_cannot_fail(answer: Answer) -> None:
    answer.take(TokenOutput(0, (40,), finish_reason=FinishReason.LENGTH))
    assert answer.take(TokenOutput(0, (), finish_reason=FinishReason.ABORT)) == News()


# ---- the best of more samples, and beams


def scored(sample: int, *numbers: float, reason: FinishReason | None = FinishReason.LENGTH, **more: Any) -> TokenOutput:
    """A token `a` for each number, which is its log-probability."""
    n = len(numbers)
    columns = TokenLogprobs(numbers, (1,) * n, ((),) * n, ((),) * n)
    return TokenOutput(sample, (A,) * n, columns, finish_reason=reason, **more)


A = 40  # in the bundled tokenizer, no special token


def run(tokenizer: Tokenizer, outputs: Iterable[TokenOutput], **fields: Any) -> tuple[Answer, list[ChoiceDelta]]:
    """All of it comes with the last output."""
    answer = Answer(1, EncodedPrompt((5, 6, 7)), CompletionRequest("id", ("", ""), **fields), tokenizer, {})
    *early, last = [answer.take(output) for output in outputs]
    assert not any(news.deltas for news in early)
    assert answer.is_finished
    return answer, list(last.deltas)


def test_the_best_samples_have_the_highest_mean_and_all_are_counted(tokenizer: Tokenizer) -> None:
    outputs = [scored(0, -1.0, -1.0), scored(1, -3.0), scored(2, -0.5, -0.5, -0.5), scored(3, -1.0)]
    answer, deltas = run(tokenizer, outputs, n=3, best_of=4)
    assert [len(delta.text) for delta in deltas] == [3, 2, 1]  # of two with one mean the lower sample goes first
    assert [delta.index for delta in deltas] == [3, 4, 5]
    assert answer.usage.completion_tokens == 7


def test_ranking_counts_the_end_token_and_nothing_after_the_end(tokenizer: Tokenizer) -> None:
    name = tokenizer.token_bytes(A).decode()
    ended = scored(0, -9.0, reason=FinishReason.STOP)
    ran_ahead = scored(1, -2.0, -99.0, reason=None)
    answer, (delta,) = run(tokenizer, [ended, ran_ahead], best_of=2, stop=(name,))
    assert (delta.text, delta.stop_reason) == ("", name)
    assert answer.usage.completion_tokens == 1 + 1


def test_as_many_samples_as_choices_are_told_as_they_come(tokenizer: Tokenizer) -> None:
    answer = Answer(0, EncodedPrompt((5,)), CompletionRequest("id", ("",), n=2, best_of=2), tokenizer, {})
    assert [delta.index for delta in answer.take(scored(1, -1.0, reason=None)).deltas] == [1]


def test_beams_come_whole_in_the_order_of_the_engine(tokenizer: Tokenizer) -> None:
    outputs = [scored(1, -1.0), scored(0, -5.0, -5.0)]
    _, deltas = run(tokenizer, outputs, n=2, best_of=4, beam=BeamParams(4))
    assert [(delta.index, len(delta.text)) for delta in deltas] == [(2, 2), (3, 1)]


def test_a_sample_that_its_text_ends_has_to_be_stopped(tokenizer: Tokenizer) -> None:
    request = CompletionRequest("id", ("",), stop=(tokenizer.token_bytes(A).decode(),))
    for reason in (None, FinishReason.LENGTH):
        answer = Answer(0, EncodedPrompt((5,)), request, tokenizer, {})
        assert answer.take(scored(0, -1.0, reason=reason)).ends_sample == (reason is None)
        assert answer.take(scored(0, -1.0)) == News()


# ---- what stands before a choice


def prompt_slice(start: int, token_ids: tuple[int, ...]) -> TokenOutput:
    n = len(token_ids)
    columns = TokenLogprobs((-7.0,) * n, (9,) * n, ((30, 31),) * n, ((-1.0, float("-inf")),) * n)
    return TokenOutput(PROMPT, token_ids, columns, prompt_start=start)


def opened(tokenizer: Tokenizer, encode: Any, **fields: Any) -> list[ChoiceDelta]:
    """The news of two tokens after a prompt whose numbers come in two slices."""
    prompt = encode("a b c", **fields)
    answer = Answer(0, prompt, CompletionRequest("id", ("",), **fields), tokenizer, {})
    for start, end in ((1, 3), (3, len(prompt.token_ids))):
        assert not answer.take(prompt_slice(start, prompt.token_ids[start:end])).deltas
    outputs = [scored(0, -1.0, reason=None), scored(0, -1.0)]
    return [delta for output in outputs for delta in answer.take(output).deltas]


def test_the_prompt_comes_with_the_first_news_only(tokenizer: Tokenizer, encode: Any) -> None:
    fields = {"echo": True, "logprobs": 1, "return_token_ids": True, "prompt_logprobs": 0}
    first, second = opened(tokenizer, encode, **fields)
    ids = encode("a b c").token_ids
    assert first.text.startswith("a b c")
    assert first.prompt_token_ids == ids
    assert first.logprobs is not None
    assert len(first.logprobs.tokens) == len(ids) + 1
    assert first.prompt_logprobs is not None
    assert (second.prompt_token_ids, second.prompt_logprobs, len(second.text)) == (None, None, 1)


def test_prompt_logprobs_need_neither_echo_nor_logprobs(tokenizer: Tokenizer, encode: Any) -> None:
    first, _ = opened(tokenizer, encode, prompt_logprobs=2)
    ids, maps = encode("a b c").token_ids, first.prompt_logprobs
    assert (first.text, first.logprobs) == (tokenizer.token_bytes(A).decode(), None)
    assert maps is not None
    assert (len(maps), maps[0]) == (len(ids), None)
    assert maps[1] == {
        30: PromptLogprob(-1.0, 1, tokenizer.token_bytes(30).decode()),
        31: PromptLogprob(-9999.0, 2, tokenizer.token_bytes(31).decode()),
        ids[1]: PromptLogprob(-7.0, 9, "a"),
    }


@pytest.mark.parametrize(("k", "num"), [(0, 1), (1, 2), (2, 3)])
def test_each_need_is_cut_to_its_own_size(tokenizer: Tokenizer, encode: Any, k: int, num: int) -> None:
    first, _ = opened(tokenizer, encode, echo=True, logprobs=2 - k, prompt_logprobs=k)
    assert first.logprobs is not None
    assert first.prompt_logprobs is not None
    assert len(first.prompt_logprobs[1] or ()) == num
    assert len(first.logprobs.top_logprobs[1] or ()) == 3 - k
