"""Much mixed traffic on a server of its own, and what is left of it: memory, file descriptors, blocks, ledger rows.

    python -m benchmarks.soak --requests 20000

Whole answers, streams, chats, guided and refused requests, and clients that leave in the middle. Figures are taken
after a tenth of the traffic and at its end, so that what grows with every request shows.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from httpx2 import AsyncClient, HTTPError

SCHEMA = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 8}}, "required": ["name"]}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "whole": ("/v1/completions", {"prompt": "Once upon a time", "max_tokens": 16, "temperature": 1}),
    "many": (
        "/v1/completions",
        {"prompt": ["One day", "The cat"], "n": 3, "best_of": 4, "max_tokens": 8, "logprobs": 2},
    ),
    "stream": ("/v1/completions", {"prompt": "She said", "max_tokens": 24, "stream": True, "temperature": 1}),
    "leaves": ("/v1/completions", {"prompt": "He ran", "max_tokens": 200, "stream": True, "ignore_eos": True}),
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 12}),
    "guided": ("/v1/completions", {"prompt": "x", "guided_json": SCHEMA, "max_tokens": 24, "temperature": 1}),
    "refused": ("/v1/completions", {"prompt": "x", "n": 1000}),
}


@dataclass(frozen=True)
class Figures:
    """What the server holds at one moment."""

    memory_mib: dict[str, float]  # resident, by process
    num_files: dict[str, int]  # open, by process
    num_blocks: float  # of the cache, held by running sequences
    num_rows: int  # of the ledger


class Soak:
    """A server and the traffic on it."""

    def __init__(self, url: str, data_dir: Path, pid: int, concurrency: int) -> None:
        self._url = url
        self._data_dir = data_dir
        self._pid = pid
        self._key = (data_dir / "first-key").read_text().strip()
        self._concurrency = concurrency
        self._random = random.Random(0)
        self.statuses = Counter[str]()

    async def run(self, num_requests: int) -> None:
        left = iter(range(num_requests))
        headers = {"authorization": f"Bearer {self._key}"}
        async with AsyncClient(base_url=self._url, headers=headers, timeout=120) as client:

            async def ask_on() -> None:
                for number in left:
                    await self._ask(client, number)

            await asyncio.gather(*(ask_on() for _ in range(self._concurrency)))

    async def _ask(self, client: AsyncClient, number: int) -> None:
        kind = self._random.choice(list(KINDS))
        path, body = KINDS[kind]
        try:
            async with client.stream("POST", path, json=body | {"seed": number}) as response:
                self.statuses[f"{kind} {response.status_code}"] += 1
                async for _ in response.aiter_raw():
                    if kind == "leaves":
                        break
        except HTTPError as error:
            self.statuses[f"{kind} {type(error).__name__}"] += 1

    async def figures(self) -> Figures:
        """Taken when nothing runs any more."""
        async with AsyncClient(base_url=self._url, timeout=30) as client:
            for _ in range(200):
                text = (await client.get("/metrics")).text
                if not _gauge(text, "running_sequences") and not _gauge(text, "waiting_sequences"):
                    break
                await asyncio.sleep(0.1)
        await asyncio.sleep(2)  # rows are written in batches
        pids = _children(self._pid)
        return Figures(
            {role: _resident_mib(pid) for role, pid in pids.items()},
            {role: _num_files(pid) for role, pid in pids.items()},
            _gauge(text, "kv_blocks_used"),
            self._num_rows(),
        )

    def _num_rows(self) -> int:
        with closing(sqlite3.connect(f"file:{self._data_dir}/ensue.db?mode=ro", uri=True)) as database:
            return int(database.execute("SELECT count(*) FROM ledger").fetchone()[0])


def _gauge(text: str, name: str) -> float:
    return sum(float(value) for value in re.findall(rf"^ensue_{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE))


def _children(parent: int) -> dict[str, int]:
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            stat = (path / "stat").read_text().rpartition(")")[2].split()
            arguments = (path / "cmdline").read_text().split("\0")
        except OSError:
            continue
        if int(stat[1]) == parent and "ensue.process" in arguments:
            found[arguments[arguments.index("ensue.process") + 1]] = int(path.name)
    return found


def _num_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    match = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(match[1]) / 1024 if match else 0.0


def _print(name: str, figures: Figures) -> None:
    memory = ", ".join(f"{role} {mib:.0f} MiB" for role, mib in sorted(figures.memory_mib.items()))
    files = ", ".join(f"{role} {count}" for role, count in sorted(figures.num_files.items()))
    print(f"{name:>12}: memory {memory}; files {files}; blocks held {figures.num_blocks:.0f}; rows {figures.num_rows}")


async def soak(url: str, data_dir: Path, pid: int, num_requests: int, concurrency: int) -> None:
    running, begun = Soak(url, data_dir, pid, concurrency), time.monotonic()
    await running.run(num_requests // 10)
    first = await running.figures()
    _print("a tenth", first)
    await running.run(num_requests - num_requests // 10)
    last = await running.figures()
    _print("all", last)
    growth = {role: last.memory_mib[role] - mib for role, mib in first.memory_mib.items()}
    print(f"{num_requests} requests in {time.monotonic() - begun:.0f} s; growth since the tenth, MiB: "
          + json.dumps({role: round(mib, 1) for role, mib in growth.items()}))  # fmt: skip
    print("answers: " + ", ".join(f"{name} × {count}" for name, count in sorted(running.statuses.items())))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--concurrency", type=int, default=16)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "ensue", "serve", "--port", "0", "--data-dir", folder, "--log-level", "error"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                url = next(match[1] for line in process.stdout if (match := re.search(r"ready on (http://\S+)", line)))
                asyncio.run(soak(url, Path(folder), process.pid, given.requests, given.concurrency))
            finally:
                process.terminate()


if __name__ == "__main__":
    main()
