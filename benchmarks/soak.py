"""Much mixed traffic on a server of its own, and what is left of it: memory, file descriptors, blocks, ledger rows.

    python -m benchmarks.soak --requests 20000

Whole answers, streams, chats, guided and refused requests, and clients that leave in the middle. A worker's memory
grows until each block of its cache was written to once, and until its library has compiled the matrix products of each
number of rows; so requests that do both come first. Figures are taken then, and after a tenth, half and all of the
traffic: what grows with every request shows between the last two, and is printed by 1,000 requests.
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
    "unique": ("/v1/completions", {"prompt": "x", "guided_regex": "[a-z]{3} NUMBER", "max_tokens": 24}),
    "refused": ("/v1/completions", {"prompt": "x", "n": 1000}),
}


JSON = {"content-type": "application/json"}
BLOCK_SIZE = 64
MAX_ROWS = 256  # of a step: `max_num_batched_tokens`
LONG = 1000  # tokens of a prompt
PARTS = {"a tenth": 0.1, "half": 0.5, "all": 1.0}
OPTIONS = ("--port", "0", "--log-level", "error", "--guided-cache-bytes", "1MiB")


@dataclass(frozen=True)
class Figures:
    """What the server holds at one moment."""

    memory_mib: dict[str, float]  # resident, by process
    num_files: dict[str, int]  # open, by process
    num_blocks: float  # of the cache, held by running sequences
    num_rows: int  # of the ledger
    num_open_rows: int


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

    async def touch(self) -> None:
        """Write to all blocks, and let a step have each number of rows."""
        async with self._client() as client:
            num_blocks = _gauge((await client.get("/metrics")).text, "kv_blocks")
            num_long = int(num_blocks * BLOCK_SIZE / LONG) + 1
            for length in [*range(1, MAX_ROWS + 1), *[LONG] * num_long]:
                prompt = [self._random.randrange(300) for _ in range(length)]
                await client.post("/v1/completions", json={"prompt": prompt, "max_tokens": 1})

    async def run(self, numbers: range) -> None:
        left = iter(numbers)
        async with self._client() as client:

            async def ask_on() -> None:
                for number in left:
                    await self._ask(client, number)

            await asyncio.gather(*(ask_on() for _ in range(self._concurrency)))

    def _client(self) -> AsyncClient:
        return AsyncClient(base_url=self._url, headers={"authorization": f"Bearer {self._key}"}, timeout=120)

    async def _ask(self, client: AsyncClient, number: int) -> None:
        kind = self._random.choice(list(KINDS))
        path, body = KINDS[kind]
        content = json.dumps(body | {"seed": number}).replace("NUMBER", str(number))
        try:
            async with client.stream("POST", path, content=content, headers=JSON) as response:
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
            *self._num_rows(),
        )

    def _num_rows(self) -> tuple[int, int]:
        """All, and those that are not settled."""
        with closing(sqlite3.connect(f"file:{self._data_dir}/ensue.db?mode=ro", uri=True)) as database:
            num_rows, num_settled = database.execute("SELECT count(*), count(settled_at) FROM ledger").fetchone()
            return num_rows, num_rows - num_settled


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
    memory = ", ".join(f"{role} {mib:.1f} MiB" for role, mib in sorted(figures.memory_mib.items()))
    files = ", ".join(f"{role} {count}" for role, count in sorted(figures.num_files.items()))
    rows = f"rows {figures.num_rows}, {figures.num_open_rows} of them open"
    print(f"{name:>12}: memory {memory}; files {files}; blocks held {figures.num_blocks:.0f}; {rows}", flush=True)


async def soak(url: str, data_dir: Path, pid: int, num_requests: int, concurrency: int) -> None:
    running, begun, done = Soak(url, data_dir, pid, concurrency), time.monotonic(), 0
    await running.touch()
    taken = [await running.figures()]
    _print("touched", taken[0])
    for name, part in PARTS.items():
        await running.run(range(done, done := int(num_requests * part)))
        taken.append(await running.figures())
        _print(name, taken[-1])
    half, last = taken[-2:]
    print(f"{num_requests} requests in {time.monotonic() - begun:.0f} s: "
          + ", ".join(f"{name} × {count}" for name, count in sorted(running.statuses.items())))  # fmt: skip
    growth = {role: (last.memory_mib[role] - mib) / (num_requests / 2000) for role, mib in half.memory_mib.items()}
    shown = ", ".join(f"{role} {mib:.2f}" for role, mib in sorted(growth.items()))
    print(f"growth in the second half, MiB by 1,000 requests: {shown}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--concurrency", type=int, default=16)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "ensue", "serve", "--data-dir", folder, *OPTIONS]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                url = next(match[1] for line in process.stdout if (match := re.search(r"ready on (http://\S+)", line)))
                asyncio.run(soak(url, Path(folder), process.pid, given.requests, given.concurrency))
            finally:
                process.terminate()


if __name__ == "__main__":
    main()
