"""Every generation is reserved before it starts and settled once, with the truth, whichever way it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from ensue.api import server
from ensue.api.accounting import Ask, Outcome
from ensue.config import LimitsConfig
from ensue.engine.fake import FakeEngine
from ensue.errors import EngineDead, GenerationFailed, Overloaded, RateLimited
from ensue.outputs import Usage
from ensue.store.keys import KeyStore
from tests.api.conftest import MakeApi, ServeApp
from tests.api.recording import RecordedHold, Recorder
from tests.api.test_server import limited, request, until

Says = Callable[..., FakeEngine]
BOTH_WAYS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@BOTH_WAYS
async def test_an_answer_is_settled_with_what_it_used(make_api: MakeApi, stream: bool) -> None:
    recorder = Recorder()
    api = make_api(accountants=[recorder])
    body = {"prompt": [[5, 6], [7]], "n": 2, "max_tokens": 3, "user": "me", "stream": stream}
    await api.client.post("/v1/completions", json=body)
    ask, outcome = recorder.holds[0].ask, recorder.outcome
    assert (ask.endpoint, ask.model, ask.key, ask.user) == ("/v1/completions", "tiny", None, "me")
    assert (ask.prompt_tokens, ask.max_completion_tokens, ask.max_total_tokens) == (3, 12, 15)
    assert outcome.usage == Usage(3, 12, 0) == ask.used()
    assert (outcome.finish, outcome.status, outcome.queue_s) == ("length", 200, 0.0)
    assert outcome.first_token_s is not None
    assert 0 < outcome.first_token_s < outcome.elapsed_s


async def test_an_ask_names_the_key_the_route_and_the_callers_id(make_api: MakeApi, keys: KeyStore) -> None:
    recorder = Recorder()
    api = make_api(keys=keys, accountants=[recorder])
    key, token = keys.create("mine")
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
    answer = await api.client.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {token}"})
    ask = recorder.holds[0].ask
    assert (ask.key, ask.endpoint) == (key, "/v1/chat/completions")
    assert ask.request_id == answer.headers["x-request-id"]


async def test_without_max_tokens_a_chat_is_taken_for_so_many(make_api: MakeApi, says: Says) -> None:
    recorder = Recorder()
    api = make_api(says(" a<|end_of_text|>", max_model_len=9000), accountants=[recorder])
    await api.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}], "n": 2})
    assert recorder.holds[0].ask.max_completion_tokens == 2048
    assert recorder.outcome.finish == "stop"


async def test_finish_names_each_reason_once_in_the_order_of_choices(make_api: MakeApi, says: Says) -> None:
    recorder = Recorder()
    await make_api(says(" a b c"), accountants=[recorder]).complete({"n": 3, "max_tokens": 9, "stop": " b"})
    assert recorder.outcome.finish == "stop"
    assert recorder.outcome.queue_s == 0.0


@BOTH_WAYS
async def test_what_is_refused_before_it_could_start_is_not_asked(make_api: MakeApi, stream: bool) -> None:
    recorder = Recorder()
    await make_api(accountants=[recorder]).error({"max_tokens": 10_000, "stream": stream})
    assert recorder.holds == []


@BOTH_WAYS
async def test_where_an_accountant_refuses_nothing_starts_and_the_earlier_are_settled(
    make_api: MakeApi, stream: bool
) -> None:
    first, second, third = Recorder(), Recorder(RateLimited("Slow down.", retry_after_s=2)), Recorder()
    api = make_api(accountants=[first, second, third])
    await api.complete({"stream": stream}, 429)
    assert api.engine.requests == []
    assert (first.outcome.finish, first.outcome.status, first.outcome.usage) == ("error", 429, Usage())
    assert third.holds == []


@BOTH_WAYS
@pytest.mark.parametrize("error", [Overloaded("Full."), EngineDead("Dead."), ValueError()], ids=repr)
async def test_a_refusal_by_the_engine_is_settled_without_use(
    make_api: MakeApi, says: Says, stream: bool, error: Exception
) -> None:
    recorder = Recorder()
    status = getattr(error, "status", 500)
    await make_api(says("a", error=error), accountants=[recorder]).complete({"stream": stream}, status)
    assert (recorder.outcome.finish, recorder.outcome.status, recorder.outcome.usage) == ("error", status, Usage())


@BOTH_WAYS
async def test_a_failure_is_settled_with_what_was_generated(make_api: MakeApi, says: Says, stream: bool) -> None:
    recorder = Recorder()
    engine = says(" a b", error=GenerationFailed("No."), error_after=4)
    await make_api(engine, accountants=[recorder]).client.post(
        "/v1/completions", json={"prompt": [[7]], "stream": stream, "max_tokens": 9}
    )
    assert recorder.outcome.usage == Usage(1, 4)
    assert (recorder.outcome.finish, recorder.outcome.status) == ("error", 200 if stream else 500)


@BOTH_WAYS
async def test_a_timeout_is_settled(make_api: MakeApi, says: Says, stream: bool) -> None:
    recorder = Recorder()
    api = make_api(says(" a", step_s=0.02), accountants=[recorder], limits=LimitsConfig(request_timeout_s=0.2))
    await api.client.post("/v1/completions", json={"prompt": "x", "stream": stream, "max_tokens": 900})
    assert (recorder.outcome.finish, recorder.outcome.status) == ("error", 200 if stream else 504)
    assert 0 < recorder.outcome.usage.completion_tokens < 900


@BOTH_WAYS
async def test_headers_of_holds_stand_on_answers_and_errors(make_api: MakeApi, says: Says, stream: bool) -> None:
    recorders = [Recorder(headers={"x-first": "1"}), Recorder(headers={"x-second": "2"})]
    for engine in (says(" a"), says(" a", error=Overloaded("Full."))):
        api = make_api(engine, accountants=recorders)
        answer = await api.client.post("/v1/completions", json={"prompt": "x", "stream": stream})
        assert (answer.headers["x-first"], answer.headers["x-second"]) == ("1", "2")


@BOTH_WAYS
async def test_all_is_settled_before_the_client_knows_that_its_answer_is_complete(
    served: ServeApp, says: Says, stream: bool
) -> None:
    recorder = Recorder()
    async with served(says(" a"), accountants=[recorder]) as url:
        reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
        writer.write(request({"stream": stream, "max_tokens": 3}))
        await reader.readuntil(b"data: [DONE]" if stream else b'"usage"')
        assert recorder.is_settled
        writer.close()
    assert (recorder.outcome.finish, recorder.outcome.status) == ("length", 200)


async def test_a_close_before_done_is_settled_with_what_was_generated(served: ServeApp, says: Says) -> None:
    recorder = Recorder()
    engine = says("a", step_s=0.01)
    async with served(engine, accountants=[recorder]) as url:
        reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
        writer.write(request({"stream": True, "max_tokens": 900, "prompt": [[7, 8]]}))
        await reader.readuntil(b"data: ")
        writer.close()
        await until(lambda: recorder.is_settled)
    assert (recorder.outcome.finish, recorder.outcome.status) == ("cancelled", 200)
    assert recorder.outcome.usage.prompt_tokens == 2
    assert 1 <= recorder.outcome.usage.completion_tokens < 900


@BOTH_WAYS
async def test_a_close_before_the_answer_is_settled_without_a_status(
    served: ServeApp, says: Says, stream: bool
) -> None:
    recorder = Recorder()
    engine = says("a", step_s=0.3)
    async with served(engine, accountants=[recorder]) as url:
        _, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
        writer.write(request({"stream": stream, "max_tokens": 900, "prompt": [[7, 8]]}))
        await until(lambda: bool(engine.running))
        writer.close()
        await until(lambda: recorder.is_settled)
    assert (recorder.outcome.finish, recorder.outcome.status) == ("cancelled", None)
    assert recorder.outcome.first_token_s is None


async def test_a_close_while_a_later_accountant_thinks_settles_the_earlier(served: ServeApp, says: Says) -> None:
    first, slow = Recorder(), Recorder(delay_s=30)
    engine = says("a")
    async with served(engine, accountants=[first, slow]) as url:
        _, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
        writer.write(request({}))
        await until(lambda: bool(first.holds))
        writer.close()
        await until(lambda: first.is_settled)
    assert (first.outcome.finish, first.outcome.status) == ("cancelled", None)
    assert (engine.requests, slow.holds) == ([], [])


@BOTH_WAYS
async def test_what_outlasts_the_drain_is_settled(served: ServeApp, says: Says, stream: bool) -> None:
    recorder = Recorder()
    engine = says(" one", step_s=0.02)
    async with served(engine, config=limited(), accountants=[recorder]) as url:
        _, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
        writer.write(request({"stream": stream, "max_tokens": 900}))
        await until(lambda: bool(engine.running))
    assert recorder.outcome.finish == "error"
    assert recorder.outcome.usage.completion_tokens < 900
    writer.close()


@BOTH_WAYS
async def test_what_is_cancelled_as_the_engine_hangs_is_settled(
    served: ServeApp, says: Says, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    async def hang(drain_s: float) -> None:
        """Let the generations run on."""

    recorder, engine = Recorder(), says(" one", step_s=60)
    monkeypatch.setattr(server, "LAST_WORDS_S", 0.1)
    monkeypatch.setattr(engine, "close", hang)
    async with served(engine, config=limited(), accountants=[recorder]) as url:
        _, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
        writer.write(request({"stream": stream, "max_tokens": 900}))
        await until(lambda: bool(engine.running))
    assert (recorder.outcome.finish, recorder.outcome.status) == ("error", 503)
    writer.close()


async def test_the_fault_of_one_keeps_no_other_from_its_settlement(make_api: MakeApi) -> None:
    class Faulty(RecordedHold):
        async def settle(self, outcome: Outcome) -> None:
            raise ValueError

    class FaultyRecorder(Recorder):
        async def reserve(self, ask: Ask) -> RecordedHold:
            return Faulty(ask, {})

    recorder = Recorder()
    assert await make_api(accountants=[recorder, FaultyRecorder()]).text(max_tokens=1)
    assert recorder.outcome.finish == "length"
