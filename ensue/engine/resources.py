"""What this process may use of the machine: cores and memory, cgroup limits included. Standard library only."""

from __future__ import annotations

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")


def num_usable_cores(cgroup: Path = CGROUP) -> int:
    """The smaller of the affinity mask and the cgroup's quota, at least 1."""
    cores = len(os.sched_getaffinity(0))
    quota = _read(cgroup / "cpu.max").split()  # "max 100000" or "150000 100000", in µs
    if len(quota) == 2 and quota[0] != "max":
        cores = min(cores, int(quota[0]) // int(quota[1]))
    return max(1, cores)


def free_memory(cgroup: Path = CGROUP, meminfo: Path = MEMINFO) -> int:
    """Bytes that can be taken without swapping: the smaller of MemAvailable and what the cgroup leaves."""
    fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
    free = int(fields["MemAvailable"].split()[0]) * 1024
    limit, used = _read(cgroup / "memory.max").strip(), _read(cgroup / "memory.current").strip()
    if limit.isdigit() and used.isdigit():
        free = min(free, int(limit) - int(used))
    return max(0, free)


def _read(path: Path) -> str:
    """The file's text, or nothing where this system has no such file."""
    try:
        return path.read_text()
    except OSError:
        return ""
