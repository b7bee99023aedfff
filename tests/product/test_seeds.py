"""The promise of seeds over the running server: one request, the same bytes in every situation."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from openai import OpenAI

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


def listed(server: Server) -> str:
    """The answer as the second of a list of three prompts."""
    found = server.post(SEEDED | {"prompt": ["Hello", STORY, "The dog"]})["choices"][2:4]
    return json.dumps([choice | {"index": index} for index, choice in enumerate(found)])


def in_company(server: Server) -> str:
    others = [
        {"model": "ensue-tiny", "prompt": f"Number {i}:", "seed": i, "max_tokens": 20 + i, "temperature": i % 3 / 2}
        for i in range(32)
    ]
    with ThreadPoolExecutor(33) as pool:
        crowd = [pool.submit(choices, server, body) for body in [*others[:16], SEEDED, *others[16:]]]
    return crowd[16].result()


def streamed(server: Server) -> list[str]:
    texts = [""] * 2
    client = OpenAI(base_url=server.url + "/v1", api_key=server.key)
    for event in client.completions.create(**SEEDED, stream=True):
        texts[event.choices[0].index] += event.choices[0].text
    return texts


def test_a_seeded_request_gives_the_same_bytes_whatever_happens_around_it(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        first = server.post(SEEDED)
        expected = json.dumps(first["choices"])
        assert first["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
        again = server.post(SEEDED)
        assert json.dumps(again["choices"]) == expected
        assert again["usage"]["prompt_tokens_details"]["cached_tokens"] >= 64
        assert listed(server) == expected
        assert in_company(server) == expected
        assert streamed(server) == [choice["text"] for choice in first["choices"]]
        before = server.child_pids()["worker"]
        os.kill(before, signal.SIGKILL)
        assert wait_until(lambda: server.child_pids().get("worker", before) != before, 30)
        assert wait_until(lambda: server.status("/ready")[0] == 200, 60)
        assert choices(server) == expected
