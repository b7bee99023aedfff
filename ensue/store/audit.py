"""The audit log: JSON lines, each with a hash over itself and its predecessor, only ever appended.

Several processes write to one file: a lock on it makes them take turns. A line that a crash left unfinished is closed
by the next writer and stands outside the chain. Cutting the end off leaves a chain that is valid, so the newest hash is
also kept in a file beside the log: the head. A file that was renamed to `audit-….jsonl` is an older part of the same
log, and the chain goes on in the next one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from ensue.errors import EnsueError
from ensue.store.audit_record import NO_HASH, AuditRecord, Details, parse

FILE_NAME = "audit.jsonl"
_READ_BACK = 64 * 1024  # bytes


class _End(NamedTuple):
    """Where a chain ends."""

    number: int
    hash: str


_NOTHING = _End(0, NO_HASH)


class AuditLog:
    """One log. Blocks while it writes, so it belongs off the event loop."""

    @classmethod
    def of(cls, data_dir: str) -> AuditLog:
        """The one in a server's data folder."""
        return cls(Path(data_dir).absolute() / FILE_NAME)

    def __init__(self, path: Path) -> None:
        self.path = path
        self._head_path = path.with_suffix(".head")

    def append(self, event: str, *, actor: str = "", target: str = "", details: Details | None = None) -> AuditRecord:
        """Write a record, which is on the disk when this returns; where it raises, nothing of it is.

        Raises:
            EnsueError: the file can't be written, or its end is not a record of this log.
        """
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        try:
            with self._locked() as file:
                end = self._end(file)
                record = AuditRecord(end.number + 1, at, event, actor, target, details or {}, end.hash).hashed()
                with _undone_on_failure(file):
                    _write(file, record.line())
                    self._keep_head(record)
                return record
        except OSError as error:
            raise EnsueError(f"The audit log {self.path} cannot be written: {error.strerror}.") from None

    def read(self, num_records: int | None = None, before: int | None = None) -> list[AuditRecord]:
        """Records in their order: the last so many of those with a lower number than `before`.

        Raises:
            EnsueError: a file can't be read.
        """
        with self._readable():
            lines = chain.from_iterable(_lines_of(path) for path in reversed(self._files()))
            records = (record for line in lines if (record := parse(line)) is not None)
            chosen = (record for record in records if before is None or record.number < before)
            return list(islice(chosen, num_records))[::-1]

    def verify(self, first: int = 1) -> tuple[int, int]:
        """Check the whole chain, also while others append to it; returns the numbers of records and of torn lines.

        Args:
            first: the number of the first record that is still here.

        Raises:
            EnsueError: what was changed, taken out, put in or cut off, with the line.
        """
        with self._readable():
            head = self._head()  # read first: what is appended meanwhile lies beyond it
            end, num_torn = _End(first - 1, NO_HASH), 0
            for place, record in self._records():
                if record is None:
                    num_torn += 1
                    continue
                _check(record, end, head, place, is_first=record.number == first > 1)
                end = _End(record.number, record.hash)
        if end.number and head is None:
            raise EnsueError(f"{self._head_path} is missing: whether records were cut off can't be told.")
        if head is not None and head.number > end.number:
            raise EnsueError(f"{self.path} ends with record {end.number}, but {head.number} were written.")
        return end.number - first + 1, num_torn

    def _records(self) -> Iterator[tuple[str, AuditRecord | None]]:
        """Each with the place where it stands; None for a torn line."""
        for path in self._files():
            with path.open("rb") as file:
                for number, line in enumerate(file, start=1):
                    yield f"Line {number} of {path}", parse(line)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise EnsueError(f"The audit log {self.path} cannot be read: {error.strerror}.") from None

    def _files(self) -> list[Path]:
        """Those that were renamed, the oldest first, and the present one."""
        older = self.path.parent.glob(f"{self.path.stem}-*{self.path.suffix}")
        numbered = [(_first_number(path), path) for path in older]
        return [path for _, path in sorted(numbered)] + [self.path] * self.path.exists()

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The file, with nobody else writing to it; one that was renamed while we waited for it is left alone."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                if _is_at(file, self.path):
                    yield file
                    return
            finally:
                os.close(file)

    def _end(self, file: int) -> _End:
        """What the next record follows: the newest record, or the head where it is ahead, so that what was cut off
        stays missing. An unfinished line is closed.
        """
        lines = _lines_backwards(file)
        unfinished = next(lines)
        records = (record for line in chain([unfinished], lines) if (record := parse(line)) is not None)
        newest = next(records, None)
        if newest is None and os.fstat(file).st_size > len(unfinished):
            raise EnsueError("The end of the audit log holds no record: it was written by something else.")
        if unfinished:
            _write(file, b"\n")
        return max(_NOTHING if newest is None else _End(newest.number, newest.hash), self._head() or _NOTHING)

    def _keep_head(self, record: AuditRecord) -> None:
        """Replace the file in one go."""
        temporary = self._head_path.with_suffix(".head-new")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(f"{record.number} {record.hash}\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self._head_path)

    def _head(self) -> _End | None:
        """A crash between the two files leaves it behind the log, never ahead."""
        try:
            number, kept_hash = self._head_path.read_text("ascii").split()
            return _End(int(number), kept_hash)
        except FileNotFoundError:
            return None
        except ValueError:
            raise EnsueError(f"{self._head_path} is damaged: whether records were cut off can't be told.") from None


def _check(record: AuditRecord, end: _End, head: _End | None, place: str, *, is_first: bool) -> None:
    if not record.is_true_to_its_hash:
        raise EnsueError(f"{place} was changed: its hash is not that of its content.")
    if record.number != end.number + 1 or (record.previous != end.hash and not is_first):
        raise EnsueError(f"{place} does not follow record {end.number}: records are missing.")
    if head is not None and record.number == head.number and record.hash != head.hash:
        raise EnsueError(f"{place} is not the record {head.number} that was written.")


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _write(file: int, content: bytes) -> None:
    """All of it: a disk that is almost full takes a part, and says so only when asked for the rest."""
    while content:
        content = content[os.write(file, content) :]
    os.fsync(file)


@contextmanager
def _undone_on_failure(file: int) -> Iterator[None]:
    """What is appended is taken back, but where the file system lets nobody do that."""
    size = os.fstat(file).st_size
    try:
        yield
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(file, size)
        raise


def _first_number(path: Path) -> int:
    with path.open("rb") as file:
        return next((record.number for line in file if (record := parse(line)) is not None), 0)


def _lines_of(path: Path) -> Iterator[bytes]:
    """From the newest."""
    with path.open("rb") as file:
        yield from _lines_backwards(file.fileno())


def _lines_backwards(file: int) -> Iterator[bytes]:
    """From the end: what stands behind the last line feed, mostly nothing; then the newest line, and so on.

    A log of years is not read for its last lines.
    """
    end, rest = os.fstat(file).st_size, b""
    while end:
        start = max(0, end - _READ_BACK)
        rest, *lines = (os.pread(file, end - start, start) + rest).split(b"\n")
        yield from reversed(lines)
        end = start
    yield rest
