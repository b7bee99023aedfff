"""How log lines look and where they go: standard error, as JSON or, on a terminal, for people."""

from __future__ import annotations

import logging
import sys

import structlog

from ensue.config import ServerConfig


def set_up_logging(server: ServerConfig) -> None:
    """To be called once a process, before anything logs."""
    is_console = server.log_format == "console" or (server.log_format == "auto" and sys.stderr.isatty())
    renderer = structlog.dev.ConsoleRenderer() if is_console else structlog.processors.JSONRenderer()
    exceptions = [] if is_console else [structlog.processors.dict_tracebacks]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            *exceptions,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, server.log_level.upper())),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
