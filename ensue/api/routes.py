"""A row of the table of routes: who may use it, what it is asked and how it answers. The table itself is app.py's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ensue.api.auth import Policy
from ensue.api.bodies import Body
from ensue.api.query import Parameters

Endpoint = Callable[[Request], Awaitable[Response]]
JSON, EVENTS, CSV, PLAIN, HTML = "application/json", "text/event-stream", "text/csv", "text/plain", "text/html"


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """One row; the endpoint's docstring says what it does."""

    method: str
    path: str
    endpoint: Endpoint
    policy: Policy
    name: str  # of the operation, in the description
    answers: Mapping[str, type[Any]]  # by media type; where that is EVENTS, what an event holds
    body: type[Body] | None = None
    query: Parameters = field(default_factory=dict)
    not_ready: type[Any] | None = None  # what a 503 holds, where that is more than an error
