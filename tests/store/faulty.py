"""A database whose write transactions fail where a test wants it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from ensue.store.db import Database

Fault = Literal["none", "begin", "commit", "unsure"]  # unsure: the commit is done, and its answer gets lost


class FaultyDatabase(Database):
    """Fails as `next_fault` says, which is asked once a write transaction."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.next_fault: Callable[[], Fault] = lambda: "none"

    @contextmanager
    def write(self, *, alone: bool = False) -> Iterator[Connection]:
        fault = self.next_fault()
        if fault == "begin":
            raise failure()
        with super().write(alone=alone) as connection:
            yield connection
            if fault == "commit":
                raise failure()
        if fault == "unsure":
            raise failure()


def failure() -> OperationalError:
    return OperationalError("statement", {}, Exception("the disk is full"))
