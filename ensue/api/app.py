"""The table of routes, each with its policy, and the application made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ensue import __version__
from ensue.api.accounting import Accountant
from ensue.api.audit import QUERY as AUDIT_QUERY
from ensue.api.audit import AuditEndpoint
from ensue.api.auth import KEY, OPEN, PROBE, Gate, Guard, TokenAuthenticator, needs
from ensue.api.bodies import ChatBody, CompletionBody, DetokenizeBody, TokenizeBody
from ensue.api.chat import ChatEndpoint
from ensue.api.completions import CompletionsEndpoint
from ensue.api.context import ContextMiddleware
from ensue.api.docs_page import MEDIA_TYPES, DocsEndpoint
from ensue.api.guesses import Guesses
from ensue.api.health import HealthEndpoint
from ensue.api.key_bodies import KeyBody, RotateBody
from ensue.api.keys import KeysEndpoint
from ensue.api.limits import KeyLimits
from ensue.api.models import ModelsEndpoint
from ensue.api.openapi.document import document
from ensue.api.protocol import (
    AuditList,
    ChatChunkObject,
    ChatObject,
    CompletionObject,
    DetokenizeObject,
    HealthObject,
    KeyList,
    KeyObject,
    KeyWithToken,
    ModelList,
    ModelObject,
    NotReadyObject,
    ReadyObject,
    TokenizeObject,
    TokenizerInfo,
    UsageList,
    UsageRequestList,
    VersionObject,
)
from ensue.api.routes import CSV, EVENTS, HTML, JSON, PLAIN, Endpoint, RouteSpec
from ensue.api.tokenize import INFO_QUERY, TokenizeEndpoint
from ensue.api.usage import QUERY as USAGE_QUERY
from ensue.api.usage import ROWS_QUERY as USAGE_ROWS_QUERY
from ensue.api.usage import UsageEndpoint
from ensue.config import Config
from ensue.hosts import is_loopback, refuse_open_host
from ensue.limits.base import Counters
from ensue.metrics import Metrics
from ensue.served_models import ServedModels
from ensue.service.completion import CompletionService
from ensue.service.tokenization import TokenizationService
from ensue.store.db import Database
from ensue.store.key_admin import KeyAdmin
from ensue.store.keys import KeyStore
from ensue.store.refusals import RefusalLog


class Application(FastAPI):
    """The framework finds the routes; the layers that it puts around them would do nothing here."""

    entrance: ASGIApp

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.fixed: dict[tuple[str, str], APIRoute] = {}  # by method and path, where the path has no parameters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self  # then the router raises what it does not find
        await self.entrance(scope, receive, send)

    async def find(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request to its route; the router tries one pattern after the other, which takes longer."""
        route = self.fixed.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if route is None:
            await self.router(scope, receive, send)
        else:
            scope["route"] = route
            await route.app(scope, receive, send)


@dataclass(frozen=True, slots=True)
class Access:
    """Who may do what. Where something is None, its routes and checks are left out."""

    keys: KeyStore | None = None  # None: nobody needs one
    tokens: TokenAuthenticator | None = None  # of an issuer, beside keys
    limits: KeyLimits | None = None
    refusals: RefusalLog | None = None
    key_admin: KeyAdmin | None = None  # for /admin/keys and /admin/audit
    usage: Database | None = None  # for /admin/usage
    wrong_keys: Counters | None = None  # where they are counted; None: here alone


def create_app(
    models: ServedModels, metrics: Metrics, config: Config, access: Access, accountants: Sequence[Accountant] = ()
) -> FastAPI:
    """The whole HTTP side. Every generation passes the limits, then the accountants.

    Raises:
        ConfigError: no keys on an address that others reach.
    """
    keys, limits = access.keys, access.limits
    if keys is None:
        refuse_open_host(config.server.host)
    app = Application(title="ensue", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    app.router.redirect_slashes = False
    guesses = Guesses(config.limits.max_wrong_keys_per_minute, metrics, access.wrong_keys)
    gate = Gate(config.server, keys, guesses, access.refusals, access.tokens)
    if limits is not None:
        accountants = (limits, *accountants)
    routes = [*_routes(models, metrics, config, accountants)]
    if keys is not None and access.key_admin is not None:
        admin = access.key_admin
        routes += _admin_routes(KeysEndpoint(keys, admin, config.limits), AuditEndpoint(admin.audit))
    if keys is not None and access.usage is not None:
        routes += _usage_routes(UsageEndpoint(access.usage))
    routes += _docs_routes(DocsEndpoint())
    routes.append(_description_route(routes, config, has_keys=keys is not None))
    for spec in routes:
        _add(app, spec, gate, limits)
    app.entrance = ContextMiddleware(app.find, metrics)
    check_policies(app)
    return app


def _routes(
    models: ServedModels, metrics: Metrics, config: Config, accountants: Sequence[Accountant]
) -> tuple[RouteSpec, ...]:
    service = CompletionService(metrics)
    completions = CompletionsEndpoint(models, service, config, accountants)
    chat = ChatEndpoint(models, service, config, accountants)
    texts = TokenizeEndpoint(models, TokenizationService(), config)
    listing, health = ModelsEndpoint(models), HealthEndpoint(models, metrics)
    is_private = is_loopback(config.server.host) and not config.server.trusted_proxies
    of_texts = needs("tokenize")
    return (
        RouteSpec(
            "POST",
            "/v1/completions",
            completions.create,
            needs("completions"),
            "createCompletion",
            {JSON: CompletionObject, EVENTS: CompletionObject},
            CompletionBody,
        ),
        RouteSpec(
            "POST",
            "/v1/chat/completions",
            chat.create,
            needs("chat"),
            "createChatCompletion",
            {JSON: ChatObject, EVENTS: ChatChunkObject},
            ChatBody,
        ),
        RouteSpec("POST", "/tokenize", texts.tokenize, of_texts, "tokenize", {JSON: TokenizeObject}, TokenizeBody),
        RouteSpec(
            "POST", "/detokenize", texts.detokenize, of_texts, "detokenize", {JSON: DetokenizeObject}, DetokenizeBody
        ),
        RouteSpec(
            "GET",
            "/tokenizer_info",
            texts.tokenizer_info,
            of_texts,
            "getTokenizerInfo",
            {JSON: TokenizerInfo},
            query=INFO_QUERY,
        ),
        RouteSpec("GET", "/v1/models", listing.list, KEY, "listModels", {JSON: ModelList}),
        RouteSpec("GET", "/v1/models/{model:path}", listing.get, KEY, "getModel", {JSON: ModelObject}),
        RouteSpec("GET", "/health", health.health, PROBE, "getHealth", {JSON: HealthObject}),
        RouteSpec("GET", "/ready", health.ready, PROBE, "getReadiness", {JSON: ReadyObject}, not_ready=NotReadyObject),
        RouteSpec("GET", "/version", health.version, OPEN, "getVersion", {JSON: VersionObject}),
        RouteSpec(
            "GET", "/metrics", health.metrics, OPEN if is_private else needs("metrics"), "getMetrics", {PLAIN: str}
        ),
    )


def _admin_routes(keys: KeysEndpoint, audit: AuditEndpoint) -> tuple[RouteSpec, ...]:
    admin, all_keys, one = needs("admin"), "/admin/keys", "/admin/keys/{key_id}"
    return (
        RouteSpec("GET", all_keys, keys.list, admin, "listKeys", {JSON: KeyList}),
        RouteSpec("POST", all_keys, keys.create, admin, "createKey", {JSON: KeyWithToken}, KeyBody),
        RouteSpec("GET", one, keys.get, admin, "getKey", {JSON: KeyObject}),
        RouteSpec("PATCH", one, keys.update, admin, "updateKey", {JSON: KeyObject}, KeyBody),
        RouteSpec("DELETE", one, keys.revoke, admin, "deleteKey", {JSON: KeyObject}),
        RouteSpec("POST", f"{one}/revoke", keys.revoke, admin, "revokeKey", {JSON: KeyObject}),
        RouteSpec("POST", f"{one}/rotate", keys.rotate, admin, "rotateKey", {JSON: KeyWithToken}, RotateBody),
        RouteSpec("GET", "/admin/audit", audit.list, admin, "listAuditRecords", {JSON: AuditList}, query=AUDIT_QUERY),
    )


def _usage_routes(usage: UsageEndpoint) -> tuple[RouteSpec, ...]:
    admin, sums, rows = needs("admin"), {JSON: UsageList, CSV: str}, {JSON: UsageRequestList, CSV: str}
    path = "/admin/usage/requests"
    return (
        RouteSpec("GET", "/admin/usage", usage.list, admin, "listUsage", sums, query=USAGE_QUERY),
        RouteSpec("GET", path, usage.requests, admin, "listUsageRequests", rows, query=USAGE_ROWS_QUERY),
    )


def _docs_routes(docs: DocsEndpoint) -> tuple[RouteSpec, ...]:
    return (
        RouteSpec("GET", "/docs", docs.page, OPEN, "getDocs", {HTML: str}),
        RouteSpec("GET", "/docs/{file}", docs.file, OPEN, "getDocsFile", dict.fromkeys(MEDIA_TYPES.values(), str)),
    )


def _description_route(routes: Sequence[RouteSpec], config: Config, *, has_keys: bool) -> RouteSpec:
    async def describe(_request: Request) -> Response:
        """What this page is made of."""
        return Response(content, media_type=JSON)

    spec = RouteSpec("GET", "/openapi.json", describe, OPEN, "getDescription", {JSON: dict})
    content = msgspec.json.encode(document([*routes, spec], config, has_keys=has_keys))
    return spec


def _add(app: Application, spec: RouteSpec, gate: Gate, limits: KeyLimits | None) -> None:
    app.add_api_route(
        spec.path,
        spec.endpoint,
        methods=[spec.method],
        response_model=None,
    )
    route = app.router.routes[-1]
    assert isinstance(route, APIRoute)
    route.app = Guard(_plain(spec.endpoint), gate, spec.policy, limits)
    if "{" not in spec.path:
        app.fixed[spec.method, spec.path] = route


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
