"""The entry of every child process: `python -m ensue.process worker|api`.

Standard input carries one line of JSON, the settings, and then nothing more: it is the lifeline, and its end means that
the supervisor is gone. Standard output carries events, one JSON object a line; logs go to standard error.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from typing import BinaryIO, Literal, cast

import msgspec

from ensue.child import Event, EventWriter, ExitCode, ProcessSettings
from ensue.engine.resources import bound_spinning
from ensue.errors import StartupError

Role = Literal["worker", "api"]


def main(role: Role) -> int:
    """Run one child process until it is told to end."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the supervisor decides what it means; a terminal sends it to all
    events = EventWriter(_take_over_stdout())
    lifeline = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115 - it stays open for the life of the process
    settings = msgspec.json.decode(lifeline.readline(), type=ProcessSettings)
    watch_lifeline(cast(BinaryIO, lifeline))
    return _run(role, settings, events)


def _run(role: Role, settings: ProcessSettings, events: EventWriter) -> int:
    try:
        # imported only after the lifeline is watched: it takes seconds
        if role == "worker":
            bound_spinning(os.environ)
            from ensue.build import worker

            worker.run(settings, events)
        else:
            from ensue.build import api

            api.run(settings, events)
    except StartupError as error:
        events.send(Event("fatal", error.message))
        return ExitCode.CANNOT_START
    except Exception:
        traceback.print_exc()
        return ExitCode.FAILED
    return ExitCode.OK


def watch_lifeline(stream: BinaryIO) -> None:
    """Leave at once, whatever else runs, when the supervisor's end of the pipe closes."""

    def wait() -> None:
        while stream.read(1):
            pass
        os._exit(ExitCode.FAILED)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


def _take_over_stdout() -> BinaryIO:
    """Keep standard output for events alone: whatever a library prints goes to standard error."""
    events = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return events


if __name__ == "__main__":
    sys.exit(main(cast(Role, sys.argv[1])))
