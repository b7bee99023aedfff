"""`ensue warm`: compile the kernels once, so that later starts load them from the cache."""

from __future__ import annotations

import time

import typer


def warm() -> None:
    """Compile the CPU kernels and cache them beside the package."""
    from ensue.model import kernels

    start = time.perf_counter()
    kernels.warm()
    typer.echo(f"Kernels compiled and cached in {time.perf_counter() - start:.1f} s.")
