"""`ensue config show`: what it prints is a file of settings that says the same, without passwords."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ensue import config
from ensue.cli.config import lines_of
from ensue.config import Config, LimitsConfig, ServerConfig, StoreConfig

GIVEN = Config(
    server=ServerConfig(port=9, served_model_name=('a"b', "ü\\"), sse_keepalive_s=2.5, no_auth=True),
    limits=LimitsConfig(max_body_bytes=5, request_timeout_s=1.0),
)


@pytest.mark.parametrize("given", [Config(), GIVEN])
def test_what_is_shown_is_read_as_the_same_settings(given: Config) -> None:
    assert config.load({}, {}, tomllib.loads("\n".join(lines_of(given)))) == given


def test_every_setting_stands_there_once() -> None:
    names = [line.removeprefix("# ").split(" =")[0] for line in lines_of(Config()) if " =" in line]
    assert names == [f.name for f in config.all_settings()]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:s3@/cret@host/x?a=1", "postgresql://me:***@host/x?a=1"),
        ("redis://:s3cret@host/0", "redis://:***@host/0"),
        ("postgresql://host/x?password=s3cret&user=me", "postgresql://host/x?password=***&user=me"),
        ("postgresql//me:s3cret@host/x", "postgresql//me:***@host/x"),
        ("postgresql://me@host/x", "postgresql://me@host/x"),
    ],
)
def test_passwords_are_left_out(url: str, shown: str) -> None:
    assert f'database_url = "{shown}"' in lines_of(Config(store=StoreConfig(database_url=url)))


def test_command_shows_what_options_environment_and_file_say(tmp_path: Path) -> None:
    (tmp_path / "ensue.toml").write_text("max_n = 7\nport = 1\n")
    command = [sys.executable, "-m", "ensue", "config", "show", "--port", "2"]
    lines = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True).stdout.splitlines()
    assert {"port = 2", "max_n = 7", "max_prompts = 128"} <= {*lines}
