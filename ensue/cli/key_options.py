"""The options of `ensue keys create` and `update`: one table for what they say, what they set, and how it is read."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from ensue.errors import ConfigError
from ensue.times import parse_time

NONE = "none"  # lifts a limit


@dataclass(frozen=True, slots=True)
class KeyOption:
    """One option that sets one right of a key."""

    flag: str
    right: str  # field of KeyRights
    help: str
    is_repeatable: bool = False
    is_time: bool = False
    lifted: Any = None  # what `none` sets
    no_none: str | None = None  # why there is no `none`

    @property
    def name(self) -> str:
        return self.flag.removeprefix("--").replace("-", "_")

    def read(self, given: Any) -> Any:
        """The right's value.

        Raises:
            ConfigError: the text can't be read.
        """
        items = tuple(given) if self.is_repeatable else (given,)
        if any(item.strip().lower() == NONE for item in items):
            return self._read_none(len(items))
        if self.is_repeatable and any("," in item for item in items):
            raise ConfigError(f"{self.flag} takes one value: give it again for each, without commas.")
        if self.is_repeatable:
            return frozenset(items) if self.right == "scopes" else items
        try:
            return parse_time(given, time.time()) if self.is_time else _whole(given)
        except ValueError as error:
            raise ConfigError(f"{self.flag} must be {error}, not {given[:64]!r}.") from None

    def _read_none(self, num_items: int) -> Any:
        if self.no_none is not None:
            raise ConfigError(f"{self.flag} can't be none: {self.no_none}.")
        if num_items > 1:
            raise ConfigError(f"{self.flag} none stands alone.")
        return self.lifted


TABLE = (
    KeyOption(
        "--scope",
        "scopes",
        "completions, chat, tokenize or metrics (repeatable)",
        is_repeatable=True,
        no_none="a key that is for nothing can be disabled or revoked",
    ),
    KeyOption(
        "--model",
        "models",
        "Model that it may use, by name or glob (repeatable)",
        is_repeatable=True,
        no_none="'*' is every model",
    ),
    KeyOption("--requests-per-minute", "requests_per_minute", "Requests that may start in a minute"),
    KeyOption("--tokens-per-minute", "tokens_per_minute", "Prompt and completion tokens a minute"),
    KeyOption("--concurrent", "concurrent", "Requests at once"),
    KeyOption("--token-budget", "token_budget", "Tokens in all"),
    KeyOption("--token-budget-per-day", "token_budget_per_day", "Tokens a day, UTC"),
    KeyOption("--token-budget-per-month", "token_budget_per_month", "Tokens a month, UTC"),
    KeyOption("--max-tokens", "max_tokens", "The highest max_tokens of a request"),
    KeyOption("--max-n", "max_n", "The highest n and best_of of a request"),
    KeyOption("--priority", "priority", "The most urgent priority, and the default; lower comes first", lifted=0),
    KeyOption("--expires", "expires_at", "Date, time or duration: 2027-01-31, 2027-01-31T12:00Z, 90d", is_time=True),
    KeyOption("--not-before", "not_before", "When it begins to open, written the same way", is_time=True),
    KeyOption(
        "--allow-ip", "allow_ips", "Address or network that it opens from (repeatable)", is_repeatable=True, lifted=()
    ),
)
FLAGS = {option.right: option.flag for option in TABLE}


def with_rights(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of the table; it takes them by name in its last parameter, `**given`."""
    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.kind is not p.VAR_KEYWORD]
    parameters = [*own, *(_parameter(option) for option in TABLE)]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def rights_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """The rights that options were given for.

    Raises:
        ConfigError: a value that can't be read.
    """
    return {o.right: o.read(given[o.name]) for o in TABLE if given.get(o.name) not in (None, [], ())}


def _parameter(option: KeyOption) -> inspect.Parameter:
    kind: Any = list[str] | None if option.is_repeatable else str | None
    hint = Annotated[kind, typer.Option(option.flag, help=option.help, show_default=False)]
    return inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint)


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("a whole number") from None
