"""What this process may use of the machine: cores and memory, cgroup limits included. Standard library only.

A limit may stand at the process's own cgroup or at any above it, in files of version 2 (cpu.max, memory.max) or of
version 1 (cpu.cfs_quota_us, memory.limit_in_bytes); the tightest one holds. Files that a system lacks limit nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, MutableMapping
from pathlib import Path

from ensue.config import MIB

CGROUP = Path("/sys/fs/cgroup")
PROC = Path("/proc")
SMALL_MODEL_BYTES = 32 * MIB  # of weights
SPIN_COUNT = 5000  # of libgomp: longer than the pauses within a step, shorter than a turn of the scheduler


def num_usable_cores(cgroup: Path = CGROUP, proc: Path = PROC) -> int:
    """The smaller of the affinity mask and the cgroup's quota, at least 1."""
    quotas = [_quota(folder) for folder in _folders("cpu", cgroup, proc)]
    cores = [len(os.sched_getaffinity(0)), *(quota for quota in quotas if quota is not None)]
    return max(1, min(cores))


def num_compute_threads(weight_bytes: int, num_cores: int) -> int:
    """One for a small model: its matrices are done before a second thread has woken up.

    And where another program is busy, the first would wait for the second to get its turn, at every matrix.
    """
    return 1 if weight_bytes < SMALL_MODEL_BYTES else num_cores


def bound_spinning(environ: MutableMapping[str, str]) -> None:
    """Let threads that wait for work spin for a fraction of a millisecond, not for several, and then sleep.

    A spinning thread holds the core that the one it waits for may need. To be called before any OpenMP library is
    loaded; what the user says of waiting stands.
    """
    if "OMP_WAIT_POLICY" not in environ:
        environ.setdefault("GOMP_SPINCOUNT", str(SPIN_COUNT))


def free_memory(cgroup: Path = CGROUP, proc: Path = PROC) -> int:
    """Bytes that can be taken without swapping: the smaller of MemAvailable and what the cgroup leaves."""
    available = _table(proc / "meminfo")["MemAvailable:"] * 1024
    rooms = [_room(folder) for folder in _folders("memory", cgroup, proc)]
    return max(0, min([available, *(room for room in rooms if room is not None)]))


def _folders(controller: str, cgroup: Path, proc: Path) -> Iterator[Path]:
    """The process's own cgroup and those above it; /proc/self/cgroup has lines `number:controllers:path`."""
    for line in _read(proc / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = cgroup / controller if controllers else cgroup  # version 2 names no controllers
        own = root / path.lstrip("/")
        yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(root))


def _quota(folder: Path) -> int | None:
    """Whole cores of CPU time; None: no limit."""
    text = _read(folder / "cpu.max") or _read(folder / "cpu.cfs_quota_us") + _read(folder / "cpu.cfs_period_us")
    numbers = text.split()  # quota and period, in µs; the quota may be "max" or -1
    return int(numbers[0]) // int(numbers[1]) if len(numbers) == 2 and numbers[0].isdigit() else None


def _room(folder: Path) -> int | None:
    """Limit − use, where files that are only cached, such as a checkpoint just read, are not use; None: no limit."""
    limit = _read(folder / "memory.max") or _read(folder / "memory.limit_in_bytes")
    used = _read(folder / "memory.current") or _read(folder / "memory.usage_in_bytes")
    if not limit.strip().isdigit() or not used.strip().isdigit():
        return None
    stat = _table(folder / "memory.stat")
    prefix = "total_" if "total_active_file" in stat else ""  # version 1: with the cgroups below, as the use is
    cached = sum(stat.get(f"{prefix}{kind}_file", 0) for kind in ("active", "inactive"))
    return int(limit) - max(0, int(used) - cached)


def _table(path: Path) -> dict[str, int]:
    """First and second word of each line."""
    rows = (line.split() for line in _read(path).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1}


def _read(path: Path) -> str:
    """The file's text, or nothing where this system has no such file."""
    try:
        return path.read_text()
    except OSError:
        return ""
