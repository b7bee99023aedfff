"""One server for the whole suite. Beside every test an innocent request runs, and its bytes must not change."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ensue.rights import KeyRights
from ensue.store.audit import FILE_NAME, AuditLog
from ensue.store.db import Database, sqlite_url
from ensue.store.keys import KeyStore
from tests.abuse.victim import SECRET_PROMPT, Victim
from tests.product.server import running_server

INNOCENT: dict[str, Any] = {"prompt": "Once upon a time", "max_tokens": 24, "temperature": 1, "seed": 11, "n": 2}
CHECKS_AFTER = 2  # innocent requests that are compared after each attack


@pytest.fixture(scope="session")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    """The server, with what it logs in a file; after all attacks the log is searched for what it must not hold."""
    folder = tmp_path_factory.mktemp("victim")
    limits = ("--header-timeout-s", "3", "--body-timeout-s", "3", "--log-level", "debug", "--log-format", "json")
    with (folder / "log").open("w") as log, running_server(folder, *limits, log=log) as server:
        database = Database(sqlite_url(folder / "ensue.db"))
        keys = KeyStore(database)
        victim = Victim(server, keys, folder / "log")
        victim.expected = victim.innocent(INNOCENT)
        yield victim
        leaks = victim.leaks()
        keys.close()
        database.close()
    assert not leaks, leaks
    AuditLog(folder / FILE_NAME).verify()


@pytest.fixture(autouse=True)
def beside(victim: Victim) -> Iterator[None]:
    """Runs innocent requests during the test; after it the server is ready and answers as before."""
    stop, answers = threading.Event(), []

    def ask() -> None:
        while not stop.is_set():
            answers.append(victim.innocent(INNOCENT))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(120)
    answers += [victim.innocent(INNOCENT) for _ in range(CHECKS_AFTER)]
    assert all(answer == victim.expected for answer in answers), "an innocent request was changed"
    assert victim.server.status("/ready")[0] == 200


@pytest.fixture(scope="session")
def other_key(victim: Victim) -> str:
    """A key of somebody else, who may chat only and only with another model."""
    return victim.make_key(KeyRights(scopes=frozenset({"chat"}), models=("other-*",)))


def secret_body(**fields: Any) -> bytes:
    """A body whose prompt must not turn up anywhere."""
    return json.dumps({"prompt": SECRET_PROMPT, "max_tokens": 2, **fields}).encode()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The log is searched when the session ends, so an attack more costs nothing but its own time."""
    folder = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(folder):
            item.add_marker(pytest.mark.timeout(180))
