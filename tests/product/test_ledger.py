"""What the ledger of a running server holds, after ordinary ends and after deaths of each process."""

from __future__ import annotations

import functools
import json
import os
import resource
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse, IncompleteRead
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Row

from ensue.store.audit import AuditLog
from ensue.store.db import Database, sqlite_url
from tests.product.server import Server, is_alive, running_server, wait_until
from tests.store.ledger_tools import assert_sums_are_those_of_the_rows, rows

LONG = {"prompt": "Once", "max_tokens": 900, "n": 16, "stream": True, "ignore_eos": True}
CUT = (IncompleteRead, ConnectionError)


def is_dead(pid: int) -> bool:
    return not is_alive(pid)


class Book:
    """The ledger of a data folder."""

    def __init__(self, data_dir: Path) -> None:
        self.database = Database(sqlite_url(data_dir / "ensue.db"))

    def __del__(self) -> None:
        self.database.close()

    def rows(self) -> list[Row[Any]]:
        return sorted(rows(self.database).values(), key=lambda row: int(row.created_at))

    def has_settled(self, count: int) -> bool:
        return [row.settled_at is None for row in self.rows()] == [False] * count


@contextmanager
def streaming(server: Server) -> Iterator[HTTPResponse]:
    """An answer that has begun."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {server.key}"}
    request = urllib.request.Request(server.url + "/v1/completions", json.dumps(LONG).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        assert response.readline().startswith(b"data: ")
        yield response


def test_a_request_is_written_down(tmp_path: Path) -> None:
    with running_server(tmp_path, "--engine", "fake") as server:
        answer = server.post({"prompt": "Hello", "max_tokens": 5, "n": 2, "user": "me"})
        with pytest.raises(urllib.error.HTTPError):
            server.post({"prompt": "Hello", "max_tokens": 10**6})
    book = Book(tmp_path)
    (row,) = book.rows()
    assert (row.model, row.endpoint, row.user_label) == (answer["model"], "/v1/completions", "me")
    assert row.key_id.startswith("key_")
    assert (row.prompt_tokens, row.completion_tokens) == (answer["usage"]["prompt_tokens"], 10)
    assert (row.finish, row.status) == ("length", 200)
    assert 0 <= row.queue_s < row.total_s
    assert 0 < row.first_token_s < row.total_s
    assert list(tmp_path.glob("*-instance-*")) == []


def test_a_killed_worker_costs_no_row(tmp_path: Path) -> None:
    with running_server(tmp_path) as server, streaming(server) as response:
        os.kill(server.child_pids()["worker"], signal.SIGKILL)
        assert b"engine_restarting" in response.read()
        book = Book(tmp_path)
        assert wait_until(lambda: book.has_settled(1), 30)
    (row,) = book.rows()
    assert (row.finish, row.status) == ("error", 200)
    assert row.completion_tokens >= 1
    assert_sums_are_those_of_the_rows(book.database)


def test_what_a_client_saw_to_its_end_is_settled_whoever_is_killed_at_once(tmp_path: Path) -> None:
    with running_server(tmp_path, "--engine", "fake") as server:
        for number in range(3):
            assert wait_until(lambda: server.status("/ready")[0] == 200, 60)
            pid = server.child_pids()["api"]
            server.post({"prompt": "Once", "max_tokens": 2 + number})
            os.kill(pid, signal.SIGKILL)
            assert wait_until(functools.partial(is_dead, pid), 30)
    book = Book(tmp_path)
    assert [(row.finish, row.completion_tokens) for row in book.rows()] == [("length", 2), ("length", 3), ("length", 4)]
    assert_sums_are_those_of_the_rows(book.database)


def test_a_killed_api_process_is_settled_by_the_next_with_what_was_written(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        book = Book(tmp_path)
        with streaming(server) as response:
            assert wait_until(lambda: book.rows()[0].completion_tokens > 0, 30)
            os.kill(server.child_pids()["api"], signal.SIGKILL)
            with pytest.raises(CUT):
                response.read()
        assert wait_until(lambda: book.has_settled(1), 60)
        assert wait_until(lambda: server.status("/ready")[0] == 200, 60)
        server.post({"prompt": "Once", "max_tokens": 2})
    lost, whole = book.rows()
    assert (lost.finish, lost.status, whole.finish) == ("lost", None, "length")
    assert lost.prompt_tokens == whole.prompt_tokens
    assert 0 < lost.completion_tokens <= 16 * 900
    assert_sums_are_those_of_the_rows(book.database)


def test_a_killed_server_is_settled_at_the_next_start(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        pids = server.child_pids().values()
        with streaming(server) as response:
            server.process.kill()
            with pytest.raises(CUT):
                response.read()
        assert wait_until(lambda: not any(map(is_alive, pids)), 30)
    book = Book(tmp_path)
    (row,) = book.rows()
    assert row.settled_at is None
    with running_server(tmp_path, "--engine", "fake", "--api-workers", "3"):  # one of them settles it
        assert book.has_settled(1)
    assert book.rows()[0].finish == "lost"
    assert_sums_are_those_of_the_rows(book.database)


def test_a_full_disk_refuses_requests_loses_no_row_and_leaves_the_audit_log_whole(tmp_path: Path) -> None:
    with running_server(tmp_path, "--engine", "fake") as server:
        pid = server.child_pids()["api"]
        server.post({"prompt": "Hi", "max_tokens": 2})
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, hard))  # no file of the process may grow any more
        status, body = server.answer({"prompt": "Hi", "max_tokens": 2})
        assert (status, body["error"]["code"]) == (503, "server_is_overloaded")
        assert server.status("/v1/models")[0] == 401  # and this can't be written down
        assert server.status("/health")[0] == 200
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
        assert wait_until(lambda: server.answer({"prompt": "Hi", "max_tokens": 3})[0] == 200, 30)
        assert server.status("/v1/models")[0] == 401
    book = Book(tmp_path)
    assert sorted(row.completion_tokens for row in book.rows() if row.status == 200) == [2, 3]
    assert all(row.settled_at is not None for row in book.rows())
    assert_sums_are_those_of_the_rows(book.database)
    num_records, num_torn = AuditLog.of(str(tmp_path)).verify()
    # The first key, the last refusal, and the first one if its turn comes late enough.
    assert (num_records in (2, 3), num_torn) == (True, 0)


def test_without_keys_rows_have_none(tmp_path: Path) -> None:
    with running_server(tmp_path, "--engine", "fake", "--no-auth") as server:
        request = urllib.request.Request(
            server.url + "/v1/completions", b'{"prompt":"x"}', {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=30).close()
    (row,) = Book(tmp_path).rows()
    assert (row.key_id, row.finish, row.status) == (None, "length", 200)
