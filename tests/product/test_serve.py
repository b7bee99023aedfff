"""`ensue serve` from outside: what it prints, what survives, what ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest
from openai import OpenAI

from tests.product.server import Server, is_alive, running_server, wait_until

SEEDED: dict[str, object] = {"model": "ensue-tiny", "prompt": "Once upon a time", "max_tokens": 40, "seed": 11}


def test_the_printed_curl_line_works_when_pasted(server: Server) -> None:
    line = next(line for line in server.printed.splitlines() if line.startswith("curl "))
    result = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, cwd=server.data_dir)
    assert '"object":"text_completion"' in result.stdout


def test_the_printed_curl_line_works_with_odd_names(tmp_path: Path) -> None:
    folder = tmp_path / "it's $HOME"
    folder.mkdir()
    with running_server(folder, "--engine", "fake", "--served-model-name", 'Bob\'s "own" \\ [model]') as server:
        line = next(line for line in server.printed.splitlines() if line.startswith("curl "))
        result = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60)
        assert json.loads(result.stdout)["model"] == 'Bob\'s "own" \\ [model]'


def test_the_first_key_is_for_its_owner_only(server: Server) -> None:
    assert (server.data_dir / "first-key").stat().st_mode & 0o777 == 0o600
    assert server.key not in server.printed


def test_the_request_of_a_providers_page_works_as_it_stands(server: Server) -> None:
    text = """{"model": "meta-llama/Meta-Llama-3-8B-Instruct", "prompt": "Explain the theory of relativity:",
               "max_tokens": 150, "temperature": 0.7, "n": 1}"""
    answer = server.post(json.loads(text))
    assert (answer["object"], answer["model"]) == ("text_completion", "meta-llama/Meta-Llama-3-8B-Instruct")
    (choice,) = answer["choices"]
    assert choice["text"]
    assert choice["finish_reason"] == ("length" if answer["usage"]["completion_tokens"] == 150 else "stop")


def test_version_says_which_path_the_linears_take(server: Server) -> None:
    status, version = server.status("/version")
    assert status == 200
    assert version["row_independent"] is True
    assert {"path", "min_rows"} <= set(version["self_test"])


def test_a_seeded_request_gives_the_same_bytes_alone_in_a_list_and_among_others(server: Server) -> None:
    alone = server.post(SEEDED)["choices"][0]
    listed = server.post(SEEDED | {"prompt": ["Hello", "Once upon a time", "The dog"]})["choices"]
    assert [c["text"] for c in listed][1] == alone["text"]
    others = [SEEDED | {"prompt": f"Number {i}:", "seed": i, "max_tokens": 20 + i} for i in range(24)]
    with ThreadPoolExecutor(25) as pool:
        crowd = [pool.submit(server.post, body) for body in [*others[:12], SEEDED, *others[12:]]]
    assert crowd[12].result()["choices"][0]["text"] == alone["text"]


def test_a_killed_worker_fails_its_requests_and_comes_back(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        client = OpenAI(base_url=server.url + "/v1", api_key=server.key, max_retries=0)
        stream = client.completions.create(
            model="ensue-tiny", prompt="Once", max_tokens=900, stream=True, extra_body={"ignore_eos": True}
        )
        next(iter(stream))
        first = server.child_pids()["worker"]
        os.kill(first, signal.SIGKILL)
        with pytest.raises(openai.APIError):
            list(stream)
        assert wait_until(lambda: server.status("/ready")[0] == 503 or server.child_pids().get("worker") != first, 30)
        assert wait_until(lambda: server.status("/ready")[0] == 200, 60)
        assert server.post(SEEDED)["choices"]


def test_a_worker_counts_as_started_before_the_server_is_ready(server: Server) -> None:
    """What ends it later is no mistake of the start, and it is started again."""
    assert server.printed.index("worker listening") < server.printed.index("ready")


def test_a_killed_supervisor_leaves_no_orphan(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        pids = list(server.child_pids().values())
        assert len(pids) == 2
        server.process.kill()
        assert wait_until(lambda: not any(map(is_alive, pids)), 20)


def test_sigterm_ends_cleanly(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        pids = list(server.child_pids().values())
        assert server.stop() == 0
        assert not any(map(is_alive, pids))


def test_a_server_outlives_whoever_reads_what_it_prints(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ensue", "serve", "--engine", "fake", "--port", str(port)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=tmp_path
    ) as process:
        server = Server(process, f"http://127.0.0.1:{port}", "", tmp_path / ".data")
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert wait_until(lambda: (tmp_path / ".data" / "first-key").exists(), 60)  # and then this is printed
        assert wait_until(lambda: server.status("/ready")[0] == 200, 60)
        assert server.stop() == 0


def test_a_second_start_keeps_the_first_key(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        key = server.key
    with running_server(tmp_path) as server:
        assert server.key == key
        assert key not in server.printed
        assert server.post(SEEDED)["choices"]
