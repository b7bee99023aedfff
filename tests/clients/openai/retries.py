"""openai-python's own retries against a server that is full, slow to answer, and without its engine for a while."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import openai
from openai import OpenAI

T = TypeVar("T")
MODEL = "ensue-tiny"
LONG = {"ignore_eos": True}  # so that an answer has all of its tokens
PATIENCE = 120  # retries, one second apart


class Counted:
    """A client that counts the attempts it makes."""

    def __init__(self, url: str, max_retries: int, on_attempt: Callable[[int], None] = lambda number: None) -> None:
        self.num_attempts = 0
        self._on_attempt = on_attempt
        http_client = openai.DefaultHttpxClient(event_hooks={"request": [self._count]})
        self.client = OpenAI(base_url=url, max_retries=max_retries, http_client=http_client)

    def _count(self, _request: object) -> None:
        self.num_attempts += 1
        self._on_attempt(self.num_attempts)


@contextlib.contextmanager
def full(url: str) -> Iterator[threading.Event]:
    """Until the event is set, more long generations are asked for than this server takes: one, and one in line."""
    is_over = threading.Event()

    def ask() -> None:
        with OpenAI(base_url=url, max_retries=1) as client:
            while not is_over.is_set():
                with contextlib.suppress(openai.InternalServerError):
                    client.completions.create(model=MODEL, prompt="x", max_tokens=500, extra_body=LONG)

    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(ask)
        try:
            yield is_over
        finally:
            is_over.set()


def see_full(url: str) -> None:
    """A 503 says when to come back."""
    with full(url):
        error = eventually(lambda: failure(Counted(url, 0).client, max_tokens=1))
        assert error.status_code == 503
        assert error.code == "server_is_overloaded"
        assert 1 <= int(error.response.headers["retry-after"]) <= 60
        assert "x-should-retry" not in error.response.headers


def see_patience(url: str) -> None:
    """Who may retry is served once there is room, and has waited as long as he was told."""

    def come_back() -> float:
        with full(url) as is_over:
            patient = Counted(url, PATIENCE, lambda number: is_over.set() if number > 1 else None)
            started_at = time.monotonic()
            raw = patient.client.completions.with_raw_response.create(model=MODEL, prompt="x", max_tokens=1)
            assert raw.parse().choices[0].finish_reason == "length"
            assert raw.retries_taken == patient.num_attempts - 1
            return raw.retries_taken and time.monotonic() - started_at - raw.retries_taken

    assert eventually(come_back) >= 0  # Retry-After is a second or more


def eventually(call: Callable[[], T | None]) -> T:
    """What a call gives once it gives something: a server takes a moment to be full."""
    for _ in range(200):
        if value := call():
            return value
    raise AssertionError("never full")


def failure(client: OpenAI, max_tokens: int, n: int = 1) -> openai.InternalServerError | None:
    try:
        client.completions.create(model=MODEL, prompt="x", max_tokens=max_tokens, n=n, extra_body=LONG)
    except openai.InternalServerError as error:
        return error
    return None


def see_hopeless(url: str) -> None:
    """Where a retry can't help, the server says so, and the client goes by that."""
    hasty = Counted(url, 5)
    error = failure(hasty.client, max_tokens=1000, n=8)
    assert error is not None
    assert error.status_code == 504
    assert error.code == "request_timeout"
    assert error.response.headers["x-should-retry"] == "false"
    assert hasty.num_attempts == 1


def see_restart(url: str, worker: int) -> None:
    """The engine dies; who retries notices no more than the wait."""
    os.kill(worker, signal.SIGKILL)
    patient = Counted(url, PATIENCE)
    answer = patient.client.completions.create(model=MODEL, prompt="x", max_tokens=1)
    assert answer.choices[0].finish_reason == "length"


if __name__ == "__main__":
    base_url = f"{sys.argv[1]}/v1"
    see_full(base_url)
    see_patience(base_url)
    see_hopeless(base_url)
    see_restart(base_url, int(sys.argv[2]))
