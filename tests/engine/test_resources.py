"""What the machine offers, by files of the system as they may look."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ensue.engine.resources import free_memory, num_usable_cores

MEMINFO = "MemTotal:       100 kB\nMemFree:         10 kB\nMemAvailable:    50 kB\n"


@pytest.mark.parametrize(("quota", "cores"), [("max 100000", None), ("50000 100000", 1), ("100000 100000", 1)])
def test_cores_are_bounded_by_the_quota(tmp_path: Path, quota: str, cores: int | None) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    assert num_usable_cores(tmp_path) == (cores or len(os.sched_getaffinity(0)))


def test_without_a_cgroup_the_affinity_counts(tmp_path: Path) -> None:
    assert num_usable_cores(tmp_path / "none") == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("limit", "used", "free"),
    [("max", "1000", 50 * 1024), ("30000", "10000", 20000), ("10", "20", 0), (None, None, 50 * 1024)],
)
def test_free_memory_is_the_smaller_of_the_two(tmp_path: Path, limit: str | None, used: str | None, free: int) -> None:
    (tmp_path / "meminfo").write_text(MEMINFO)
    if limit is not None and used is not None:
        (tmp_path / "memory.max").write_text(limit)
        (tmp_path / "memory.current").write_text(used)
    assert free_memory(tmp_path, tmp_path / "meminfo") == free
