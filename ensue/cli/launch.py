"""Start a server's processes and stay with them: what is behind `ensue serve`, and too slow to import for `--help`."""

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

from ensue import core_dumps
from ensue.child import ModelSource, ProcessSettings
from ensue.cli.address import bind
from ensue.cli.startup import StartupPrinter
from ensue.config import Config, check_jwt
from ensue.errors import ConfigError
from ensue.hosts import refuse_bad_networks, refuse_open_host
from ensue.supervisor import ChildSpec, stop_on_signals, supervise
from ensue.tls import server_context


def run_server(config: Config) -> int:
    """Check everything that can be checked, bind the port, then supervise; returns the exit code.

    Raises:
        StartupError: nothing was started.
    """
    started_at = time.time()
    if config.server.no_auth:
        refuse_open_host(config.server.host)
    server_context(config.server)
    refuse_bad_networks("--trusted-proxies", config.server.trusted_proxies)
    if check_jwt(config.jwt) and config.server.no_auth:
        raise ConfigError("--no-auth asks for no key, so --jwt-issuer would have no effect: leave one of them out.")
    listener = bind(config.server.host, config.server.port)
    printer = StartupPrinter(config, listener.getsockname()[:2], started_at)
    source = find_model(config, printer.on_download)
    if not config.server.core_dumps:
        core_dumps.forbid()
    runtime = Path(tempfile.mkdtemp(prefix="ensue-"))  # mode 0700
    try:
        return asyncio.run(_supervise(config, source, runtime, listener, printer))
    finally:
        shutil.rmtree(runtime, ignore_errors=True)


async def _supervise(
    config: Config, source: ModelSource, runtime: Path, listener: socket.socket, printer: StartupPrinter
) -> int:
    stop = asyncio.Event()
    stop_on_signals(stop)
    worker, apis = child_specs(config, source, runtime, listener, is_terminal=sys.stdout.isatty())
    return await supervise(worker, apis, printer.on_event, config.server.drain_s, stop)


def child_specs(
    config: Config,
    source: ModelSource,
    runtime: Path,
    listener: socket.socket,
    *,
    is_terminal: bool,
    is_ephemeral: bool = False,
) -> tuple[ChildSpec | None, list[ChildSpec]]:
    """The engine worker (none where the engine is scripted) and the API processes."""
    socket_path, num_apis = str(runtime / "worker.sock"), config.server.api_workers
    children = [
        ProcessSettings(config, source, socket_path, listener.fileno(), index, is_terminal, is_ephemeral)
        for index in range(num_apis)
    ]
    lines = [json.dumps(asdict(child)).encode() for child in children]
    worker = ChildSpec("worker", _command("worker"), lines[0]) if config.engine.engine == "native" else None
    names = ["api"] if num_apis == 1 else [f"api {number}" for number in range(1, num_apis + 1)]
    reads_files = config.server.tls_cert is not None
    return worker, [
        ChildSpec(name, _command("api"), line, (listener.fileno(),), reads_files_on_hangup=reads_files)
        for name, line in zip(names, lines, strict=True)
    ]


def _command(role: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "ensue.process", role)


def find_model(config: Config, on_download: Callable[[str, float], None]) -> ModelSource:
    """Find, and where needed fetch, the model that the settings name, and read its configuration.

    Raises:
        StartupError: no such model, or one that cannot be served.
    """
    from ensue.model import hub
    from ensue.model.config import load_config

    found = hub.resolve(config.engine.model, config.engine.revision, on_download)
    load_config(found.folder, config.engine.max_model_len)
    return ModelSource(str(found.folder.absolute()), found.name, found.root)
