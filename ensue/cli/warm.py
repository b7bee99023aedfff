"""`ensue warm`: compile the kernels once, so that later starts load them from the cache."""

from __future__ import annotations

import time

import typer


def warm() -> None:
    """Compile the CPU kernels and cache them beside the package."""
    from ensue import build

    start = time.perf_counter()
    build.warm_kernels()
    typer.echo(f"Kernels compiled and cached in {time.perf_counter() - start:.1f} s.")
