"""Serving the application on a socket until SIGTERM, and ending well: running requests get time to finish.

Meanwhile the port still answers, so that /ready and the refusal of a request say why.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, cast

import structlog
import uvicorn
from starlette.types import ASGIApp

from ensue.api.http_protocol import BoundedProtocol
from ensue.config import Config, LimitsConfig, ServerConfig
from ensue.errors import ConfigError
from ensue.tls import load_certificate, server_context

KEEP_ALIVE_S = 75
LAST_WORDS_S = 2.0  # for what has yet to be written once the engines are at rest, and again for streams that were cut
YOUNG_OBJECTS = 10_000  # until they are looked through: a request makes some hundreds, most of which are gone by then
SIGNALS = (signal.SIGTERM, signal.SIGINT)

log = structlog.get_logger("ensue.api")


async def serve(
    app: ASGIApp,
    sock: socket.socket,
    config: Config,
    on_started: Callable[[], None],
    drain: Callable[[], Awaitable[None]],
    stop: asyncio.Event | None = None,
) -> None:
    """Answer on a bound socket until SIGTERM or SIGINT comes, or `stop` is set; then drain and return.

    Args:
        on_started: called once connections are accepted.
        drain: refuses requests from then on, and returns when the running ones have ended.
    """
    context = server_context(config.server)
    handshake_timeout_s = None if context is None else config.limits.header_timeout_s
    server = _Server(_uvicorn_config(app, config, context), on_started, handshake_timeout_s)
    stop = stop or asyncio.Event()
    with _signals_set(stop), _reloaded_on_hangup(context, config.server):
        serving = asyncio.create_task(server.serve([sock]))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        if stopping.done():
            await drain()
        server.should_exit = True
        stopping.cancel()
        await serving
    if server.server_state.tasks:  # cancelled when their time was over
        await asyncio.wait(server.server_state.tasks, timeout=LAST_WORDS_S)


class _Server(uvicorn.Server):
    """Leaves signals to us."""

    def __init__(
        self, config: uvicorn.Config, on_started: Callable[[], None], handshake_timeout_s: float | None
    ) -> None:
        """
        Args:
            handshake_timeout_s: of TLS, None where there is none.
        """
        super().__init__(config)
        self._on_started = on_started
        self._handshake_timeout_s = handshake_timeout_s

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        with _handshakes_bounded(self._handshake_timeout_s):
            await super().startup(sockets)
        gc.collect()
        gc.freeze()  # what is there by now stays: no collection need look at it again
        gc.set_threshold(YOUNG_OBJECTS)
        self._on_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.contextmanager
def _handshakes_bounded(timeout_s: float | None) -> Iterator[None]:
    """Uvicorn has no setting for it, and a connection that never says hello would stay for a minute."""
    loop: Any = asyncio.get_running_loop()
    if timeout_s is None:
        yield
        return
    loop.create_server = functools.partial(loop.create_server, ssl_handshake_timeout=timeout_s)
    try:
        yield
    finally:
        del loop.create_server


@contextlib.contextmanager
def _signals_set(stop: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


@contextlib.contextmanager
def _reloaded_on_hangup(context: ssl.SSLContext | None, server: ServerConfig) -> Iterator[None]:
    """Read the certificate again at SIGHUP; a bad one leaves the old one in use."""
    if context is None:
        yield
        return

    def reload() -> None:
        try:
            load_certificate(context, server)
            log.info("certificate read again")
        except ConfigError as error:
            log.error("the certificate was not read again", reason=error.message)

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)


def _uvicorn_config(app: ASGIApp, config: Config, context: ssl.SSLContext | None) -> uvicorn.Config:
    return uvicorn.Config(
        cast(Any, app),
        http=_protocol(config.limits),
        ws="none",
        ssl_context_factory=None if context is None else lambda _config, _default: context,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=cast(int, LAST_WORDS_S),  # a float will do
    )


def _protocol(limits: LimitsConfig) -> type[asyncio.Protocol]:
    return cast(type[asyncio.Protocol], functools.partial(BoundedProtocol, limits=limits))
