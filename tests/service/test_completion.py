"""The service over a scripted engine: best_of, streams, usage, what is stopped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ensue.config import LimitsConfig
from ensue.engine.fake import FakeEngine
from ensue.metrics import Metrics
from ensue.outputs import Usage
from ensue.request import GenerationRequest
from ensue.served_models import ServedModel
from ensue.service.choice import ChoiceDelta, joined
from ensue.service.completion import CompletionService, FinishedChoice
from ensue.service.request import CompletionRequest
from ensue.text.tokenizer import Tokenizer


def fake(tokenizer: Tokenizer, *texts: str) -> FakeEngine:
    """Samples repeat these texts."""

    def script(request: GenerationRequest, sample: int) -> Sequence[int]:
        return tokenizer.encode(texts[sample % len(texts)], add_special_tokens=False)

    return FakeEngine(script, logits_width=tokenizer.vocab_size)


async def complete(
    tokenizer: Tokenizer, engine: FakeEngine, *prompts: str, **fields: Any
) -> tuple[list[FinishedChoice], Usage]:
    """Collected, after having checked that a stream says the same."""
    service, model = CompletionService(Metrics()), ServedModel("m", engine, tokenizer, LimitsConfig(), "m", 0)
    request = CompletionRequest("id", prompts, **fields)
    collected, streamed = [await service.start(await service.prepare(model, request)) for _ in range(2)]
    choices = await collected.collect()
    deltas: list[ChoiceDelta] = []
    while news := await streamed.next():
        deltas.extend(news)
    for choice in choices:
        whole = joined([delta for delta in deltas if delta.index == choice.index])
        assert all(getattr(whole, name) == getattr(choice, name) for name in FinishedChoice.__slots__)
    assert collected.usage == streamed.usage
    for completion in (collected, streamed):
        await completion.aclose()
    service.close()
    return choices, collected.usage


async def test_the_best_of_each_prompt_are_returned_best_first(tokenizer: Tokenizer) -> None:
    names = [tokenizer.token_bytes(id_).decode() for id_ in (45, 41, 43)]  # the lower, the likelier in this engine
    engine = fake(tokenizer, *names)
    choices, usage = await complete(tokenizer, engine, "a", "b", n=2, best_of=3, max_tokens=2, return_token_ids=True)
    assert [choice.index for choice in choices] == [0, 1, 2, 3]
    assert [choice.token_ids for choice in choices] == [(41, 41), (43, 43)] * 2
    assert usage.completion_tokens == 2 * 3 * 2
    assert all(choice.logprobs is None for choice in choices)


@pytest.mark.parametrize("fields", [{"best_of": 3}, {"n": 3}])
async def test_choices_that_a_stop_string_ends_are_counted_up_to_it(
    tokenizer: Tokenizer, fields: dict[str, Any]
) -> None:
    engine = fake(tokenizer, "a b", "c b", "d b")
    more = {"stop": ("b",), "echo": True, "logprobs": 1, "prompt_logprobs": 1, "return_token_ids": True}
    choices, usage = await complete(tokenizer, engine, "say: ", max_tokens=6, **more, **fields)
    assert all(choice.text[:5] == "say: " and choice.stop_reason == "b" for choice in choices)
    assert usage.completion_tokens == sum(len(choice.token_ids or ()) for choice in choices) * (3 // len(choices))


@pytest.mark.parametrize(("n", "best_of"), [(1, 1), (3, 3), (1, 3)])
async def test_scoring_a_prompt_generates_nothing(tokenizer: Tokenizer, n: int, best_of: int) -> None:
    more = {"echo": True, "logprobs": 1, "prompt_logprobs": 0, "return_token_ids": True}
    choices, usage = await complete(tokenizer, fake(tokenizer, "x"), "a b", n=n, best_of=best_of, max_tokens=0, **more)
    for choice in choices:
        assert (choice.text, choice.finish_reason, choice.token_ids) == ("a b", "length", ())
        assert choice.logprobs is not None
        assert choice.prompt_logprobs is not None
        assert len(choice.logprobs.tokens) == len(choice.prompt_logprobs) == usage.prompt_tokens
    assert usage.completion_tokens == 0


async def test_a_suffix_works_with_echo_stop_and_more_choices(tokenizer: Tokenizer) -> None:
    engine = fake(tokenizer, "one. two", "three. four")
    fields = {"suffix": " end", "echo": True, "stop": (".",), "n": 2, "max_tokens": 20}
    choices, usage = await complete(tokenizer, engine, "Start ", **fields)
    assert [choice.text for choice in choices] == ["Start one", "Start three"]
    assert usage.prompt_tokens == len(engine.requests[0].prompt_token_ids)
