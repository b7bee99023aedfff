"""The promise of seeds over the running server: one request, the same bytes in every situation."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from openai import OpenAI

from tests.joined import joined
from tests.product.server import Server, running_server, wait_until

STORY = "Once upon a time, there was a kind girl called Lily. She had a red kite. " * 5  # longer than one block
SEEDED: dict[str, Any] = {
    "model": "ensue-tiny",
    "prompt": STORY,
    "max_tokens": 40,
    "seed": 11,
    "n": 2,
    "logprobs": 3,
    "frequency_penalty": 0.4,
    "logit_bias": {"300": -100},
}


def choices(server: Server, body: dict[str, Any] = SEEDED) -> str:
    """As they stand in the answer, every digit of every number."""
    return json.dumps(server.post(body)["choices"])


def unseen(name: str) -> dict[str, Any]:
    """The request with a salt of its own, so that nothing of its prompt is found in the cache."""
    return SEEDED | {"cache_salt": name}


def listed(server: Server) -> str:
    """The answer as the second of a list of three prompts."""
    found = server.post(unseen("listed") | {"prompt": ["Hello", STORY, "The dog"]})["choices"][2:4]
    return json.dumps([choice | {"index": index} for index, choice in enumerate(found)])


def in_company(server: Server, seeded: dict[str, Any]) -> str:
    others = [
        {"model": "ensue-tiny", "prompt": f"Number {i}:", "seed": i, "max_tokens": 20 + i, "temperature": i % 3 / 2}
        for i in range(32)
    ]
    with ThreadPoolExecutor(33) as pool:
        crowd = [pool.submit(choices, server, body) for body in [*others[:16], seeded, *others[16:]]]
    return crowd[16].result()


def streamed(server: Server) -> list[Any]:
    """The choices put together from their events."""
    client = OpenAI(base_url=server.url + "/v1", api_key=server.key)
    body = SEEDED | {"extra_body": {"cache_salt": "streamed"}, "stream": True}
    return joined(json.loads(event.to_json()) for event in client.completions.create(**body))


def restart_worker(server: Server) -> None:
    before = server.child_pids()["worker"]
    os.kill(before, signal.SIGKILL)
    assert wait_until(lambda: server.child_pids().get("worker", before) != before, 30)
    assert wait_until(lambda: server.status("/ready")[0] == 200, 60)


def num_cached(answer: dict[str, Any]) -> int:
    usage = answer["usage"]
    cached = int(usage["prompt_tokens_details"]["cached_tokens"])
    assert cached < usage["prompt_tokens"]
    return cached


def test_a_seeded_request_gives_the_same_bytes_whatever_happens_around_it(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        first, again = server.post(SEEDED), server.post(SEEDED)
        expected = json.dumps(first["choices"])
        assert json.dumps(again["choices"]) == expected
        assert (num_cached(first), num_cached(again) >= 64) == (0, True)
        assert listed(server) == expected
        assert in_company(server, unseen("in company")) == expected
        assert in_company(server, SEEDED) == expected
        assert streamed(server) == first["choices"]
        restart_worker(server)
        assert choices(server) == expected


def test_without_the_prefix_cache_nothing_is_found_and_the_bytes_are_the_same(server: Server, tmp_path: Path) -> None:
    with running_server(tmp_path, "--no-prefix-caching") as other:
        answers = [other.post(SEEDED) for _ in range(2)]
    assert list(map(num_cached, answers)) == [0, 0]
    assert {json.dumps(answer["choices"]) for answer in answers} == {choices(server)}
