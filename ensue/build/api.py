"""The API process, put together."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from dataclasses import asdict
from pathlib import Path

import uvloop

from ensue.api.app import Access, create_app
from ensue.api.auth import TokenAuthenticator
from ensue.api.jwks import Jwks
from ensue.api.ledger import LedgerAccountant
from ensue.api.server import serve
from ensue.build.ledger import OpenLedger
from ensue.build.limits import counters_of, open_limits
from ensue.build.store import open_database
from ensue.build.vocabulary import vocabulary_of
from ensue.child import Event, EventWriter, ProcessSettings
from ensue.config import JwtConfig, LimitsConfig, ServerConfig, check_jwt
from ensue.engine.client import EngineClient
from ensue.engine.fake import FakeEngine
from ensue.errors import ConfigError, EnsueError, InvalidRequest, ModelError, StartupError
from ensue.guided.prover import ProofLimits, Prover
from ensue.logs import set_up_logging
from ensue.metrics import Metrics
from ensue.model.config import load_sampling_defaults
from ensue.sampling_params import SamplingParams
from ensue.served_models import ServedModel, ServedModels
from ensue.shared_metrics import SharedMetrics
from ensue.store.audit import AuditLog
from ensue.store.db import Database
from ensue.store.key_admin import KeyAdmin
from ensue.store.keys import KeyStore
from ensue.store.refusals import PER_MINUTE, RefusalLog
from ensue.text.chat_template import ChatTemplate
from ensue.text.tokenizer import Tokenizer
from ensue.text.tool_format import tool_support

FIRST_KEY_FILE = "first-key"


def run(settings: ProcessSettings, events: EventWriter) -> None:
    """Answer HTTP until told to end."""
    set_up_logging(settings.config.server)
    uvloop.run(_serve(settings, events))


async def _serve(settings: ProcessSettings, events: EventWriter) -> None:
    config = settings.config
    assert settings.listen_fd is not None
    progress = _Progress(settings, events)
    tokenizer = Tokenizer.from_folder(Path(settings.model.folder))
    metrics = Metrics()
    database = None if settings.is_ephemeral else open_database(config.server, config.store)
    audit = AuditLog.of(config.server.data_dir)
    keys = _open_keys(database, config.server, audit, settings.is_terminal, events)
    book = None if database is None else OpenLedger(database, config.store.ledger_retention_days, metrics)
    engine = (
        _fake_engine(tokenizer)
        if config.engine.engine == "fake"
        else EngineClient(Path(settings.socket_path), on_phase=progress.on_phase)
    )
    models = ServedModels([served_model(settings, engine, tokenizer)])
    refusals = None if keys is None else RefusalLog(audit, per_minute=-(-PER_MINUTE // config.server.api_workers))
    key_admin = None if keys is None else KeyAdmin(keys, audit)
    tokens = token_keys(config.jwt)
    accountants = () if book is None else (LedgerAccountant(book.ledger),)
    limits = counters = None
    if keys is not None and database is not None and book is not None:
        counters = counters_of(settings)
        limits = open_limits(counters, database, book.ledger, metrics)
    access = Access(keys, tokens, limits, refusals, key_admin, usage=database, wrong_keys=counters)
    app = create_app(models, metrics, config, access, accountants)
    shared = None
    if config.server.api_workers > 1:
        shared = SharedMetrics(Path(settings.socket_path).parent, settings.api_index, metrics)
        writing = asyncio.create_task(shared.keep_writing())
    if isinstance(engine, EngineClient):
        engine.start()
    else:
        progress.on_phase("ready")
    try:
        listener = socket.socket(fileno=settings.listen_fd)
        await serve(app, listener, config, progress.on_started, lambda: engine.close(config.server.drain_s))
    finally:
        await engine.close(0.0)
        for model in models.all():
            if model.prover is not None:
                await model.prover.close()
        if limits is not None:
            await limits.close()
        if book is not None:
            book.close()
        if keys is not None:
            keys.close()
        if refusals is not None:
            refusals.close()
        if shared is not None:
            writing.cancel()
            shared.write()


def token_keys(config: JwtConfig) -> TokenAuthenticator | None:
    """
    Raises:
        ConfigError: settings that contradict each other, or a library that is not installed.
    """
    if not check_jwt(config):
        return None
    assert config.jwt_jwks is not None
    try:
        from ensue.api.jwt_keys import JwtKeys  # loads an optional library
    except ImportError:
        raise ConfigError("Tokens need PyJWT: pip install 'ensue[jwt]'.") from None
    return JwtKeys(config, Jwks(config.jwt_jwks))


class _Progress:
    """Says `ready` once connections are accepted and the engine is there."""

    def __init__(self, settings: ProcessSettings, events: EventWriter) -> None:
        self._name = served_names(settings)[0]
        self._events = events
        self._missing = {"engine", "socket"}

    def on_started(self) -> None:
        self._events.send(Event("listening"))
        self._done("socket")

    def on_phase(self, phase: str, fraction: float | None = None) -> None:  # noqa: ARG002 - the worker reports it, too
        if phase == "ready":
            self._done("engine")

    def _done(self, part: str) -> None:
        if self._missing == {part}:
            self._events.send(Event("ready", self._name))
        self._missing.discard(part)


def served_names(settings: ProcessSettings) -> tuple[str, ...]:
    """The canonical name first."""
    return settings.config.server.served_model_name or (settings.model.name,)


def served_model(settings: ProcessSettings, engine: EngineClient | FakeEngine, tokenizer: Tokenizer) -> ServedModel:
    """The model of these settings behind an engine."""
    name, *aliases = served_names(settings)
    template, parser = chat_template(settings.config.server, tokenizer), settings.config.server.tool_call_parser
    return ServedModel(
        name=name,
        aliases=tuple(aliases),
        engine=engine,
        tokenizer=tokenizer,
        limits=settings.config.limits,
        root=settings.model.root,
        created=int(time.time()),
        chat_template=template,
        tool_support=None
        if template is None
        else tool_support(template, tokenizer, None if parser == "auto" else parser),
        prover=None if isinstance(engine, FakeEngine) else _prover(tokenizer, settings.config.limits),
        sampling_defaults=_sampling_defaults(settings),
    )


def chat_template(server: ServerConfig, tokenizer: Tokenizer) -> ChatTemplate | None:
    """The template that the settings name, else the model's own; None where there is neither.

    Raises:
        ConfigError: the file can't be read, or is not valid Jinja.
        ModelError: the model's own is not valid.
    """
    if server.chat_template is None:
        own = tokenizer.chat_template
        return None if own is None else ChatTemplate(own, tokenizer.special_tokens, tokenizer.tool_template)
    path = Path(server.chat_template)
    try:
        return ChatTemplate(path.read_text("utf-8"), tokenizer.special_tokens)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"Cannot read --chat-template {path}: {type(error).__name__}.") from None
    except ModelError as error:
        raise ConfigError(f"--chat-template {path}: {error.message}") from None


def _prover(tokenizer: Tokenizer, limits: LimitsConfig) -> Prover:
    costs = ProofLimits(
        cpu_s=limits.guided_cpu_s,
        memory_bytes=limits.guided_memory_bytes,
        cache_bytes=limits.guided_cache_bytes,
        grammar_bytes=limits.max_grammar_bytes,
        regex_bytes=limits.max_regex_bytes,
        nesting=limits.max_guided_nesting,
    )
    return Prover(lambda: vocabulary_of(tokenizer), costs)


def _sampling_defaults(settings: ProcessSettings) -> dict[str, float | int]:
    """What generation_config.json recommends, where the server was told to follow it.

    Raises:
        ConfigError: a value that no request could have.
    """
    if settings.config.server.generation_config != "model":
        return {}
    found = asdict(load_sampling_defaults(Path(settings.model.folder)))
    values = {name: value for name, value in found.items() if value is not None}
    try:
        SamplingParams(**(values | {"top_k": values.get("top_k") or None}))
    except InvalidRequest as error:
        raise ConfigError(
            f"--generation-config model: generation_config.json asks for what is not served: {error}"
        ) from None
    return values


def _fake_engine(tokenizer: Tokenizer) -> FakeEngine:
    return FakeEngine(logits_width=tokenizer.vocab_size)


def _open_keys(
    database: Database | None, server: ServerConfig, audit: AuditLog, is_terminal: bool, events: EventWriter
) -> KeyStore | None:
    """The keys; where there are none, the first one is made and said or written once. None where nobody needs one.

    Raises:
        ConfigError: the key file can't be read.
        StartupError: the making of a key can't be written down.
    """
    if database is None or server.no_auth:
        return None
    keys = KeyStore(database)
    if server.api_key_file is not None:
        keys.add_secret(_read_key(Path(server.api_key_file)), "file")
    else:
        _make_first_key(KeyAdmin(keys, audit), Path(server.data_dir).absolute(), is_terminal, events)
    return keys


def _make_first_key(admin: KeyAdmin, data_dir: Path, is_terminal: bool, events: EventWriter) -> None:
    path = data_dir / FIRST_KEY_FILE
    try:
        key = admin.create_first()
    except EnsueError as error:
        raise StartupError(error.message) from None
    if key is None:
        if path.exists():
            events.send(Event("key", path=str(path)))
    elif is_terminal:
        events.send(Event("key", key))
    else:
        with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
            file.write(key + "\n")
        events.send(Event("key", path=str(path)))


def _read_key(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"Cannot read --api-key-file {path}: {type(error).__name__}.") from None
