"""The service over a scripted engine: best_of, streams, usage, what is stopped."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

import pytest

from ensue.config import LimitsConfig
from ensue.engine.fake import FakeEngine
from ensue.errors import EngineDead
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

    def take(news: Sequence[ChoiceDelta]) -> bool:
        deltas.extend(news)
        return False  # it is asked again for each piece

    while not streamed.is_finished:
        await streamed.feed(take)
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


async def test_what_a_token_costs_does_not_depend_on_how_long_the_text_is(tokenizer: Tokenizer) -> None:
    service = CompletionService(Metrics())
    model = ServedModel("m", fake(tokenizer, "one two 🙂 "), tokenizer, LimitsConfig(), "m", 0)

    async def num_calls(max_tokens: int) -> int:
        """Of any function, from the first token to the whole answer."""
        request = CompletionRequest("id", ("x",), max_tokens=max_tokens, stop=("two three",), logprobs=1)
        completion = await service.start(await service.prepare(model, request))
        count = 0

        def note(_frame: FrameType, event: str, _argument: Any) -> None:
            nonlocal count
            count += event in ("call", "c_call")

        sys.setprofile(note)
        await completion.collect()
        sys.setprofile(None)
        await completion.aclose()
        return count

    short, middle, long = [await num_calls(num_tokens) for num_tokens in (300, 600, 900)]
    assert long - middle <= 1.02 * (middle - short)
    service.close()


async def test_prompts_that_fail_while_others_run_end_the_completion(tokenizer: Tokenizer) -> None:
    engine = fake(tokenizer, "x")
    service, model = CompletionService(Metrics()), ServedModel("m", engine, tokenizer, LimitsConfig(), "m", 0)
    request = CompletionRequest("id", ("a", "b", "c"), max_tokens=50)
    completion = await service.start(await service.prepare(model, request))
    sorted(engine.running, key=id)[1].fail(EngineDead("Gone."))
    with pytest.raises(EngineDead):
        await completion.collect()
    assert len(engine.running) == 2
    await completion.aclose()
    assert not engine.running
    service.close()


async def test_news_wait_while_nobody_takes_them(tokenizer: Tokenizer) -> None:
    model = ServedModel("m", fake(tokenizer, "x"), tokenizer, LimitsConfig(), "m", 0)
    service, request = CompletionService(Metrics()), CompletionRequest("id", ("a", "b"), max_tokens=9)
    completion = await service.start(await service.prepare(model, request))
    taken: list[ChoiceDelta] = []

    def take(news: Sequence[ChoiceDelta]) -> bool:
        taken.extend(news)
        return len(taken) > 1

    await completion.feed(take)
    for _ in range(20):
        await asyncio.sleep(0)
    assert [delta.text for delta in taken] == ["x"]
    await completion.feed(take)
    assert sorted(delta.text for delta in taken) == ["x", "x" * 8, "x" * 9]
    service.close()


async def test_what_a_slow_reader_left_is_read_in_turns(tokenizer: Tokenizer) -> None:
    """Whatever has gathered, others get their turns of the event loop between parts of it."""
    service, engine = CompletionService(Metrics()), fake(tokenizer, "a b c")
    model = ServedModel("m", engine, tokenizer, LimitsConfig(), "m", 0)
    completion = await service.start(await service.prepare(model, CompletionRequest("id", ("x",), n=64, max_tokens=8)))
    while len(completion._arrived) < 64:
        await asyncio.sleep(0)
    turn, taken = 0, []

    async def count() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await completion.feed(lambda _news: taken.append(turn) or True)  # type: ignore[func-returns-value]
    counting.cancel()
    assert max(map(taken.count, taken)) <= 4
    assert len(taken) >= 64
    await completion.aclose()
    service.close()
