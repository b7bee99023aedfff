"""A ledger's upkeep goes on, whatever fails."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from ensue.store import upkeep
from ensue.store.db import Database
from ensue.store.upkeep import Upkeep
from tests.product.server import wait_until
from tests.store.faulty import failure
from tests.store.ledger_tools import batch, reservation, rows, write


class Unsteady:
    """An instance whose lock is hard to keep."""

    id = "unsteady"

    def __init__(self, faults: Iterator[Exception | None]) -> None:
        self._faults = faults

    def keep(self) -> None:
        if (fault := next(self._faults)) is not None:
            raise fault

    def close(self) -> None: ...


def test_the_rows_of_the_dead_are_settled_once_it_succeeds_and_its_own_are_not(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "KEEP_EVERY_S", 0.01)
    write(database, batch(reservation(1)), "0123456789abcdef")
    write(database, batch(reservation(2)), Unsteady.id)
    faults = itertools.chain([failure(), OSError("disk"), RuntimeError()], itertools.repeat(None))
    kept = Upkeep(database, Unsteady(faults), None)
    assert wait_until(lambda: rows(database)["req_1"].finish == "lost", 30)
    kept.close()
    assert rows(database)["req_2"].settled_at is None
