"""Real clients against a running server; each in an environment of its own, made by `make test-clients`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import ensue.tiny
from tests.model import checkpoints
from tests.product.server import Server, running_server

FOLDER = Path(__file__).parent
ENVIRONMENTS = FOLDER.parents[1] / ".venv-clients"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
QUIET = ("--log-level", "error")
RANDOM = {"vocab_size": 2048, "max_position_embeddings": 1024, "initializer_range": 0.2}

pytestmark = pytest.mark.timeout(600)  # importing and loading take their time on a busy machine


def run_client(name: str, server: Server, *arguments: str, home: Path) -> None:
    """The client's own checks; what it prints is shown where they fail."""
    python = ENVIRONMENTS / name / "bin" / "python"
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "OPENAI_API_KEY": server.key, "HF_HUB_OFFLINE": "1"}
    command = [str(python), str(FOLDER / name / "client.py"), server.url, *arguments]
    result = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=540)
    assert result.returncode == 0, result.stdout + result.stderr


def test_openai(tmp_path: Path) -> None:
    with running_server(tmp_path, *QUIET) as server:
        run_client("openai", server, home=tmp_path)


def test_lm_eval_scores_as_its_own_backend(tmp_path: Path) -> None:
    folder = tmp_path / "random"
    checkpoints.make(folder, checkpoints.Case("llama", RANDOM))
    for name in TOKENIZER_FILES:
        shutil.copy(Path(ensue.tiny.__file__).parent / name, folder)
    with running_server(tmp_path, str(folder), "--dtype", "float32", *QUIET) as server:
        run_client("lm_eval", server, str(folder), home=tmp_path)
