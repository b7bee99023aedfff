"""The commands: parse, then call what lies below. Heavy modules are imported where a command runs, not here."""

from __future__ import annotations

import sys


def main() -> None:
    """The `ensue` command; a StartupError ends it with a sentence instead of a traceback."""
    from ensue.cli.app import app
    from ensue.errors import EnsueError

    try:
        app()
    except EnsueError as error:
        print(f"ensue: {error.message}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
