"""The parameters of a query: each given at most once, none that the route does not have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from ensue.api.fields import Integer, Kind
from ensue.errors import InvalidRequest, UnknownParameter, shown


@dataclass(frozen=True, slots=True)
class Parameter:
    """One of them; numbers are whole ones, in digits."""

    kind: Kind
    help: str
    default: str | int | None = None


Parameters = Mapping[str, Parameter]


def read_query(request: Request, parameters: Parameters) -> dict[str, Any]:
    """The values of those that are given.

    Raises:
        InvalidRequest: an unknown one, one given twice, a bad value.
    """
    values: dict[str, Any] = {}
    for name, text in request.query_params.multi_items():
        if name not in parameters:
            raise UnknownParameter(f"There is no query parameter `{shown(name)}` here.", param=shown(name))
        if name in values:
            raise InvalidRequest(f"{name} must be given once.", param=name)
        kind = parameters[name].kind
        values[name] = kind.parse(_number(text) if isinstance(kind, Integer) else text, name)
    return values


def _number(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else text
