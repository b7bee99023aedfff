"""What a person sees while the server starts: phases with seconds, the URL, a key, a line of curl to paste."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
import time
from typing import Any

from rich.console import Console
from rich.control import Control

from ensue import __version__
from ensue.child import Event
from ensue.config import API_KEY_VARIABLE, Config


class _LastingConsole(Console):
    """Goes silent when nobody reads along any more, and waits while a disk is full; the server goes on."""

    def print(self, *objects: Any, **how: Any) -> None:
        with contextlib.suppress(OSError):  # the lines stay, and are written with the next ones
            super().print(*objects, **how)

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class StartupPrinter:
    """Prints the events of the children, and once, when all is ready, how to send the first request."""

    def __init__(self, config: Config, address: tuple[str, int], started_at: float) -> None:
        self._config = config
        self._address = address
        self._started_at = started_at
        self._console = _LastingConsole(highlight=False, soft_wrap=True)
        self._credential = f"${API_KEY_VARIABLE}"
        self._last_phase = ("", "")
        self._ready: set[str] = set()  # API processes
        self._console.print(f"[bold]ensue {__version__}[/bold]")

    def on_event(self, role: str, event: Event) -> None:
        """Show one event of a child."""
        match event.kind:
            case "phase":
                self._print_phase(role, event.text, event.fraction)
            case "key":
                self._keep_key(event)
            case "ready":
                self._ready.add(role)
                if len(self._ready) == self._config.server.api_workers:
                    self._print_ready(event.text)
            case "fatal":
                self._console.print(f"[red]ensue: {_plain(event.text)}[/red]")
            case "listening":
                self._print_phase(role, "listening", None)

    def on_download(self, name: str, fraction: float) -> None:
        """Show how far the download of a model is."""
        self._print_phase("model", name, fraction)

    def _print_phase(self, role: str, name: str, fraction: float | None) -> None:
        """One line a phase; on a terminal the line of a running phase is rewritten."""
        is_same = self._last_phase == (role, name)
        is_rewritten = fraction is not None and self._console.is_terminal
        share = f" {fraction:4.0%}" if is_rewritten else ""
        if is_same and not is_rewritten:
            return
        if is_same:
            self._console.control(_line_up())
        self._console.print(f"[dim]{self._elapsed():7.2f} s[/dim]  {role:<7}{_plain(name)}{share}")
        self._last_phase = (role, name)

    def _keep_key(self, event: Event) -> None:
        credential = event.text if event.path is None else f"$(cat {shlex.quote(event.path)})"
        if credential == self._credential:  # another API process has told it
            return
        self._credential = credential
        if event.path is None:
            self._console.print(f"\nYour key, shown this once: [bold]{_plain(event.text)}[/bold]")
        else:
            self._console.print(f"\nThe first key is in {_plain(event.path)}")

    def _print_ready(self, model: str) -> None:
        if self._last_phase == ("ready", ""):
            return
        self._last_phase = ("ready", "")
        url = self.url
        self._console.print(f"[dim]{self._elapsed():7.2f} s[/dim]  [bold green]ready[/bold green] on {url}\n")
        key = "" if self._config.server.no_auth else f' -H "Authorization: Bearer {self._credential}"'
        body = {"model": model, "prompt": "Once upon a time", "max_tokens": 60, "temperature": 0.7}
        data = shlex.quote(json.dumps(body))
        command = f"curl {url}/v1/completions{key} -H 'Content-Type: application/json' -d {data}"
        self._console.print(_plain(command))

    @property
    def url(self) -> str:
        """Where the server answers; a wildcard address is shown as loopback."""
        host, port = self._address
        shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
        scheme = "http" if self._config.server.tls_cert is None else "https"
        return f"{scheme}://[{shown}]:{port}" if ":" in shown else f"{scheme}://{shown}:{port}"

    def _elapsed(self) -> float:
        return time.time() - self._started_at


def _plain(text: str) -> str:
    """Text that Rich must not read as markup."""
    return text.replace("[", r"\[")


def _line_up() -> Control:
    return Control.move_to_column(0, y=-1)
