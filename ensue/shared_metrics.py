"""The metrics of several API processes as one: each leaves its numbers in a file, and adds those of the others.

A process that is started in the place of a dead one goes on from what that one had counted. What a killed process
counted in its last second is lost.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import structlog

from ensue.metrics import Metrics, Snapshot, together, without_gauges

WRITE_EVERY_S = 1.0

log = structlog.get_logger(__name__)


class SharedMetrics:
    """The file of one process among those in a folder."""

    def __init__(self, folder: Path, index: int, metrics: Metrics) -> None:
        """
        Args:
            index: the process' place, which its successor takes.
        """
        self._folder = folder
        self._path = folder / f"metrics-{index}.json"
        self._metrics = metrics
        self._before = without_gauges(_read(self._path))
        metrics.add_others(self._others)

    def write(self) -> None:
        """Leave the numbers as they are now."""
        content = json.dumps(together(self._metrics.snapshot(), [self._before]))
        unfinished = self._path.with_suffix(".part")
        unfinished.write_text(content, "utf-8")
        os.replace(unfinished, self._path)

    async def keep_writing(self) -> None:
        while True:
            try:
                self.write()
            except OSError as error:
                log.warning("the metrics cannot be shared", reason=error.strerror)
            await asyncio.sleep(WRITE_EVERY_S)

    def _others(self) -> list[Snapshot]:
        return [self._before, *(_read(path) for path in self._folder.glob("metrics-*.json") if path != self._path)]


def _read(path: Path) -> Snapshot:
    """Nothing where there is no file yet."""
    try:
        snapshot: Snapshot = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    return snapshot
