"""Which names a body may have: those of its fields, those that are known but not served, and no others."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Collection, Hashable, Mapping
from typing import Any, Literal, cast

from ensue.api.bodies import STREAM_OPTIONS, Body, GenerationBody
from ensue.api.fields import asks_for_nothing, declared, is_set
from ensue.api.messages import EMPTY_KEYS, KEYS
from ensue.errors import UnknownParameter, UnsupportedParameter, shown

MAX_WARNINGS = 8
Policy = Literal["refuse", "warn"]


def served(body: type[Body]) -> frozenset[str]:
    """The fields of a body."""
    return frozenset(declared(body))


def known(body: type[Body]) -> frozenset[str]:
    """The names that a body may have."""
    return _known(cast(Hashable, body))


@functools.cache
def _known(body: Any) -> frozenset[str]:
    names: frozenset[str] = served(body) | body.unserved.keys() | {*body.without_effect}
    return names


def judge_names(body: type[Body], value: Mapping[str, Any], unknown: Policy) -> list[str]:
    """A warning for each unknown name, where those are not refused.

    Raises:
        UnknownParameter: nobody knows a name.
        UnsupportedParameter: a field that is not served asks for something.
    """
    warnings = _judge(value, known(body), "", unknown)
    if isinstance(value.get("stream_options"), dict):
        warnings += _judge(value["stream_options"], STREAM_OPTIONS, "stream_options.", unknown)
    if isinstance(value.get("messages"), list):
        warnings += _judge_messages(value["messages"], unknown)
    for name, neutral in body.unserved.items():
        if value.get(name) is not None and not asks_for_nothing(value[name], neutral):
            hint = f": {body.instead[name]}" if name in body.instead else ""
            raise UnsupportedParameter(f"This server does not support {name}{hint}.", param=name)
    return warnings[:MAX_WARNINGS]


def refuse_unsupported(body: GenerationBody, unsupported: Collection[str]) -> None:
    """
    Args:
        unsupported: fields that the engine behind the model cannot serve.

    Raises:
        UnsupportedParameter: one of them asks for something.
    """
    names = declared(type(body))
    for name in unsupported:
        if name in names and is_set(body, name) and not (name == "best_of" and body.best_of == body.n):
            raise UnsupportedParameter(f"The engine behind this model does not support {name}.", param=name)


def _judge_messages(messages: list[Any], unknown: Policy) -> list[str]:
    warnings: list[str] = []
    for index, message in enumerate(messages):
        if isinstance(message, dict) and len(warnings) < MAX_WARNINGS:
            warnings += _judge(message, (*KEYS, *EMPTY_KEYS), f"messages[{index}].", unknown)
    return warnings


def _judge(value: Mapping[str, Any], known: Collection[str], prefix: str, unknown: Policy) -> list[str]:
    names = [name for name in value if name not in known]
    if names and unknown == "refuse":
        near = difflib.get_close_matches(names[0][:64], known, n=1)
        hint = f" Did you mean `{near[0]}`?" if near else ""
        name = shown(prefix + names[0])
        raise UnknownParameter(f"Unknown parameter `{name}`.{hint}", param=name)
    return [f"Unknown parameter `{shown(prefix + name)}` was ignored." for name in names[:MAX_WARNINGS]]
