"""A server as a user starts it: `ensue serve` in a process of its own, on a free port, its data in a new folder."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError


@dataclass
class Server:
    """A running `ensue serve` and what it printed until it was ready."""

    process: subprocess.Popen[str]
    url: str
    printed: str
    data_dir: Path

    @property
    def key(self) -> str:
        return (self.data_dir / "first-key").read_text().strip()

    def child_pids(self) -> dict[str, int]:
        """Process ids of the worker and the API, found by their parent."""
        return {role: pid for pid, role in self._children()}

    def api_pids(self) -> list[int]:
        """Process ids of all API processes."""
        return [pid for pid, role in self._children() if role == "api"]

    def _children(self) -> list[tuple[int, str]]:
        pids = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
                arguments = (path / "cmdline").read_text().split("\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if parent == self.process.pid and "ensue.process" in arguments:
                pids.append((int(path.name), arguments[arguments.index("ensue.process") + 1]))
        return pids

    def status(self, path: str) -> tuple[int, dict[str, Any]]:
        """Status and body of a GET, errors included."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=30) as response:
                return response.status, json.load(response)
        except HTTPError as error:
            with error:
                return error.code, json.load(error)

    def post(self, body: dict[str, Any], path: str = "/v1/completions") -> dict[str, Any]:
        return dict(json.loads(self._sent(body, path)))

    def events(self, body: dict[str, Any], path: str = "/v1/completions") -> list[Any]:
        """A stream's events, `[DONE]` taken off."""
        *events, done, rest = self._sent(body, path).decode().split("\n\n")
        assert (done, rest) == ("data: [DONE]", "")
        return [json.loads(event.removeprefix("data: ")) for event in events]

    def answer(self, body: dict[str, Any], path: str = "/v1/completions") -> tuple[int, dict[str, Any]]:
        """Status and body of a POST, errors included."""
        try:
            return 200, self.post(body, path)
        except HTTPError as error:
            with error:
                return error.code, json.load(error)

    def _sent(self, body: dict[str, Any], path: str) -> bytes:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=60) as response:
            return bytes(response.read())

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that nobody has waited for yet is dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Poll until the condition holds; false when the time is over."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@contextmanager
def running_server(data_dir: Path, *options: str, log: IO[str] | None = None) -> Iterator[Server]:
    """Start `ensue serve`, wait until it says that it is ready, and end it.

    Args:
        log: takes what it writes to standard error.
    """
    command = [sys.executable, "-m", "ensue", "serve", "--port", "0", "--data-dir", str(data_dir), *options]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ENSUE_")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environ, cwd=data_dir) as process:
        try:
            yield _when_ready(process, data_dir)
        finally:
            process.terminate()
            assert process.stdout is not None
            process.stdout.read()


def _when_ready(process: subprocess.Popen[str], data_dir: Path) -> Server:
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if line.startswith("curl "):
            match = re.search(r"ready on (https?://\S+)", printed)
            assert match
            return Server(process, match[1], printed, data_dir)
    raise AssertionError(f"ensue serve ended early:\n{printed}")
