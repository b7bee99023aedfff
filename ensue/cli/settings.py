"""Command-line options made from the table of settings, and the three sources read into one Config."""

from __future__ import annotations

import inspect
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import Field
from pathlib import Path
from typing import Annotated, Any

import typer

from ensue import config
from ensue.config import Config
from ensue.errors import ConfigError

DEFAULT_FILE = Path("ensue.toml")


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option per setting, MODEL as its argument; values arrive as texts, config.load parses them."""
    parameters = [_parameter(f) for f in config.all_settings()]
    parameters.append(_option("config", str | None, None, "File of settings; default: ensue.toml, where there is one"))
    signature = inspect.Signature(sorted(parameters, key=lambda p: p.name != "model"))
    command.__signature__ = signature  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def _parameter(field: Field[Any]) -> inspect.Parameter:
    if field.name == "model":
        hint: Any = Annotated[str | None, typer.Argument(help=field.metadata["help"], show_default=False)]
        return inspect.Parameter("model", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint)
    shown = (
        f"{field.metadata['help']} [{_shown_default(field)}]"
        if field.default not in (None, ())
        else field.metadata["help"]
    )
    if isinstance(field.default, bool):
        return _option(field.name, bool | None, None, shown, has_opposite=field.default)
    return _option(field.name, list[str] | None if field.default == () else str | None, None, shown)


def _shown_default(field: Field[Any]) -> str:
    return str(field.default).lower() if isinstance(field.default, bool) else str(field.default)


def _option(name: str, kind: Any, default: object, help_text: str, *, has_opposite: bool = False) -> inspect.Parameter:
    word = name.replace("_", "-")
    flag = f"--{word}/--no-{word}" if has_opposite else f"--{word}"
    hint = Annotated[kind, typer.Option(flag, help=help_text, show_default=False)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)


def read(options: Mapping[str, object]) -> Config:
    """Merge the command line's options over the process environment and the file.

    Raises:
        ConfigError: as config.load, or a file that is named but missing, or not TOML.
    """
    given = {name: value for name, value in options.items() if name != "config"}
    named = options.get("config") or os.environ.get(config.CONFIG_FILE_VARIABLE)
    return config.load(given, os.environ, _read_toml(Path(str(named)) if named else None))


def _read_toml(named: Path | None) -> dict[str, object]:
    path = named or DEFAULT_FILE
    if named is None and not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"Cannot read the settings file {path}: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The settings file {path} is not valid TOML: {error}.") from None
