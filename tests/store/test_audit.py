"""The audit log can be appended to by many and changed by nobody unseen."""

from __future__ import annotations

import fcntl
import itertools
import json
import multiprocessing
import resource
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ensue.errors import EnsueError
from ensue.store.audit import AuditLog
from ensue.store.audit_record import NO_HASH
from ensue.store.refusals import Refusal, RefusalLog
from tests.product.server import wait_until


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    return AuditLog(tmp_path / "data" / "audit.jsonl")


def filled(log: AuditLog, count: int = 5) -> list[str]:
    for number in range(count):
        log.append("key.created", actor="host:root", target=f"key_{number}", details={"scopes": ["chat"]})
    return log.path.read_text().splitlines()


def test_records_are_chained_and_read_back(log: AuditLog) -> None:
    filled(log)
    records = log.read()
    assert [record.number for record in records] == [1, 2, 3, 4, 5]
    assert records[0].previous == NO_HASH
    assert all(after.previous == before.hash for before, after in itertools.pairwise(records))
    assert log.verify() == (5, 0)
    assert [record.number for record in log.read(2, before=4)] == [2, 3]
    assert log.path.stat().st_mode & 0o777 == 0o600


def test_newest_records_of_a_long_log_are_found_from_its_end(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines lie across the borders of what is read at once."""
    filled(log, 40)
    numbers = [record.number for record in log.read()]
    monkeypatch.setattr("ensue.store.audit._READ_BACK", 97)
    assert [record.number for record in log.read()] == numbers == list(range(1, 41))
    assert [record.number for record in log.read(3)] == [38, 39, 40]


def test_empty_log_is_whole(log: AuditLog) -> None:
    assert log.verify() == (0, 0)
    assert log.read() == []


CHANGES: dict[str, Callable[[list[str]], list[str]]] = {
    "changed": lambda lines: [lines[0].replace("key_0", "key_9"), *lines[1:]],
    "taken out": lambda lines: [lines[0], *lines[2:]],
    "swapped": lambda lines: [lines[1], lines[0], *lines[2:]],
    "cut off": lambda lines: lines[:-1],
    "cut off wholly": lambda lines: [],
    "put in twice": lambda lines: [*lines, lines[-1]],
    "made unreadable": lambda lines: [*lines[:2], "{", *lines[3:]],
}


@pytest.mark.parametrize("change", CHANGES)
def test_change_is_found(log: AuditLog, change: str) -> None:
    lines = CHANGES[change](filled(log))
    log.path.write_text("".join(line + "\n" for line in lines))
    with pytest.raises(EnsueError):
        log.verify()


def test_forged_record_with_a_right_hash_breaks_the_chain(log: AuditLog, tmp_path: Path) -> None:
    lines = filled(log)
    other = filled(AuditLog(tmp_path / "other" / "audit.jsonl"))
    log.path.write_text("".join(line + "\n" for line in [*lines[:3], other[3], lines[4]]))
    with pytest.raises(EnsueError, match="missing"):
        log.verify()


@pytest.mark.parametrize("kept", [1, 40, -1])
def test_line_that_a_crash_left_unfinished_stands_outside_the_chain(log: AuditLog, kept: int) -> None:
    line = filled(log, 3)[-1]
    with log.path.open("a") as file:
        file.write(line[:kept])
    log.append("key.revoked", target="key_1")
    assert log.verify() == (4, 1)


def test_first_line_that_a_crash_left_unfinished_stands_outside_the_chain(log: AuditLog) -> None:
    line = filled(log, 1)[0]
    log.path.write_text(line[:20])
    log.path.with_suffix(".head").unlink()
    log.append("key.revoked", target="key_1")
    assert log.verify() == (1, 1)


def test_what_was_cut_off_stays_missing_when_the_log_goes_on(log: AuditLog) -> None:
    lines = filled(log)
    log.path.write_text("".join(line + "\n" for line in lines[:3]))
    log.append("key.created")
    with pytest.raises(EnsueError, match="missing"):
        log.verify()


@pytest.mark.parametrize("content", ["", "5", "x y", "5 6 7"])
def test_damaged_head_is_said(log: AuditLog, content: str) -> None:
    filled(log)
    log.path.with_suffix(".head").write_text(content)
    with pytest.raises(EnsueError, match="damaged"):
        log.verify()


def test_other_end_than_the_one_that_was_kept_is_found(log: AuditLog, tmp_path: Path) -> None:
    filled(log)
    other = AuditLog(tmp_path / "other" / "audit.jsonl")
    filled(other, 7)
    log.path.write_bytes(other.path.read_bytes())
    with pytest.raises(EnsueError, match="not the record 5"):
        log.verify()


def test_full_disk_leaves_no_part_of_a_record(log: AuditLog) -> None:
    filled(log, 3)
    size, (_, hard) = log.path.stat().st_size, resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, hard))
    try:
        with pytest.raises(EnsueError, match="cannot be written"):
            log.append("key.created")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert log.path.stat().st_size == size
    log.append("key.created")
    assert log.verify() == (4, 0)


def test_record_whose_head_cannot_be_kept_is_taken_back(log: AuditLog) -> None:
    filled(log, 3)
    (blocked := log.path.with_suffix(".head-new")).mkdir()
    with pytest.raises(EnsueError, match="cannot be written"):
        log.append("key.created")
    blocked.rmdir()
    assert log.verify() == (3, 0)


def test_renamed_file_is_an_older_part_of_the_log(log: AuditLog) -> None:
    for number in range(12):
        filled(log, 2)
        log.path.rename(log.path.with_name(f"audit-{number}.jsonl"))
    assert [record.number for record in log.read(3, before=22)] == [19, 20, 21]
    filled(log, 1)
    assert log.verify() == (25, 0)
    log.path.with_name("audit-1.jsonl").unlink()
    with pytest.raises(EnsueError, match="missing"):
        log.verify()
    log.path.with_name("audit-0.jsonl").unlink()
    with pytest.raises(EnsueError, match="missing"):
        log.verify()
    assert log.verify(first=5) == (21, 0)


def test_file_that_is_renamed_while_a_writer_waits_for_it_is_left_alone(log: AuditLog) -> None:
    filled(log, 2)
    with log.path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        waiting = threading.Thread(target=log.append, args=("key.created",))
        waiting.start()
        assert wait_until(lambda: _is_waited_for(log.path), 30)
        log.path.rename(log.path.with_name("audit-1.jsonl"))
    waiting.join(30)
    assert [path.read_bytes().count(b"\n") for path in log._files()] == [2, 1]
    assert log.verify() == (3, 0)


def _is_waited_for(path: Path) -> bool:
    """Whether somebody waits for a lock on the file, as the kernel tells it."""
    inode = path.stat().st_ino
    return any(" -> " in line and f":{inode} " in line for line in Path("/proc/locks").read_text().splitlines())


def append_many(path: Path) -> None:
    for _ in range(25):
        AuditLog(path).append("key.created", target="key_x")


def test_processes_take_turns(log: AuditLog) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=append_many, args=(log.path,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert log.verify() == (75, 0)


def test_file_of_something_else_is_not_appended_to(log: AuditLog) -> None:
    log.path.parent.mkdir()
    log.path.write_text("hello\n")
    with pytest.raises(EnsueError):
        log.append("key.created")


def test_flood_of_refusals_is_counted_not_written(log: AuditLog) -> None:
    now = [0.0]
    refusals = RefusalLog(log, per_minute=3, clock=lambda: now[0])
    for _ in range(10):
        refusals.note(Refusal("invalid_api_key", "10.0.0.1", "/v1/completions"))
    now[0] = 61.0
    refusals.note(Refusal("key_revoked", "10.0.0.2", "/v1/completions", key_id="key_1"))
    refusals.close()
    records = log.read()
    assert [record.actor for record in records] == ["", "", "", "key_1"]
    assert records[-1].details["unwritten_before"] == 7
    assert log.verify() == (4, 0)


def test_content_is_plain_ascii_json(log: AuditLog) -> None:
    log.append("key.created", target="schlüssel\n\u202e", details={"name": "a\x1b[31m"})
    (line,) = log.path.read_bytes().splitlines()
    assert line.isascii()
    assert json.loads(line)["details"] == {"name": "a\x1b[31m"}
