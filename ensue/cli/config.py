"""`ensue config show`: the settings that a server would start with here, as an ensue.toml; passwords are left out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import typer

from ensue.cli import settings
from ensue.config import Config
from ensue.urls import without_password

app = typer.Typer(name="config", help="Show the settings.", no_args_is_help=True)


def show(**options: Any) -> None:
    """Print all settings as `ensue serve` with the same options would have them, in the form of ensue.toml."""
    typer.echo("\n".join(lines_of(settings.read(options))).lstrip())


app.command("show")(settings.with_settings(show))


def lines_of(config: Config) -> Iterator[str]:
    """One line a setting, and above each section what it is about; what has no value is a comment."""
    for section in (config.engine, config.server, config.store, config.jwt, config.limits):
        yield f"\n# {type(section).__doc__}"
        for f in fields(section):
            value = getattr(section, f.name)
            yield f"# {f.name} =" if value is None else f"{f.name} = {_shown(value)}"


def _shown(value: object) -> str:
    """The same in TOML, of which these values' JSON is a part."""
    return json.dumps(without_password(value) if isinstance(value, str) else value, ensure_ascii=False)
