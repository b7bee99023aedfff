"""The choices of one prompt: whose output is whose, what was used, what went wrong."""

from __future__ import annotations

from typing import Any

import pytest

from ensue.errors import GenerationFailed, Overloaded, RequestError, RequestTimeout
from ensue.outputs import FinishReason, TokenOutput
from ensue.service.answer import Answer
from ensue.service.prompt import EncodedPrompt
from ensue.service.request import CompletionRequest
from ensue.text.tokenizer import Tokenizer


@pytest.fixture
def answer(tokenizer: Tokenizer) -> Answer:
    """The second prompt of a request for two choices each."""
    return Answer(1, EncodedPrompt((5, 6, 7)), CompletionRequest("id", ("", ""), n=2), tokenizer, {})


def test_choices_are_numbered_through_all_prompts(answer: Answer) -> None:
    deltas = [answer.take(TokenOutput(sample, (40,))) for sample in (1, 0)]
    assert [delta.index for delta in deltas if delta] == [3, 2]


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
    assert answer.take(TokenOutput(0, (), finish_reason=FinishReason.ABORT)) is None
