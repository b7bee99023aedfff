"""docs/keys.md: every right and route, and commands that are understood."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ensue.api.key_bodies import KeyBody, RotateBody
from ensue.cli.app import app
from ensue.cli.key_options import TABLE, KeyOption

PAGE = (Path(__file__).parents[2] / "docs" / "keys.md").read_text()


@pytest.mark.parametrize("option", TABLE, ids=lambda option: option.flag)
def test_a_right_is_documented_under_both_its_names(option: KeyOption) -> None:
    repeatable = " (repeatable)" if option.is_repeatable else ""
    assert f"\n| `{option.flag}`{repeatable} | `{option.right}` | " in PAGE


@pytest.mark.parametrize("body", [KeyBody, RotateBody])
def test_the_fields_of_a_body_are_named(body: type[KeyBody | RotateBody]) -> None:
    assert {f.name for f in fields(body)} <= set(re.findall(r"`(\w+)`", PAGE))


def test_the_commands_of_the_host_run_as_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    block = next(text for text in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL) if "ensue keys" in text)
    commands = [shlex.split(line) for line in block.replace("\\\n", "").split("$ ") if line.strip()]
    for name, *arguments in commands:
        assert name == "ensue"
        assert CliRunner().invoke(app, arguments).exit_code == 0, arguments
    assert len(commands) == 6
