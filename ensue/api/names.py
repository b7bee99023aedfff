"""Which names a body may have: those of its fields, those that are known but not served, and no others."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any, Literal

from ensue.api.fields import asks_for_nothing, is_set
from ensue.api.protocol import INSTEAD, STREAM_OPTIONS, UNSERVED, WITHOUT_EFFECT, CompletionBody
from ensue.errors import UnknownParameter, UnsupportedParameter, shown

SERVED = frozenset(f.name for f in fields(CompletionBody))
KNOWN = SERVED | UNSERVED.keys() | {*WITHOUT_EFFECT}
MAX_WARNINGS = 8
Policy = Literal["refuse", "warn"]


def judge_names(value: Mapping[str, Any], unknown: Policy) -> list[str]:
    """A warning for each unknown name, where those are not refused.

    Raises:
        UnknownParameter: nobody knows a name.
        UnsupportedParameter: a field that is not served asks for something.
    """
    warnings = _judge(value, KNOWN, "", unknown)
    if isinstance(value.get("stream_options"), dict):
        warnings += _judge(value["stream_options"], STREAM_OPTIONS, "stream_options.", unknown)
    for name, neutral in UNSERVED.items():
        if value.get(name) is not None and not asks_for_nothing(value[name], neutral):
            hint = f": {INSTEAD[name]}" if name in INSTEAD else ""
            raise UnsupportedParameter(f"This server does not support {name}{hint}.", param=name)
    return warnings


def refuse_unsupported(body: CompletionBody, unsupported: Collection[str]) -> None:
    """
    Args:
        unsupported: fields that the engine behind the model cannot serve.

    Raises:
        UnsupportedParameter: one of them asks for something.
    """
    for name in unsupported:
        if name in SERVED and is_set(body, name) and not (name == "best_of" and body.best_of == body.n):
            raise UnsupportedParameter(f"The engine behind this model does not support {name}.", param=name)


def _judge(value: Mapping[str, Any], known: Collection[str], prefix: str, unknown: Policy) -> list[str]:
    names = [name for name in value if name not in known]
    if names and unknown == "refuse":
        near = difflib.get_close_matches(names[0][:64], known, n=1)
        hint = f" Did you mean `{near[0]}`?" if near else ""
        name = shown(prefix + names[0])
        raise UnknownParameter(f"Unknown parameter `{name}`.{hint}", param=name)
    return [f"Unknown parameter `{shown(prefix + name)}` was ignored." for name in names[:MAX_WARNINGS]]
