"""The application over scripted engines: called directly for most tests, over a loopback socket where that matters."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvloop
from fastapi import FastAPI

import ensue.tiny
from ensue.api.accounting import Accountant
from ensue.api.app import Access, create_app
from ensue.api.limits import KeyLimits
from ensue.api.server import serve
from ensue.config import Config, LimitsConfig, ServerConfig
from ensue.engine.fake import FakeEngine
from ensue.metrics import Metrics
from ensue.request import GenerationRequest
from ensue.served_models import ServedModel, ServedModels
from ensue.store.audit import AuditLog
from ensue.store.db import Database, sqlite_url
from ensue.store.key_admin import KeyAdmin
from ensue.store.keys import KeyStore
from ensue.store.migrate import upgrade
from ensue.text.chat_template import ChatTemplate
from ensue.text.tokenizer import Tokenizer
from ensue.text.tool_format import tool_support
from tests.api.described import description

Json = dict[str, Any]
BASE_URL = "http://127.0.0.1:8000"


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the product runs on."""
    return {"uvloop": uvloop.new_event_loop}


class Api:
    """A client of an application, and what stands behind it."""

    def __init__(self, client: httpx2.AsyncClient, engine: FakeEngine) -> None:
        self.client = client
        self.engine = engine

    async def complete(self, body: Json, status: int = 200) -> Json:
        """The answer's JSON; the prompt is `x` where none is given."""
        response = await self.client.post("/v1/completions", json={"prompt": "x"} | body)
        assert response.status_code == status, response.text
        return dict(response.json())

    async def post(self, path: str, body: Json, status: int = 200) -> Json:
        response = await self.client.post(path, json=body)
        assert response.status_code == status, response.text
        return dict(response.json())

    async def error(self, body: Json, status: int = 400) -> Json:
        return dict((await self.complete(body, status))["error"])

    async def text(self, **body: Any) -> str:
        return str((await self.complete(body))["choices"][0]["text"])

    async def events(self, **body: Any) -> list[Any]:
        """A stream's events, `[DONE]` taken off."""
        return await self.events_of("/v1/completions", {"prompt": "x"} | body)

    async def events_of(self, path: str, body: Json) -> list[Any]:
        response = await self.client.post(path, json={"stream": True} | body)
        assert response.status_code == 200, response.text
        *events, done, rest = response.text.split("\n\n")
        assert (done, rest) == ("data: [DONE]", "")
        return [json.loads(event.removeprefix("data: ")) for event in events]


MakeApi = Callable[..., Api]
ServeApp = Callable[..., AbstractAsyncContextManager[str]]


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_folder(Path(ensue.tiny.__file__).parent)


@pytest.fixture(scope="session")
def template(tokenizer: Tokenizer) -> ChatTemplate:
    """The bundled model's."""
    assert tokenizer.chat_template is not None
    return ChatTemplate(tokenizer.chat_template, tokenizer.special_tokens)


@pytest.fixture
def make_models(tokenizer: Tokenizer, template: ChatTemplate) -> Callable[..., ServedModels]:
    def make(engine: FakeEngine, limits: LimitsConfig | None = None, **more: Any) -> ServedModels:
        fields: dict[str, Any] = {"root": "org/tiny", "created": 7, "chat_template": template} | more
        if fields["chat_template"] is not None:
            fields.setdefault("tool_support", tool_support(fields["chat_template"], tokenizer, None))
        return ServedModels([ServedModel("tiny", engine, tokenizer, limits or LimitsConfig(), **fields)])

    return make


@pytest.fixture
def says(tokenizer: Tokenizer) -> Callable[..., FakeEngine]:
    """Make an engine whose every sample says the same text, over and over."""

    def make(text: str, **more: Any) -> FakeEngine:
        def script(request: GenerationRequest, sample: int) -> Sequence[int]:
            return tokenizer.encode(text, add_special_tokens=False)

        return FakeEngine(script, logits_width=tokenizer.vocab_size, **more)

    return make


def checking_client(app: FastAPI) -> httpx2.AsyncClient:
    """One that holds each answer against the application's own description."""

    async def check(response: httpx2.Response) -> None:
        await response.aread()
        (await description(app)).check(response)

    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=BASE_URL, event_hooks={"response": [check]})


@pytest.fixture
async def make_api(
    make_models: Callable[..., ServedModels], says: Callable[..., FakeEngine], tmp_path: Path
) -> AsyncIterator[MakeApi]:
    """An application without keys, called without a socket."""
    clients: list[httpx2.AsyncClient] = []

    def make(
        engine: FakeEngine | None = None,
        *,
        keys: KeyStore | None = None,
        server: ServerConfig | None = None,
        limits: LimitsConfig | None = None,
        accountants: Sequence[Accountant] = (),
        usage: Database | None = None,
        key_limits: KeyLimits | None = None,
        **more: Any,
    ) -> Api:
        engine = engine or says(" one two three four five six seven")
        config = Config(server=server or ServerConfig(), limits=limits or LimitsConfig())
        admin = None if keys is None else KeyAdmin(keys, AuditLog(tmp_path / "audit.jsonl"))
        models = make_models(engine, config.limits, **more)
        access = Access(keys, limits=key_limits, key_admin=admin, usage=usage)
        app = create_app(models, Metrics(), config, access, accountants)
        clients.append(checking_client(app))
        return Api(clients[-1], engine)

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[KeyStore]:
    database = Database(sqlite_url(tmp_path / "keys.db"))
    upgrade(database)
    store = KeyStore(database)
    yield store
    store.close()
    database.close()


@pytest.fixture
def api(make_api: MakeApi) -> Api:
    return make_api()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.fixture
def served(make_models: Callable[..., ServedModels], listener: socket.socket) -> ServeApp:
    """Serve an application on a loopback port as long as the context lasts; gives its URL."""

    @asynccontextmanager
    async def serving(
        engine: FakeEngine,
        keys: KeyStore | None = None,
        config: Config | None = None,
        accountants: Sequence[Accountant] = (),
        key_limits: KeyLimits | None = None,
    ) -> AsyncIterator[str]:
        config = config or Config(server=ServerConfig(drain_s=20.0))
        models = make_models(engine, config.limits)
        app = create_app(models, Metrics(), config, Access(keys, limits=key_limits), accountants)
        started, stop = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(
            serve(app, listener, config, started.set, lambda: engine.close(config.server.drain_s), stop)
        )
        await started.wait()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stop.set()
            await task

    return serving
