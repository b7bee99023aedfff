"""How log lines look and where they go: standard error, as JSON or, on a terminal, for people."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from typing import Any, TextIO, cast

import structlog

from ensue.config import ServerConfig

# Never with local variables: they hold prompts and keys.
_TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


_JSON = json.JSONEncoder(default=repr)  # kept: json.dumps makes one a line


class _Lossy:
    """A stream that loses what it can't write, on a full disk or into a broken pipe: a log line stops nothing."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._file.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._file.flush()


def set_up_logging(server: ServerConfig) -> None:
    """To be called once a process, before anything logs."""
    is_console = server.log_format == "console" or (server.log_format == "auto" and sys.stderr.isatty())
    stream = _Lossy(sys.stderr)
    level = getattr(logging, server.log_level.upper())
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    renderer = plain if is_console else structlog.processors.JSONRenderer(lambda line, **_: _JSON.encode(line))
    exceptions = [] if is_console else [_TRACEBACKS]
    common: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        *exceptions,
    ]
    structlog.configure(
        processors=[*common, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, stream)),
    )
    handler = logging.StreamHandler(stream)  # for what libraries log
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=common))
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
