"""Real clients against a running server; each in an environment of its own, made by `make test-clients`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
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
OFFLINE = {  # telemetry and downloads, off; what is tried all the same is refused and reported
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "PYTHONPATH": str(FOLDER / "loopback_only"),
}
ONE_AT_A_TIME = ("--max-num-seqs", "1", "--max-waiting-requests", "1", "--request-timeout-s", "2")
WITH_BUNDLED_MODEL = ("openai", "langchain", "llama_index", "litellm", "llm", "instructor", "dspy")

pytestmark = pytest.mark.timeout(600)  # importing and loading take their time on a busy machine


@dataclass(frozen=True)
class Client:
    """A client's environment, and a new home for what it keeps."""

    home: Path

    def run(
        self, name: str, server: Server, *arguments: str, script: str = "client.py", key: str | None = None
    ) -> None:
        """Its own checks; what it prints is shown where they fail."""
        report = self.home / "tried-to-reach"
        report.touch()
        environ = {
            **OFFLINE,
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "LLM_USER_PATH": str(self.home / "llm"),
            "LOOPBACK_REPORT": str(report),
            "OPENAI_API_KEY": key or server.key,
        }
        command = [str(ENVIRONMENTS / name / "bin" / "python"), str(FOLDER / name / script), server.url, *arguments]
        result = subprocess.run(command, env=environ, cwd=self.home, capture_output=True, text=True, timeout=540)
        assert result.returncode == 0, result.stdout + result.stderr
        assert report.read_text() == ""


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server"), *QUIET) as running:
        yield running


@pytest.mark.parametrize("name", WITH_BUNDLED_MODEL)
def test_a_client_is_served(name: str, client: Client, server: Server) -> None:
    client.run(name, server)


def test_every_client_is_tested() -> None:
    folders = {path.parent.name for path in FOLDER.glob("*/client.py")}
    assert folders == {*WITH_BUNDLED_MODEL, "lm_eval", "schemathesis"}


def test_openai_retries_what_may_be_retried(client: Client, tmp_path: Path) -> None:
    with running_server(tmp_path, *ONE_AT_A_TIME, *QUIET) as server:
        worker = server.child_pids()["worker"]
        client.run("openai", server, str(worker), script="retries.py")


def test_openai_calls_tools(client: Client, server: Server) -> None:
    client.run("openai", server, script="tools.py")


def test_lm_eval_scores_as_its_own_backend(client: Client, tmp_path: Path) -> None:
    folder = tmp_path / "random"
    checkpoints.make(folder, checkpoints.Case("llama", RANDOM))
    for name in TOKENIZER_FILES:
        shutil.copy(Path(ensue.tiny.__file__).parent / name, folder)
    with running_server(tmp_path, str(folder), "--dtype", "float32", *QUIET) as server:
        client.run("lm_eval", server, str(folder))


def test_schemathesis_finds_no_answer_that_is_not_described(client: Client, tmp_path: Path) -> None:
    with running_server(tmp_path, "--max-model-len", "128", *QUIET) as server:
        options = ("--name", "all", "--admin", "--data-dir", str(server.data_dir), "--json")
        command = [sys.executable, "-m", "ensue", "keys", "create", *options]
        made = subprocess.run(command, capture_output=True, check=True)
        client.run("schemathesis", server, key=json.loads(made.stdout)["key"])
