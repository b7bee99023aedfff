"""`ensue serve`: check everything that can be checked, bind the port, then hand over to the supervisor."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import typer

from ensue.child import ModelSource, ProcessSettings
from ensue.cli import settings
from ensue.cli.address import bind, is_loopback
from ensue.cli.startup import StartupPrinter
from ensue.config import Config
from ensue.errors import ConfigError
from ensue.supervisor import ChildSpec, stop_on_signals, supervise


def serve(**options: object) -> None:
    """Serve MODEL: a folder, a hub id, or nothing for the bundled one."""
    started_at = time.time()
    config = settings.read(options)
    refuse_open_server(config)
    listener = bind(config.server.host, config.server.port)
    printer = StartupPrinter(config, listener.getsockname()[:2], started_at)
    source = find_model(config, printer.on_download)
    runtime = Path(tempfile.mkdtemp(prefix="ensue-"))  # mode 0700
    try:
        code = asyncio.run(_supervise(config, source, runtime, listener, printer))
    finally:
        shutil.rmtree(runtime, ignore_errors=True)
    raise typer.Exit(code)


async def _supervise(
    config: Config, source: ModelSource, runtime: Path, listener: socket.socket, printer: StartupPrinter
) -> int:
    stop = asyncio.Event()
    stop_on_signals(stop)
    worker, api = child_specs(config, source, runtime, listener, is_terminal=sys.stdout.isatty())
    return await supervise(worker, api, printer.on_event, config.server.drain_s, stop)


def child_specs(
    config: Config, source: ModelSource, runtime: Path, listener: socket.socket, *, is_terminal: bool
) -> tuple[ChildSpec | None, ChildSpec]:
    """The engine worker (none where the engine is scripted) and the API."""
    child = ProcessSettings(config, source, str(runtime / "worker.sock"), listener.fileno(), is_terminal)
    line = json.dumps(asdict(child)).encode()
    worker = ChildSpec("worker", _command("worker"), line) if config.engine.engine == "native" else None
    return worker, ChildSpec("api", _command("api"), line, inherited_fds=(listener.fileno(),))


def _command(role: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "ensue.process", role)


def find_model(config: Config, on_download: Callable[[str, float], None]) -> ModelSource:
    """Find, and where needed fetch, the model that the settings name."""
    from ensue.model import hub

    found = hub.resolve(config.engine.model, config.engine.revision, on_download)
    return ModelSource(str(found.folder.absolute()), found.name, found.root)


def refuse_open_server(config: Config) -> None:
    """Raises ConfigError where anybody on the network could use the server without a key."""
    if config.server.no_auth and not is_loopback(config.server.host):
        raise ConfigError(
            f"--no-auth needs a loopback address such as 127.0.0.1: on {config.server.host} anybody on the network "
            "could use the server. Leave --no-auth out, or bind to loopback."
        )
