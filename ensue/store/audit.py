"""The audit log: JSON lines, each with a hash over itself and its predecessor, only ever appended.

    hash(n) = SHA-256(hash(n − 1) + canonical JSON of record n without its hash), hash(0) = 64 zeros

Several processes write to one file: a lock on it makes them take turns. A line that a crash left unfinished is closed
by the next writer and stands outside the chain. Cutting the end off leaves a chain that is valid, so the newest hash is
also kept in a file beside the log.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from ensue.errors import EnsueError

FILE_NAME = "audit.jsonl"
NO_HASH = "0" * 64
_READ_BACK = 64 * 1024  # bytes; more than the longest line

Value = str | int | bool | None | list[str]
Details = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """Who did what to what."""

    number: int  # from 1
    at: str  # ISO 8601, UTC
    event: str  # key.created, auth.refused, …
    actor: str  # a key's id, host:USER, or empty where nobody is known
    target: str  # a key's id, a route
    details: Details
    previous: str  # hash of the record before
    hash: str

    @property
    def is_true_to_its_hash(self) -> bool:
        return self.hash == _hash(self._content())

    def _content(self) -> dict[str, Any]:
        return {
            "n": self.number,
            "at": self.at,
            "event": self.event,
            "actor": self.actor,
            "target": self.target,
            "details": dict(self.details),
            "prev": self.previous,
        }

    def as_dict(self) -> dict[str, Any]:
        return self._content() | {"hash": self.hash}


class AuditLog:
    """One file. Blocks while it writes, so it belongs off the event loop."""

    @classmethod
    def of(cls, data_dir: str) -> AuditLog:
        """The one in a server's data folder."""
        return cls(Path(data_dir).absolute() / FILE_NAME)

    def __init__(self, path: Path) -> None:
        self.path = path
        self._head_path = path.with_suffix(".head")

    def append(self, event: str, *, actor: str = "", target: str = "", details: Details | None = None) -> AuditRecord:
        """Write a record, which is on the disk when this returns.

        Raises:
            EnsueError: the file can't be written, or its end is not a record of this log.
        """
        try:
            with self._locked() as file:
                previous = _last_record(file)
                number, before = (1, NO_HASH) if previous is None else (previous.number + 1, previous.hash)
                at = datetime.now(UTC).isoformat(timespec="milliseconds")
                record = _with_hash(AuditRecord(number, at, event, actor, target, details or {}, before, ""))
                _write(file, record)
                self._keep_head(record)
                return record
        except OSError as error:
            raise EnsueError(f"The audit log {self.path} cannot be written: {error.strerror}.") from None

    def read(self, num_records: int | None = None, before: int | None = None) -> list[AuditRecord]:
        """Records in their order: the last so many of those with a lower number than `before`."""
        records = (record for line in self._lines_backwards() if (record := _parse(line)) is not None)
        chosen = (record for record in records if before is None or record.number < before)
        return list(islice(chosen, num_records))[::-1]

    def verify(self) -> tuple[int, int]:
        """Check the whole chain; returns the numbers of records and of torn lines.

        Raises:
            EnsueError: what was changed, taken out, put in or cut off, with the line.
        """
        number, before, num_torn = 0, NO_HASH, 0
        for line, record in enumerate(self._records(), start=1):
            if record is None:
                num_torn += 1
                continue
            if not record.is_true_to_its_hash:
                raise EnsueError(f"Line {line} of {self.path} was changed: its hash is not that of its content.")
            if (record.number, record.previous) != (number + 1, before):
                raise EnsueError(f"Line {line} of {self.path} does not follow record {number}: records are missing.")
            number, before = record.number, record.hash
        self._check_head(number, before)
        return number, num_torn

    def _records(self) -> Iterator[AuditRecord | None]:
        try:
            with self.path.open("rb") as file:
                for line in file:
                    yield _parse(line)
        except FileNotFoundError:
            return

    def _lines_backwards(self) -> Iterator[bytes]:
        """From the newest: a log of years is not read for its last lines."""
        try:
            with self.path.open("rb") as file:
                end, rest = file.seek(0, os.SEEK_END), b""
                while end:
                    start = max(0, end - _READ_BACK)
                    file.seek(start)
                    rest, *lines = (file.read(end - start) + rest).split(b"\n")
                    yield from reversed(lines)
                    end = start
                yield rest
        except FileNotFoundError:
            return

    @contextmanager
    def _locked(self) -> Iterator[int]:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)

    def _keep_head(self, record: AuditRecord) -> None:
        """Replace the file in one go."""
        temporary = self._head_path.with_suffix(".head-new")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(f"{record.number} {record.hash}\n")
        os.replace(temporary, self._head_path)

    def _check_head(self, number: int, last_hash: str) -> None:
        """A crash between the two files leaves the head one record behind, never ahead."""
        try:
            kept_number, kept_hash = self._head_path.read_text("ascii").split()
        except FileNotFoundError:
            if number:
                raise EnsueError(f"{self._head_path} is missing: whether records were cut off can't be told.") from None
            return
        if int(kept_number) > number or (int(kept_number) == number and kept_hash != last_hash):
            raise EnsueError(f"{self.path} ends with record {number}, but {kept_number} were written.")


def _hash(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256((str(content["prev"]) + text).encode()).hexdigest()


def _with_hash(record: AuditRecord) -> AuditRecord:
    content = record.as_dict()
    del content["hash"]
    return AuditRecord(
        record.number,
        record.at,
        record.event,
        record.actor,
        record.target,
        record.details,
        record.previous,
        _hash(content),
    )


def _parse(line: bytes) -> AuditRecord | None:
    """The record of a line; None for one that a crash left unfinished."""
    try:
        value = json.loads(line)
        return AuditRecord(
            value["n"],
            value["at"],
            value["event"],
            value["actor"],
            value["target"],
            value["details"],
            value["prev"],
            value["hash"],
        )
    except (ValueError, KeyError, TypeError):
        return None


def _last_record(file: int) -> AuditRecord | None:
    """The newest whole record; an unfinished line behind it is closed."""
    size = os.lseek(file, 0, os.SEEK_END)
    end = os.pread(file, _READ_BACK, max(0, size - _READ_BACK))
    if end and not end.endswith(b"\n"):
        os.write(file, b"\n")
    for line in reversed(end.splitlines()):
        record = _parse(line)
        if record is not None:
            return record
    if end:
        raise EnsueError("The end of the audit log holds no record: it was written by something else.")
    return None


def _write(file: int, record: AuditRecord) -> None:
    line = json.dumps(record.as_dict(), separators=(",", ":"), ensure_ascii=True).encode() + b"\n"
    assert len(line) < _READ_BACK, "details are short"
    os.write(file, line)
    os.fsync(file)
