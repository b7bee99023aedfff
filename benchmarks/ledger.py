"""How many requests a second a ledger takes, and how long a reservation waits.

    python -m benchmarks.ledger --rates 100 1000 4000 --seconds 10

Requests arrive evenly at each rate; each is reserved, and settled a moment later, as the API does it. Prints one line a
rate: what was reached, and the wait for a reservation's commit. `--database-url` measures another database than a
SQLite file in a temporary folder; it is migrated, and the rows stay.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import tempfile
import time
from pathlib import Path

import uvloop

from ensue.outputs import Usage
from ensue.store import instances
from ensue.store.db import Database, sqlite_url
from ensue.store.ledger import Ledger
from ensue.store.ledger_rows import Reservation, Settlement
from ensue.store.migrate import upgrade

TICK_S = 0.005


async def request(book: Ledger, lasts_s: float, waits: list[float]) -> None:
    request_id, started = f"req_{secrets.token_hex(16)}", time.perf_counter()
    now = int(time.time())
    await book.reserve(Reservation(request_id, "key_0", "model", "/v1/completions", None, now))
    waits.append(time.perf_counter() - started)
    await asyncio.sleep(lasts_s)
    book.settle(Settlement(request_id, Usage(100, 50, 10), "stop", 200, now, 0.0, 0.1, 0.2))


async def measure(database: Database, rate: int, seconds: float, lasts_s: float) -> str:
    book, waits, tasks = Ledger(database, instances.enter(database)), list[float](), list[asyncio.Task[None]]()
    started = time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        due = int(elapsed * rate) - len(tasks)
        tasks += [asyncio.create_task(request(book, lasts_s, waits)) for _ in range(due)]
        await asyncio.sleep(TICK_S)
    await asyncio.gather(*tasks)
    await asyncio.to_thread(book.close)  # until all is written
    elapsed, stats = time.perf_counter() - started - lasts_s, book.stats()
    waits.sort()
    p50, p99 = (1000 * waits[int(len(waits) * share)] for share in (0.5, 0.99))
    return (
        f"asked {rate:6} requests/s: {stats.num_rows / elapsed:8.0f} requests/s written and settled, "
        f"{stats.num_rows / stats.num_batches:6.1f} requests a commit, "
        f"wait for a reservation {p50:6.2f} ms (median), {p99:6.2f} ms (p99)"
    )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", type=int, nargs="+", default=[10, 100, 1000, 2000, 4000], metavar="PER_S")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each rate")
    parser.add_argument("--lasts-s", type=float, default=0.2, help="how long a request runs")
    parser.add_argument("--database-url")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = Database(given.database_url or sqlite_url(Path(folder) / "ledger.db"))
        upgrade(database)
        for rate in given.rates:
            print(await measure(database, rate, given.seconds, given.lasts_s))
        database.close()


if __name__ == "__main__":
    uvloop.run(main())
