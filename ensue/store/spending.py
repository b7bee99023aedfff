"""What keys have spent, read from the ledger's sums off the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from sqlalchemy.exc import DBAPIError

from ensue.errors import Overloaded
from ensue.store.db import Database
from ensue.store.ledger import Ledger
from ensue.store.usage import Spent, settled_of, spent

_Answer = tuple[Spent, frozenset[str]]


class _Question(NamedTuple):
    key_id: str
    request_ids: frozenset[str]
    answer: asyncio.Future[_Answer]


class Spending:
    """Reads what the ledgers of all processes have written."""

    def __init__(self, database: Database, ledger: Ledger, now: Callable[[], float] = time.time) -> None:
        """
        Args:
            ledger: of this process.
        """
        self._database = database
        self._ledger = ledger
        self._now = now
        self._questions: list[_Question] = []  # that the next reading answers
        self._reading: asyncio.Task[None] | None = None

    async def spent(self, key_id: str, request_ids: Collection[str] = ()) -> tuple[Spent, frozenset[str]]:
        """What a key's settled requests have used, and which of these requests are among them, at one moment.

        Raises:
            Overloaded: the database does not answer.
        """
        answer: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        self._questions.append(_Question(key_id, frozenset(request_ids), answer))
        if self._reading is None:
            self._reading = asyncio.create_task(self._answer_all())
        return await answer

    async def settled(self, request_id: str) -> None:
        """Returns once what a request of this process has used is part of the sums."""
        await self._ledger.settled(request_id)

    async def _answer_all(self) -> None:
        """What is asked while one reading is under way is answered together by the next."""
        try:
            while self._questions:
                questions, self._questions = self._questions, []
                answers = await asyncio.to_thread(self._read, questions)
                for question, answer in zip(questions, answers, strict=True):
                    if not question.answer.done():
                        _tell(question.answer, answer)
        finally:
            self._reading = None

    def _read(self, questions: Sequence[_Question]) -> list[_Answer | Exception]:
        try:
            with self._database.read() as connection:
                settled = settled_of(connection, sorted(frozenset().union(*(one.request_ids for one in questions))))
                by_key = {one.key_id: spent(connection, one.key_id, self._now()) for one in questions}
                return [(by_key[one.key_id], settled & one.request_ids) for one in questions]
        except DBAPIError:
            return [Overloaded("The ledger does not answer.", retry_after_s=1) for _ in questions]
        except Exception as error:  # a fault of ours is raised where it was asked for
            return [error for _ in questions]


def _tell(asker: asyncio.Future[_Answer], answer: _Answer | Exception) -> None:
    if isinstance(answer, Exception):
        asker.set_exception(answer)
    else:
        asker.set_result(answer)
