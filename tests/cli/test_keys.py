"""`ensue keys`: what people and programs are told, and mistakes."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from rich.console import Console
from typer.testing import CliRunner

from ensue.cli.app import app
from ensue.cli.key_options import TABLE, KeyOption
from ensue.cli.key_tables import print_keys
from ensue.errors import EnsueError
from ensue.rights import SCOPES, KeyRights
from ensue.store.api_key import ApiKey
from ensue.store.audit import AuditLog
from ensue.store.db import Database, sqlite_url
from ensue.store.keys import KeyStore
from ensue.times import LATEST, parse_duration, parse_time
from tests.cli.test_cli import ensue
from tests.product.server import running_server, wait_until

Run = Callable[..., str]
DAY = 86_400


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `ensue keys …` on an empty folder and give what it prints; its errors are raised."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["keys", *arguments, "--data-dir", "data"])
        if isinstance(result.exception, EnsueError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


@pytest.fixture
def as_json(keys: Run) -> Callable[..., Any]:
    return lambda *arguments: json.loads(keys(*arguments, "--json"))


def test_a_key_is_made_with_all_that_is_given(as_json: Callable[..., Any]) -> None:
    numbers = [option for option in TABLE if not option.is_repeatable and not option.is_time]
    given = [part for i, option in enumerate(numbers, start=1) for part in (option.flag, str(i))]
    lists = ["--scope", "chat", "--scope", "metrics", "--model", "a*", "--model", "b", "--allow-ip", "10.0.0.0/8"]
    times = ["--not-before", "1d", "--expires", "2099-01-31"]
    made = as_json("create", "--name", "team", "--owner", "Ann", *given, *lists, *times)
    assert {option.right: made[option.right] for option in numbers} == {
        option.right: i for i, option in enumerate(numbers, start=1)
    }
    assert (made["scopes"], made["models"], made["allow_ips"]) == (["chat", "metrics"], ["a*", "b"], ["10.0.0.0/8"])
    assert (made["name"], made["owner"], made["state"], made["maker"]) == ("team", "Ann", "not valid yet", None)
    assert made["expires_at"] == 4_073_500_800
    assert abs(made["not_before"] - made["created_at"] - DAY) <= 1


def test_every_right_has_an_option() -> None:
    assert {option.right for option in TABLE} == set(KeyRights.__dataclass_fields__)


async def test_the_token_is_printed_once_and_opens(keys: Run, as_json: Callable[..., Any], tmp_path: Path) -> None:
    made = as_json("create", "--name", "team")
    token = made.pop("key")
    store = KeyStore(Database(sqlite_url(tmp_path / "data" / "ensue.db")))
    assert (await store.authenticate(token)).id == made["id"]
    assert as_json("show", "team") == as_json("show", made["id"]) == as_json("list")[0] == made
    assert token not in keys("list") + keys("show", "team")
    store.close()
    store._database.close()


def test_scopes_are_the_usual_ones_or_with_admin_all(as_json: Callable[..., Any]) -> None:
    assert as_json("create")["scopes"] == ["chat", "completions", "tokenize"]
    assert as_json("create", "--admin")["scopes"] == ["admin", "chat", "completions", "metrics", "tokenize"]
    assert as_json("create", "--admin", "--scope", "chat")["scopes"] == ["admin", "chat"]


def test_a_key_is_changed_disabled_and_enabled(as_json: Callable[..., Any]) -> None:
    as_json("create", "--name", "team", "--max-n", "3", "--expires", "9d", "--allow-ip", "::1")
    changed = as_json("update", "team", "--max-n", "none", "--expires", "none", "--allow-ip", "none", "--disable")
    shown = {name: changed[name] for name in ("max_n", "expires_at", "allow_ips", "state")}
    assert shown == {"max_n": None, "expires_at": None, "allow_ips": [], "state": "disabled"}
    assert as_json("update", "team", "--enable", "--name", "crew", "--model", "x")["state"] == "active"
    assert as_json("show", "crew")["models"] == ["x"]


def test_an_admin_key_stays_one_until_no_admin_is_said(as_json: Callable[..., Any]) -> None:
    as_json("create", "--name", "boss", "--admin")
    assert as_json("update", "boss", "--scope", "chat")["scopes"] == ["admin", "chat"]
    assert as_json("update", "boss", "--max-n", "2")["scopes"] == ["admin", "chat"]
    assert as_json("update", "boss", "--scope", "chat", "--scope", "metrics", "--no-admin")["scopes"] == [
        "chat",
        "metrics",
    ]


@pytest.mark.parametrize("option", [option for option in TABLE if option.no_none is None], ids=lambda one: one.right)
def test_none_lifts_what_was_set(as_json: Callable[..., Any], option: KeyOption) -> None:
    value = "2099-01-31" if option.is_time else "10.0.0.0/8" if option.is_repeatable else "3"
    unlimited = as_json("create", "--name", "team")
    limited = as_json("update", "team", option.flag, value)
    assert limited[option.right] != unlimited[option.right]
    assert as_json("update", "team", option.flag, "none")[option.right] == unlimited[option.right]


def test_the_name_of_a_revoked_key_can_be_freed(as_json: Callable[..., Any]) -> None:
    as_json("create", "--name", "team")
    as_json("revoke", "team")
    assert as_json("update", "team", "--name", "old team")["state"] == "revoked"


def test_a_key_is_rotated_and_revoked(as_json: Callable[..., Any]) -> None:
    made = as_json("create", "--name", "team")
    rotated = as_json("rotate", "team", "--overlap", "2h")
    assert rotated["key"] not in (made["key"], "")
    assert abs(rotated["old_until"] - time.time() - 7200) < 60
    assert as_json("revoke", "team")["state"] == "revoked"


def test_people_see_tables(keys: Run) -> None:
    made = keys("create", "--name", "[red]team", "--max-n", "3")
    assert "The key, shown this once:\nsk-ensue-" in made
    assert "[red]team" in made
    listed = keys("list").splitlines()
    assert listed[0].split()[:3] == ["id", "name", "owner"]
    assert all(part in listed[1] for part in ("[red]team", "active", "max n 3"))


def test_a_terminal_of_80_columns_has_a_line_a_key() -> None:
    rights = KeyRights(scopes=frozenset(SCOPES), models=("a" * 99,), not_before=2**37, expires_at=LATEST)
    key = ApiKey("key_0123456789abcdef01234567", "team", "Ann", "wxyz", rights, 1)
    console = Console(width=80, file=io.StringIO())
    print_keys([key, replace(key, rights=replace(rights, expires_at=2**62))], console)
    assert isinstance(console.file, io.StringIO)
    header, first, second, hint = console.file.getvalue().splitlines()
    assert header.split() == ["id", "name", "ends", "in", "state", "expires"]
    assert first.split() == [key.id, "team", "wxyz", "not", "valid", "yet", "9999-12-31"]
    assert second.startswith(key.id)
    assert "ensue keys show" in hint


def test_acts_are_written_down_with_who_did_them(keys: Run, tmp_path: Path) -> None:
    keys("create", "--name", "team")
    keys("update", "team", "--max-n", "2")
    keys("rotate", "team")
    keys("revoke", "team")
    log = AuditLog(tmp_path / "data" / "audit.jsonl")
    records = log.read()
    assert [record.event for record in records] == ["key.created", "key.updated", "key.rotated", "key.revoked"]
    assert all(record.actor.startswith("host:") for record in records)
    assert "sk-ensue-" not in log.path.read_text()
    assert log.verify() == (4, 0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["create", "--max-n", "x"], "--max-n must be a whole number, not 'x'."),
        (["create", "--max-n", ""], "--max-n must be a whole number, not ''."),
        (["create", "--max-n", "0"], "--max-n: max_n must be at least 1"),
        (["create", "--token-budget", str(2**63)], "--token-budget: token_budget must be"),
        (["create", "--scope", "complete"], "--scope: There is no scope `complete`"),
        (["create", "--scope", "admin"], "--admin"),
        (["create", "--model", ""], "--model: models must be"),
        (["create", "--allow-ip", "10.0.0.1/8"], "--allow-ip: allow_ips must be"),
        (["create", "--expires", "soon"], "--expires must be a date such as 2027-01-31, a time"),
        (["create", "--expires", "2020-01-01"], "--expires: expires_at must be in the future"),
        (["create", "--expires", "1h", "--not-before", "2h"], "--expires: expires_at must be after"),
        (["create", "--name", ""], "--name: name must have 1 to 128"),
        (["show", "nobody"], "There is no API key with the id or name 'nobody'"),
        (["show", "twin"], "2 API keys have the name 'twin'"),
        (["update", "one"], "nothing to change"),
        (["update", "one", "--scope", "admin"], "does not become an admin key"),
        (["rotate", "one", "--overlap", "long"], "--overlap must be a duration"),
        (["rotate", "one", "--overlap", "366d"], "--overlap must be at most 365d."),
        (["create", "--scope", "chat,completions"], "--scope takes one value"),
        (["create", "--model", "a", "--model", "b,c"], "--model takes one value: give it again for each"),
        (["create", "--allow-ip", "fe80::1%eth0"], "--allow-ip: allow_ips must be"),
        (["rotate", "gone"], "has been revoked"),
        (["update", "gone", "--enable"], "has been revoked"),
        (["update", "gone", "--max-n", "2"], "has been revoked"),
        (["update", "one", "--no-admin"], "does not have the scope admin"),
        (["update", "boss", "--no-admin", "--scope", "admin"], "--scope: The scope admin can't be given and taken"),
        (["update", "only", "--no-admin"], "--scope: A key must have at least one scope."),
        (["update", "one", "--scope", "none"], "--scope can't be none: a key that is for nothing"),
        (["update", "one", "--model", "none"], "--model can't be none: '*' is every model."),
        (["update", "one", "--allow-ip", "::1", "--allow-ip", "none"], "--allow-ip none stands alone."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_a_sentence_and_changes_nothing(keys: Run, arguments: list[str], sentence: str) -> None:
    for name in ("twin", "twin", "one", "gone"):
        keys("create", "--name", name)
    keys("create", "--name", "boss", "--admin")
    keys("create", "--name", "only", "--admin", "--scope", "admin")
    keys("revoke", "gone")
    before = keys("list", "--json")
    with pytest.raises(EnsueError) as caught:
        keys(*arguments)
    assert sentence in caught.value.message
    assert keys("list", "--json") == before


@pytest.mark.parametrize("arguments", [["list"], ["show", "x"], ["revoke", "x"]])
def test_a_mistyped_folder_is_not_made(keys: Run, tmp_path: Path, arguments: list[str]) -> None:
    with pytest.raises(EnsueError, match="There is no database"):
        keys(*arguments)
    assert not (tmp_path / "data").exists()


def test_the_database_may_be_named_by_its_url(keys: Run, as_json: Callable[..., Any], tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "other.db")
    as_json("create", "--name", "team", "--database-url", url)
    assert [key["name"] for key in as_json("list", "--database-url", url)] == ["team"]


NOW = 1_800_000_000.7


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2027-01-31", 1_801_353_600),
        ("2027-01-31T12:00Z", 1_801_396_800),
        ("2027-01-31 12:00", 1_801_396_800),
        ("2027-01-31T12:00:30+02:00", 1_801_389_630),
        ("90d", 1_800_000_000 + 90 * DAY),
        ("1w2d3h4m5s", 1_800_000_000 + 9 * DAY + 3 * 3600 + 245),
        ("1Y", 1_800_000_000 + 365 * DAY),
    ],
)
def test_times_are_read_as_people_write_them(text: str, moment: int) -> None:
    assert parse_time(text, NOW) == moment


@pytest.mark.parametrize("text", ["", "d", "5", "-5d", "1d1w", "2027-13-01", "20270131", "1969-01-01", "99999y", "٣"])
def test_other_texts_are_no_times(text: str) -> None:
    with pytest.raises(ValueError, match=r"^a "):
        parse_time(text, NOW)


@pytest.mark.parametrize(("text", "seconds"), [("0s", 0), ("1h30m", 5400), (" 2d ", 2 * DAY)])
def test_durations_are_read(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


def test_keys_of_the_host_hold_on_a_running_server_within_five_seconds(tmp_path: Path) -> None:
    with running_server(tmp_path, "--engine", "fake") as server:
        made = json.loads(ensue("keys", "create", "--data-dir", str(tmp_path), "--json").stdout)

        def status() -> int:
            headers = {"authorization": f"Bearer {made['key']}"}
            return int(httpx2.get(f"{server.url}/v1/models", headers=headers).status_code)

        assert status() == 200
        assert ensue("keys", "revoke", made["id"], "--data-dir", str(tmp_path)).returncode == 0
        assert wait_until(lambda: status() == 401, 5.0)


def test_help_needs_nothing_heavy() -> None:
    assert "--token-budget-per-month" in ensue("keys", "update", "--help", COLUMNS="200").stdout
