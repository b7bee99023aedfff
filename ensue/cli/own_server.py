"""A server for one command: the same processes as `ensue serve`, on a free port of loopback, without keys."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from ensue import core_dumps
from ensue.child import Event
from ensue.cli.address import bind
from ensue.cli.launch import child_specs, find_model
from ensue.config import Config
from ensue.errors import EnsueError
from ensue.supervisor import supervise


@contextlib.asynccontextmanager
async def own_server(config: Config) -> AsyncIterator[str]:
    """Start a server for this process alone, on a free port of loopback; yields its URL.

    Raises:
        EnsueError: it ended before it was ready.
    """
    source = find_model(config, lambda _name, _fraction: None)  # first: it may raise, and then nothing is left behind
    core_dumps.forbid()
    listener, runtime = bind("127.0.0.1", 0), Path(tempfile.mkdtemp(prefix="ensue-"))
    server = replace(
        config.server,
        host="127.0.0.1",
        tls_cert=None,
        tls_key=None,
        log_level="error",
        data_dir=str(runtime),
        drain_s=2.0,
        api_workers=1,
    )
    config = replace(config, server=server)
    stop, ready, failures = asyncio.Event(), asyncio.Event(), list[str]()

    def on_event(_role: str, event: Event) -> None:
        if event.kind == "fatal":
            failures.append(event.text)
        if event.kind == "ready":
            ready.set()

    worker, apis = child_specs(config, source, runtime, listener, is_terminal=False, is_ephemeral=True)
    running = asyncio.create_task(supervise(worker, apis, on_event, config.server.drain_s, stop))
    waiting = asyncio.create_task(ready.wait())
    try:
        await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
        if not ready.is_set():
            raise EnsueError(" ".join(failures) or "The server ended before it was ready.")
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        waiting.cancel()
        stop.set()
        await running
        listener.close()
        shutil.rmtree(runtime, ignore_errors=True)
