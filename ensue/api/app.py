"""The table of routes, each with its policy, and the application made of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ensue import __version__
from ensue.api import error_handlers, openapi
from ensue.api.accounting import Accountant
from ensue.api.audit import AuditEndpoint
from ensue.api.auth import KEY, OPEN, PROBE, Gate, Guard, Policy, TokenAuthenticator, needs
from ensue.api.bodies import ChatBody, CompletionBody, DetokenizeBody, TokenizeBody
from ensue.api.chat import ChatEndpoint
from ensue.api.completions import CompletionsEndpoint
from ensue.api.context import ContextMiddleware
from ensue.api.guesses import Guesses
from ensue.api.health import HealthEndpoint
from ensue.api.key_bodies import KeyBody, RotateBody
from ensue.api.keys import KeysEndpoint
from ensue.api.limits import KeyLimits
from ensue.api.models import ModelsEndpoint
from ensue.api.protocol import (
    AuditList,
    ChatObject,
    CompletionObject,
    DetokenizeObject,
    KeyList,
    KeyObject,
    KeyWithToken,
    ModelList,
    ModelObject,
    TokenizeObject,
    TokenizerInfo,
    UsageList,
)
from ensue.api.tokenize import TokenizeEndpoint
from ensue.api.usage import UsageEndpoint
from ensue.config import Config
from ensue.hosts import is_loopback, refuse_open_host
from ensue.metrics import Metrics
from ensue.served_models import ServedModels
from ensue.service.completion import CompletionService
from ensue.service.tokenization import TokenizationService
from ensue.store.db import Database
from ensue.store.key_admin import KeyAdmin
from ensue.store.keys import KeyStore
from ensue.store.refusals import RefusalLog

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """One row of the table."""

    method: str
    path: str
    endpoint: Endpoint
    policy: Policy
    body: type[Any] | None = None
    answer: type[Any] | None = None


def create_app(
    models: ServedModels,
    keys: KeyStore | None,
    metrics: Metrics,
    config: Config,
    accountants: Sequence[Accountant] = (),
    refusals: RefusalLog | None = None,
    tokens: TokenAuthenticator | None = None,
    key_admin: KeyAdmin | None = None,
    usage: Database | None = None,
    limits: KeyLimits | None = None,
) -> FastAPI:
    """The whole HTTP side. Without `keys` nobody needs one. Every generation passes the limits, then the accountants.
    Keys are managed by HTTP where there is a `key_admin`, and usage is read from the database `usage`.

    Raises:
        ConfigError: no keys on an address that others reach.
    """
    if keys is None:
        refuse_open_host(config.server.host)
    app = FastAPI(title="ensue", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    app.router.redirect_slashes = False
    gate = Gate(config.server, keys, Guesses(config.limits.max_wrong_keys_per_minute, metrics), refusals, tokens)
    if limits is not None:
        accountants = (limits, *accountants)
    for spec in _routes(app, models, metrics, config, accountants):
        _add(app, spec, gate, limits)
    if keys is not None and key_admin is not None:
        for spec in _admin_routes(KeysEndpoint(keys, key_admin, config.limits), AuditEndpoint(key_admin.audit)):
            _add(app, spec, gate, limits)
    if keys is not None and usage is not None:
        path, endpoint = "/admin/usage", UsageEndpoint(usage)
        _add(app, RouteSpec("GET", path, endpoint.list, needs("admin"), answer=UsageList), gate, limits)
    error_handlers.install(app)
    app.add_middleware(ContextMiddleware, metrics=metrics)
    check_policies(app)
    return app


def _routes(
    app: FastAPI, models: ServedModels, metrics: Metrics, config: Config, accountants: Sequence[Accountant]
) -> tuple[RouteSpec, ...]:
    service = CompletionService(metrics)
    completions = CompletionsEndpoint(models, service, config, accountants)
    chat = ChatEndpoint(models, service, config, accountants)
    tokens = TokenizeEndpoint(models, TokenizationService(), config)
    listing, health = ModelsEndpoint(models), HealthEndpoint(models, metrics)
    is_private = is_loopback(config.server.host) and not config.server.trusted_proxies
    metrics_policy = OPEN if is_private else needs("metrics")
    return (
        RouteSpec(
            "POST", "/v1/completions", completions.create, needs("completions"), CompletionBody, CompletionObject
        ),
        RouteSpec("POST", "/v1/chat/completions", chat.create, needs("chat"), ChatBody, ChatObject),
        RouteSpec("POST", "/tokenize", tokens.tokenize, needs("tokenize"), TokenizeBody, TokenizeObject),
        RouteSpec("POST", "/detokenize", tokens.detokenize, needs("tokenize"), DetokenizeBody, DetokenizeObject),
        RouteSpec("GET", "/tokenizer_info", tokens.tokenizer_info, needs("tokenize"), answer=TokenizerInfo),
        RouteSpec("GET", "/v1/models", listing.list, KEY, answer=ModelList),
        RouteSpec("GET", "/v1/models/{model:path}", listing.get, KEY, answer=ModelObject),
        RouteSpec("GET", "/health", health.health, PROBE),
        RouteSpec("GET", "/ready", health.ready, PROBE),
        RouteSpec("GET", "/version", health.version, OPEN),
        RouteSpec("GET", "/metrics", health.metrics, metrics_policy),
        RouteSpec("GET", "/openapi.json", _schema_endpoint(app), OPEN),
    )


def _admin_routes(keys: KeysEndpoint, audit: AuditEndpoint) -> tuple[RouteSpec, ...]:
    admin, one = needs("admin"), "/admin/keys/{key_id}"
    return (
        RouteSpec("GET", "/admin/keys", keys.list, admin, answer=KeyList),
        RouteSpec("POST", "/admin/keys", keys.create, admin, KeyBody, KeyWithToken),
        RouteSpec("GET", one, keys.get, admin, answer=KeyObject),
        RouteSpec("PATCH", one, keys.update, admin, KeyBody, KeyObject),
        RouteSpec("DELETE", one, keys.revoke, admin, answer=KeyObject),
        RouteSpec("POST", f"{one}/revoke", keys.revoke, admin, answer=KeyObject),
        RouteSpec("POST", f"{one}/rotate", keys.rotate, admin, RotateBody, KeyWithToken),
        RouteSpec("GET", "/admin/audit", audit.list, admin, answer=AuditList),
    )


def _add(app: FastAPI, spec: RouteSpec, gate: Gate, limits: KeyLimits | None) -> None:
    app.add_api_route(
        spec.path,
        spec.endpoint,
        methods=[spec.method],
        response_model=None,
        openapi_extra=openapi.operation(spec.body, spec.answer),
    )
    route = app.router.routes[-1]
    assert isinstance(route, APIRoute)
    route.app = Guard(_plain(spec.endpoint), gate, spec.policy, limits)


def _plain(endpoint: Endpoint) -> ASGIApp:
    """An endpoint that takes a request and returns a response has no use for the framework's dependencies."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)

    return app


def check_policies(app: FastAPI) -> None:
    """Nothing is served that does not say who may use it."""
    for route in app.router.routes:
        if not isinstance(getattr(route, "app", None), Guard):
            raise RuntimeError(f"The route {getattr(route, 'path', route)} has no policy.")


def _schema_endpoint(app: FastAPI) -> Endpoint:
    async def schema(_request: Request) -> Response:
        """What this page is made of."""
        described = app.openapi()
        described.setdefault("components", {})["schemas"] = openapi.components()
        return Response(msgspec.json.encode(described), media_type="application/json")

    return schema
