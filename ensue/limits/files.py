"""Counting in files that the processes of one machine share, one file a key, each locked while it is changed."""

from __future__ import annotations

import asyncio
import fcntl
import functools
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from ensue.errors import Overloaded
from ensue.limits.base import LEASE_S, Change, Demand, Measure, Reading, all_fit
from ensue.limits.key_meters import KeyMeters
from ensue.limits.meter import Entry
from ensue.limits.renewal import Held, Renewal

LOCK_TIMEOUT_S, LOCK_RETRY_S = 1.0, 0.001

T = TypeVar("T")
_LENGTH_BYTES = 8
_decoder = msgspec.msgpack.Decoder(dict[Measure, list[Entry]])


class FileCounters:
    """Counts in a folder that only this machine's processes see.

    A state is written by one call and begins with its length, so that a process that dies leaves a whole one. The
    clock must be the same for all: CLOCK_MONOTONIC runs from the start of the machine.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="limits")  # one: its calls keep their order
        self.renewal = Renewal(self._renew)

    async def take(self, key_id: str, entry_id: str, demands: Sequence[Demand]) -> tuple[Reading, ...]:
        readings = await self._run(key_id, lambda meters, now: meters.take(now, entry_id, demands))
        if all_fit(demands, readings):
            self.renewal.taken(key_id, entry_id, demands)
        return readings

    async def change(self, key_id: str, entry_id: str, changes: Sequence[Change]) -> None:
        self.renewal.changed(key_id, entry_id, changes)
        await self._run(key_id, lambda meters, now: meters.change(now, entry_id, changes))

    async def close(self) -> None:
        await self.renewal.close()
        self._thread.shutdown()

    async def _renew(self, held: Sequence[Held]) -> None:
        for key_id in dict.fromkeys(one.key_id for one in held):
            own = [one for one in held if one.key_id == key_id]
            await self._run(key_id, functools.partial(_renew_all, own))

    async def _run(self, key_id: str, work: Callable[[KeyMeters, float], T]) -> T:
        """What `work` returns, with the key's file locked."""

        def locked() -> T:
            with _locked(self._folder / hashlib.sha256(key_id.encode()).hexdigest()) as file:
                meters = KeyMeters(LEASE_S, _read(file))
                result = work(meters, self._clock())
                _write(file, meters)
                return result

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, locked)
        except OSError:
            raise Overloaded("The counts of this key's limits can't be read.", retry_after_s=1) from None


def _renew_all(held: Sequence[Held], meters: KeyMeters, now: float) -> None:
    for one in held:
        meters.renew(now, one.entry_id, one.measure)


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        _lock(file)
        yield file
    finally:
        os.close(file)


def _lock(file: int) -> None:
    """
    Raises:
        TimeoutError: whoever holds the lock stands still.
    """
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TimeoutError from None
            time.sleep(LOCK_RETRY_S)


def _read(file: int) -> dict[Measure, list[Entry]]:
    content = os.pread(file, os.fstat(file).st_size, 0)
    length = int.from_bytes(content[:_LENGTH_BYTES])
    return _decoder.decode(content[_LENGTH_BYTES : _LENGTH_BYTES + length]) if length else {}


def _write(file: int, meters: KeyMeters) -> None:
    content = msgspec.msgpack.encode(meters.entries())
    os.pwrite(file, len(content).to_bytes(_LENGTH_BYTES) + content, 0)
