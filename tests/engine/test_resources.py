"""What the machine offers, by files of the system as they may look."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ensue.engine.resources import (
    SMALL_MODEL_BYTES,
    bound_spinning,
    free_memory,
    num_compute_threads,
    num_usable_cores,
)

NUM_CORES = len(os.sched_getaffinity(0))
AVAILABLE = 50 * 1024
MEMINFO = "MemTotal:       100 kB\nMemFree:         10 kB\nMemAvailable:    50 kB\nHugePages_Total:       0\n"


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/a/b\n", **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def cores(folder: Path) -> int:
    return num_usable_cores(folder, folder / "proc")


def memory(folder: Path) -> int:
    return free_memory(folder, folder / "proc")


@pytest.mark.parametrize("place", ["cpu.max", "a/cpu.max", "a/b/cpu.max"])
@pytest.mark.parametrize(("quota", "expected"), [("max 100000", NUM_CORES), ("50000 100000", 1), ("190000 100000", 1)])
def test_cores_are_bounded_by_the_quota_wherever_it_stands(
    tmp_path: Path, place: str, quota: str, expected: int
) -> None:
    assert cores(write(tmp_path, {place: quota})) == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1\n", NUM_CORES), ("100000\n", 1)])
def test_cores_are_bounded_by_a_quota_of_version_1(tmp_path: Path, quota: str, expected: int) -> None:
    files = {"proc/self/cgroup": "3:cpu,cpuacct:/a\n0::/\n", "cpu/a/cpu.cfs_quota_us": quota}
    assert cores(write(tmp_path, {**files, "cpu/a/cpu.cfs_period_us": "100000\n"})) == expected


def test_without_cgroups_the_machine_is_the_limit(tmp_path: Path) -> None:
    write(tmp_path, {"proc/self/cgroup": ""})
    assert (cores(tmp_path), memory(tmp_path)) == (NUM_CORES, AVAILABLE)


@pytest.mark.parametrize("place", ["", "a/", "a/b/"])
@pytest.mark.parametrize(
    ("limit", "used", "free"), [("max", "1000", AVAILABLE), ("30000\n", "10000\n", 20000), ("10", "20", 0)]
)
def test_free_memory_is_the_smallest_room(tmp_path: Path, place: str, limit: str, used: str, free: int) -> None:
    assert memory(write(tmp_path, {place + "memory.max": limit, place + "memory.current": used})) == free


def test_files_that_are_only_cached_count_as_free(tmp_path: Path) -> None:
    stat = "anon 4000\nfile 9000\nshmem 3000\ninactive_file 5000\nactive_file 1000\n"
    write(tmp_path, {"memory.max": "20000", "memory.current": "15000", "memory.stat": stat})
    assert memory(tmp_path) == 20000 - (15000 - 6000)


def test_free_memory_knows_version_1(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "4:memory:/x/y\n0::/\n",
        "memory/x/y/memory.limit_in_bytes": "30000\n",
        "memory/x/y/memory.usage_in_bytes": "25000\n",
        "memory/x/y/memory.stat": "active_file 1\ninactive_file 1\ntotal_active_file 2000\ntotal_inactive_file 3000\n",
        "memory/memory.limit_in_bytes": "9223372036854771712\n",
        "memory/memory.usage_in_bytes": "1\n",
    }
    assert memory(write(tmp_path, files)) == 10000


@pytest.mark.parametrize(("weight_bytes", "threads"), [(1, 1), (SMALL_MODEL_BYTES - 1, 1), (SMALL_MODEL_BYTES, 8)])
def test_a_small_model_computes_on_one_thread(weight_bytes: int, threads: int) -> None:
    assert num_compute_threads(weight_bytes, 8) == threads


@pytest.mark.parametrize("said", [{"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "7"}])
def test_what_the_user_says_of_spinning_stands(said: dict[str, str]) -> None:
    environ = dict(said)
    bound_spinning(environ)
    assert environ == said


def test_spinning_is_bounded_where_nobody_says_otherwise() -> None:
    environ: dict[str, str] = {}
    bound_spinning(environ)
    assert 0 < int(environ["GOMP_SPINCOUNT"]) < 100_000
