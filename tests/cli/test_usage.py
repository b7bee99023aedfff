"""`ensue usage`: what was used, for people and for programs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ensue.cli import usage_acts
from ensue.outputs import Usage
from ensue.store.db import Database, sqlite_url
from ensue.store.keys import KeyStore
from ensue.store.migrate import upgrade
from ensue.store.usage_rows import RowsWanted, read_rows
from tests.store.ledger_tools import DAY, NOON, batch, reservation, rows, settlement, write


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """With two settled requests, and one of a server that was killed."""
    database = Database(sqlite_url(tmp_path / "ensue.db"))
    upgrade(database)
    old = reservation(1, key_id=None, created_at=NOON - DAY)
    write(database, batch(old, reservation(2), reservation(3), settlement(1), settlement(2, Usage(1200, 34))))
    write(database, batch(r3=Usage(7, 1)))
    yield database
    database.close()


def usage(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ensue", "usage", *arguments, "--data-dir", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


def test_people_get_a_table_with_a_total(database: Database, tmp_path: Path) -> None:
    lines = usage(tmp_path).stdout.splitlines()
    assert lines[0].split() == ["day", "key", "model", "requests", "prompt", "cached", "completion", "total"]
    assert lines[1].split() == ["2026-03-09", "without", "a", "key", "tiny", "1", "10", "4", "5", "15"]
    assert lines[2].split() == ["2026-03-10", "key_a", "tiny", "2", "1,207", "0", "35", "1,242"]
    assert lines[3].split() == ["total", "3", "1,217", "4", "40", "1,257"]
    assert rows(database)["req_3"].finish == "lost"


def test_programs_get_json_or_csv(database: Database, tmp_path: Path) -> None:
    asked = ("--by", "key", "--from", "2026-03-10", "--to", "2026-03-10", "--key", "key_a", "--model", "tiny")
    (row,) = json.loads(usage(tmp_path, "--json", *asked).stdout)
    assert (row["key_id"], row["requests"], row["total_tokens"]) == ("key_a", 2, 1242)
    header, line = usage(tmp_path, "--csv", *asked).stdout.splitlines()
    assert dict(zip(header.split(","), line.split(","), strict=True))["total_tokens"] == "1242"


def test_people_see_single_requests_the_newest_last(database: Database, tmp_path: Path) -> None:
    lines = usage(tmp_path, "requests", "--from", "2026-03-10").stdout.splitlines()
    assert lines[0].split()[:6] == ["time", "id", "key", "endpoint", "model", "user"]
    assert [line.split()[2] for line in lines[1:]] == ["req_2", "req_3"]
    assert lines[1].split()[:2] == ["2026-03-10", "12:00:00Z"]
    assert "There are no such requests" in usage(tmp_path, "requests", "--user", "nobody").stdout


def test_a_terminal_of_80_columns_has_a_line_a_request(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(usage_acts, "WIDTH_OF_A_FILE", 80)
    usage_acts._print_requests(read_rows(database, RowsWanted()))
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["time", "key", "model", "prompt", "completion", "finish", "status"]
    assert len(lines) == 3


def test_a_key_is_named_by_its_name_too(database: Database, tmp_path: Path) -> None:
    with closing(KeyStore(database)) as keys:
        for name in ("team", "twin", "twin"):
            key, _ = keys.create(name)
            write(database, batch(reservation(key.id, key_id=key.id), settlement(key.id)))
    (row,) = json.loads(usage(tmp_path, "--by", "key", "--key", "team", "--json").stdout)
    assert (row["key_name"], row["requests"]) == ("team", 1)
    (row,) = json.loads(usage(tmp_path, "requests", "--key", "team", "--json").stdout)
    assert row["key_name"] == "team"
    assert "2 API keys have the name 'twin'" in usage(tmp_path, "--key", "twin").stderr


def test_programs_get_single_requests_as_json_or_csv(database: Database, tmp_path: Path) -> None:
    (row,) = json.loads(usage(tmp_path, "requests", "--key", "key_a", "--limit", "1", "--json").stdout)
    assert (row["id"], row["finish"], row["prompt_tokens"]) == ("req_3", "lost", 7)
    header, *lines = usage(tmp_path, "requests", "--before", "req_3", "--csv").stdout.splitlines()
    assert (header.split(",")[0], [line.split(",")[0] for line in lines]) == ("id", ["req_2", "req_1"])


def test_a_purge_leaves_the_sums(database: Database, tmp_path: Path) -> None:
    before = usage(tmp_path, "--json").stdout
    assert "Purged 1 rows of days before 2026-03-10" in usage(tmp_path, "purge", "--before", "2026-03-10").stdout
    assert set(rows(database)) == {"req_2", "req_3"}
    assert usage(tmp_path, "--json").stdout == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--by", "user"), "--by must be some of day, key, model"),
        (("--from", "today"), "--from must be a day like 2026-01-31"),
        (("--json", "--csv"), "cannot both be had"),
        (("--json", "purge", "--before", "2026-03-10"), "Options of `ensue usage purge` stand after it"),
        (("requests", "--from", "soon"), "--from must be a day like 2026-01-31 or a time"),
        (("requests", "--before", "req_9"), "--before must be the id of a request"),
        (("--by", "day", "requests"), "Options of `ensue usage requests` stand after it"),
        (("--from", "2026-03-11", "--to", "2026-03-10"), "--from must not be after to."),
        (("requests", "--from", "2026-03-12T10:00", "--to", "2026-03-11"), "--from must not be after to."),
        (("--key", "key_b"), "There is no API key with the id or name 'key_b'"),
        (("requests", "--key", "nobody"), "There is no API key with the id or name 'nobody'"),
        (("purge", "--before", "today"), "--before must be a day like 2026-01-31"),
    ],
)
def test_what_cannot_be_asked_is_said(
    database: Database, tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    done = usage(tmp_path, *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_without_a_database_is_said(tmp_path: Path) -> None:
    done = usage(tmp_path)
    assert (done.returncode, list(tmp_path.iterdir())) == (2, [])
    assert "There is no database" in done.stderr


def test_an_empty_ledger_is_said(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "ensue.db"))
    upgrade(database)
    database.close()
    assert usage(tmp_path).stdout == "Nothing was used.\n"
