"""A PostgreSQL that is killed under load, with all that makes it durable. Collected where there is one, as in
`make test-stores`.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ensue.build.ledger import OpenLedger
from ensue.metrics import Metrics
from ensue.store.db import Database
from ensue.store.migrate import upgrade
from tests.product.server import wait_until
from tests.store.ledger_tools import ask, assert_sums_are_those_of_the_rows, rows
from tests.store_servers import cluster_url, make_cluster, serving_cluster

NUM_CRASHES, REQUESTS_A_LIFE = 3, 40


class Cluster:
    """A cluster whose server is started, and killed, again and again."""

    def __init__(self, folder: Path) -> None:
        self.url = cluster_url(folder)
        self._folder = folder
        self._user = make_cluster(folder)

    @contextmanager
    def life(self) -> Iterator[None]:
        with serving_cluster(self._folder, self._user) as process:
            yield
            process.kill()
        assert wait_until(self._is_deserted, 60)

    def _is_deserted(self) -> bool:
        """Whether the killed server's children have ended, too: a server does not start beside them."""
        data = str(self._folder / "data")
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if str((path / "cwd").readlink()) == data:
                    return False
            except OSError:
                continue
        return True


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="ensue-crashes-") as folder:
        Path(folder).chmod(0o711)  # its server is not this user
        yield Cluster(Path(folder) / "postgres")


async def test_whenever_it_crashes_each_row_is_there_once_and_settled(cluster: Cluster) -> None:
    database, accepted, asking = Database(cluster.url), list[str](), list[asyncio.Task[None]]()
    opened: OpenLedger | None = None
    for life in range(NUM_CRASHES):
        with cluster.life():
            if opened is None:
                upgrade(database)
                opened = OpenLedger(database, None, Metrics())
            names = [f"{life}_{number}" for number in range(REQUESTS_A_LIFE)]
            asking += [asyncio.create_task(ask(opened, name, accepted)) for name in names]
            while len(accepted) < (life + 0.5) * REQUESTS_A_LIFE:
                await asyncio.sleep(0.001)
    assert opened is not None
    with cluster.life():
        await asyncio.gather(*asking)
        await asyncio.to_thread(opened.close)
        found = rows(database)
        assert {row.id for row in found.values() if row.finish == "stop"} == {f"req_{name}" for name in accepted}
        assert all((row.finish, row.completion_tokens) in (("stop", 5), ("error", 0)) for row in found.values())
        assert_sums_are_those_of_the_rows(database)
        database.close()
