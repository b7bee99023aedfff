"""`ensue serve`."""

from __future__ import annotations

import typer

from ensue.cli import settings


def serve(**options: object) -> None:
    """Serve MODEL: a folder, a hub id, or nothing for the bundled one."""
    config = settings.read(options)
    from ensue.cli.launch import run_server

    raise typer.Exit(run_server(config))
