"""An application whose key has limits, and what a test needs to look at them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import httpx2

from ensue.api.accounting import Ask, Outcome
from ensue.limits.base import Counters, Demand, Measure
from ensue.store.usage import Spent


@dataclass
class Book:
    """A ledger that says what it is told."""

    by_key: dict[str, Spent] = field(default_factory=dict)
    settled_ids: set[str] = field(default_factory=set)
    num_reads: int = 0
    is_written: asyncio.Event = field(default_factory=asyncio.Event)  # what was settled

    def __post_init__(self) -> None:
        self.is_written.set()

    async def spent(self, key_id: str, request_ids: Collection[str]) -> tuple[Spent, frozenset[str]]:
        self.num_reads += 1
        await asyncio.sleep(0)
        return self.by_key.get(key_id, Spent()), frozenset(request_ids) & self.settled_ids

    async def settled(self, request_id: str) -> None:
        await self.is_written.wait()


@dataclass
class LedgerDouble:
    """An accountant that writes into a book what was used, after the gate has been opened."""

    book: Book
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    asks: list[Ask] = field(default_factory=list)

    async def reserve(self, ask: Ask) -> LedgerEntry:
        self.asks.append(ask)
        await self.gate.wait()
        return LedgerEntry(self.book, ask)


@dataclass
class LedgerEntry:
    book: Book
    ask: Ask

    def headers(self) -> dict[str, str]:
        return {}

    async def settle(self, outcome: Outcome) -> None:
        assert self.ask.key is not None
        total = self.book.by_key.get(self.ask.key.id, Spent()).in_all + outcome.usage.total_tokens
        self.book.by_key[self.ask.key.id] = Spent(total, total, total)
        self.book.settled_ids.add(self.ask.request_id)


async def used(counters: Counters, key_id: str) -> dict[str, int]:
    """How all measures of a key stand."""
    readings = await counters.take(key_id, "look", [Demand(measure, 0) for measure in Measure])
    return {str(measure): reading.used for measure, reading in zip(Measure, readings, strict=True)}


def statuses(answers: list[httpx2.Response]) -> dict[int, int]:
    codes = [answer.status_code for answer in answers]
    return {code: codes.count(code) for code in sorted(set(codes))}


def refusal(answer: httpx2.Response) -> tuple[Any, ...]:
    error = answer.json()["error"]
    return answer.status_code, error["type"], error["code"], answer.headers.get("retry-after")
