"""The command line: help, mistakes, and completions with and without a server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ensue import __version__
from ensue.cli.address import bind
from ensue.errors import ConfigError
from tests.product.server import running_server


def ensue(*arguments: str, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("ENSUE_")} | environ
    command = [sys.executable, "-m", "ensue", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, env=env, cwd=cwd)


def test_version_is_printed() -> None:
    assert ensue("--version").stdout == f"ensue {__version__}\n"


def test_help_of_serve_lists_every_setting() -> None:
    shown = ensue("serve", "--help", COLUMNS="200").stdout
    for name in ("--host", "--port", "--no-auth", "--engine", "--data-dir", "--served-model-name", "--dtype"):
        assert name in shown
    for name in ("--max-model-len", "--max-num-seqs", "--kv-cache-memory", "--config", "--unknown-parameters"):
        assert name in shown


@pytest.mark.parametrize(
    ("arguments", "environ", "sentence"),
    [
        (["serve", "--no-auth", "--host", "0.0.0.0"], {}, "--no-auth needs a loopback address"),
        (["serve", "--port", "many"], {}, "--port must be a whole number, not 'many'."),
        (["serve", "--port", "70000"], {}, "--port must be at most 65535, not 70000."),
        (["serve", "--dtype", "int8"], {}, "--dtype must be one of auto, bfloat16, float32, not 'int8'."),
        (["serve"], {"ENSUE_PROT": "1"}, "Unknown setting ENSUE_PROT in the environment. Did you mean ENSUE_PORT?"),
        (["serve", "--config", "no-such.toml"], {}, "Cannot read the settings file no-such.toml"),
        (["serve", "./no-such-folder", "--port", "0"], {}, "no-such-folder"),
        (["complete", "x", "--url", "http://127.0.0.1:9"], {}, "No answer from http://127.0.0.1:9"),
    ],
)
def test_a_mistake_ends_with_a_sentence(arguments: list[str], environ: dict[str, str], sentence: str) -> None:
    result = ensue(*arguments, cwd=None, **environ)
    assert result.returncode == 2
    assert sentence in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def test_an_unknown_key_of_the_file_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "ensue.toml").write_text("prot = 8000\n")
    result = ensue("serve", cwd=tmp_path)
    assert (result.returncode, "Unknown setting prot in ensue.toml" in result.stderr) == (2, True)


def test_a_model_that_cannot_be_served_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["GPT2LMHeadModel"]}')
    result = ensue("serve", str(tmp_path), "--port", "0", "--data-dir", str(tmp_path / "data"))
    assert result.returncode == 2
    assert "GPT2LMHeadModel" in result.stderr


def test_a_taken_port_is_named() -> None:
    listener = bind("127.0.0.1", 0)
    with listener, pytest.raises(ConfigError, match=r"Cannot listen on 127\.0\.0\.1:\d+: Address already in use"):
        bind("127.0.0.1", listener.getsockname()[1])


def test_complete_runs_by_itself() -> None:
    result = ensue("complete", "Once upon a time", "--max-tokens", "5", "--seed", "1")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.strip()


def test_complete_talks_to_a_server_and_streams_the_same_text(tmp_path: Path) -> None:
    with running_server(tmp_path, "--engine", "fake") as server:
        arguments = ["complete", "One day", "--url", server.url, "--api-key", server.key, "--max-tokens", "6"]
        whole, streamed = ensue(*arguments), ensue(*arguments, "--stream", "--url", f"{server.url}/v1")
        assert whole.stdout == streamed.stdout
        assert "day" in whole.stdout
        refused = ensue(*arguments[:4])
        assert refused.returncode == 2
        assert "key" in refused.stderr
