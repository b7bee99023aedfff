"""Every setting, in four frozen classes, and the rule that merges them: CLI > environment > file > default.

A setting is a dataclass field: its name is `--its-name` on the command line, `ENSUE_ITS_NAME` in the environment and
`its_name` in ensue.toml; its metadata holds the help text. Nothing here reads a file or the process environment.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

from ensue.errors import ConfigError

KIB, MIB, GIB = 2**10, 2**20, 2**30
LARGEST = 2**63 - 1  # of any number; more does not cross a process border


def setting(
    default: Any,
    help: str,  # noqa: A002
    *,
    size: bool = False,
    low: float | None = None,
    high: float | None = None,
) -> Any:
    """A field with its help text; `size` accepts 512MiB, `low` and `high` are the smallest and largest legal values."""
    return field(default=default, metadata={"help": help, "size": size, "low": low, "high": high})


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Which model, and how it is run."""

    model: str | None = setting(None, "Folder or hub id of the model; default: the bundled one")
    revision: str | None = setting(None, "Commit, tag or branch of a hub model")
    engine: Literal["native", "fake"] = setting("native", "What produces tokens: this machine, or a scripted stand-in")
    device: Literal["auto", "cpu", "cuda"] = setting("auto", "Where the model runs")
    dtype: Literal["auto", "bfloat16", "float32"] = setting("auto", "Arithmetic; auto: bfloat16 where this CPU has it")
    linear_path: Literal["auto", "bf16_packed", "fp32_packed", "plain"] = setting(
        "auto", "Force an implementation of the linear layers"
    )
    max_model_len: int | None = setting(None, "Longest prompt + completion in tokens; default: the model's own", low=1)
    max_num_seqs: int = setting(64, "Sequences that run at once", low=1)
    max_num_batched_tokens: int = setting(256, "Tokens computed in one step, at most", low=16)
    kv_cache_memory: int | None = setting(None, "Memory for keys and values; default: half of what is free", size=True)
    prefix_caching: bool = setting(True, "Keep what was computed, and go on from there where a prompt begins alike")
    threads: int | None = setting(
        None, "Compute threads; default: the cores this process may use, one for a model below 32 MiB", low=1
    )


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where and how the server answers."""

    host: str = setting("127.0.0.1", "Address to listen on")
    port: int = setting(8000, "Port to listen on; 0 takes a free one", low=0, high=65535)
    no_auth: bool = setting(False, "Ask for no key; only on loopback")
    data_dir: str = setting("./.data", "Folder for the database and the first key")
    api_key_file: str | None = setting(None, "File with a key that is accepted beside those of the database")
    served_model_name: tuple[str, ...] = setting((), "Name of the model in requests (repeatable; first is canonical)")
    tls_cert: str | None = setting(None, "File with the certificate chain (PEM); read again at SIGHUP")
    tls_key: str | None = setting(None, "File with the certificate's private key (PEM)")
    trusted_proxies: tuple[str, ...] = setting((), "Networks whose X-Forwarded-For is believed (repeatable)")
    allowed_hosts: tuple[str, ...] = setting((), "Host headers to accept; default: loopback names if bound to loopback")
    unknown_parameters: Literal["refuse", "warn"] = setting("refuse", "What a request field that nobody knows does")
    chat_template: str | None = setting(None, "File with a chat template; default: the model's own")
    tool_call_parser: Literal["auto", "llama3", "hermes", "mistral"] = setting(
        "auto", "How the model calls tools; auto: as its chat template and its special tokens say"
    )
    generation_config: Literal["ensue", "model"] = setting("ensue", "Whose sampling defaults hold")
    log_level: Literal["debug", "info", "warning", "error"] = setting("info", "Least severe log lines to write")
    log_format: Literal["auto", "console", "json"] = setting("auto", "auto: console on a terminal, else json")
    api_workers: int = setting(1, "API processes that share the port and the engine", low=1, high=256)
    sse_keepalive_s: float | None = setting(
        None, "Seconds of silence after which a stream sends a comment, also before its first event", low=0.1
    )
    drain_s: float = setting(30.0, "Seconds that running requests get at a shutdown", low=0)
    core_dumps: bool = setting(False, "Let crashes write core dumps: they hold keys and prompts of running requests")


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """Where keys and usage are kept, and where limits are counted."""

    database_url: str | None = setting(None, "sqlite: or postgresql: URL; default: SQLite in the data folder")
    ledger_retention_days: int | None = setting(
        None, "Days that the ledger's rows are kept; default: for ever. The sums by day stay", low=1, high=36_500
    )
    limits_url: str | None = setting(None, "Redis that counts the limits of keys for several servers: redis://…")


DEFAULT_JWT_ALGORITHMS = ("RS256", "ES256")
JWT_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


@dataclass(frozen=True, slots=True)
class JwtConfig:
    """Whose tokens are accepted beside API keys."""

    jwt_issuer: str | None = setting(None, "Accept JSON Web Tokens of this issuer (their `iss`)")
    jwt_audience: str | None = setting(None, "The `aud` that a token must have")
    jwt_jwks: str | None = setting(None, "File or https URL of the issuer's key set")
    jwt_algorithms: tuple[str, ...] = setting((), "Signatures to accept, asymmetric ones; default: RS256 and ES256")
    jwt_leeway_s: float = setting(30.0, "Seconds by which clocks may differ", low=0, high=300)
    jwt_scopes_claim: str = setting("scope", "Claim with the scopes: words, or a list")
    jwt_models_claim: str = setting("ensue_models", "Claim with the models: globs; without it, all")
    jwt_limits_claim: str = setting("ensue_limits", "Claim with limits by name, such as tokens_per_minute")


def check_jwt(config: JwtConfig) -> bool:
    """Whether tokens are accepted.

    Raises:
        ConfigError: some of what is needed is missing, or an algorithm that is not known here.
    """
    needed = {"jwt_issuer": config.jwt_issuer, "jwt_audience": config.jwt_audience, "jwt_jwks": config.jwt_jwks}
    missing = [name for name, value in needed.items() if value is None]
    if len(missing) == len(needed) and config == JwtConfig():
        return False
    if missing:
        raise ConfigError(f"Tokens need all of {', '.join(needed)}: {', '.join(missing)} is not set.")
    for algorithm in config.jwt_algorithms:
        if algorithm not in JWT_ALGORITHMS:
            raise ConfigError(f"jwt_algorithms must be of {', '.join(JWT_ALGORITHMS)}, not {algorithm}.")
    return True


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    """Bounds on what one request, and all of them, may ask for."""

    max_n: int = setting(128, "Choices a prompt", low=1)
    max_best_of: int = setting(20, "Samples a prompt that best_of may ask for", low=1)
    max_prompts: int = setting(128, "Prompts a request", low=1)
    max_sequences: int = setting(256, "Prompts × max(n, best_of) a request", low=1)
    max_messages: int = setting(4096, "Messages a request", low=1)
    max_tools: int = setting(128, "Tools a request", low=1)
    max_tools_bytes: int = setting(128 * KIB, "Size of all tools of a request", size=True)
    max_tool_calls: int = setting(32, "Calls of tools an answer", low=1)
    max_tokenize_chars: int = setting(1_000_000, "Characters of a text to tokenize", low=1)
    max_detokenize_tokens: int = setting(250_000, "Token ids to detokenize", low=1)
    max_logprobs: int = setting(20, "Likeliest tokens reported a position", low=0)
    max_stop_strings: int = setting(16, "Stop strings a request", low=1)
    max_stop_length: int = setting(256, "Characters of a stop string", low=1)
    max_stop_token_ids: int = setting(1024, "Stop tokens a request", low=1)
    max_allowed_token_ids: int = setting(1 << 20, "Prompts × entries of allowed_token_ids a request", low=1)
    max_logit_bias: int = setting(1024, "Entries of logit_bias", low=1)
    max_bad_words: int = setting(256, "Words a request in bad_words", low=1)
    max_bad_word_length: int = setting(256, "Characters of a bad word", low=1)
    max_cache_salt_length: int = setting(512, "Characters of cache_salt", low=1)
    max_user_length: int = setting(512, "Characters of the user label", low=1)
    max_grammar_bytes: int = setting(64 * KIB, "Size of a schema, a grammar or all choices", size=True, high=64 * KIB)
    max_regex_bytes: int = setting(8 * KIB, "Size of a regex that constrains a text", size=True, high=8 * KIB)
    max_guided_nesting: int = setting(64, "Nesting of a schema, or of groups in a regex or a grammar", low=1, high=64)
    guided_cpu_s: float = setting(5.0, "CPU seconds that a constraint may take to be checked", low=1)
    guided_memory_bytes: int = setting(512 * MIB, "Memory that checking a constraint may take", size=True)
    guided_cache_bytes: int = setting(64 * MIB, "Checked constraints that are remembered", size=True)
    max_body_bytes: int = setting(4 * MIB, "Size of a request body", size=True)
    max_header_bytes: int = setting(16 * KIB, "Size of all request headers", size=True)
    max_header_fields: int = setting(64, "Number of request headers", low=1)
    max_json_depth: int = setting(64, "Nesting of a request body", low=1)
    header_timeout_s: float = setting(10.0, "Seconds to receive the headers", low=0.1)
    body_timeout_s: float = setting(30.0, "Seconds to receive the body", low=0.1)
    request_timeout_s: float = setting(600.0, "Seconds that a request may take", low=0.1)
    max_waiting_requests: int = setting(2048, "Requests in the waiting queue", low=1)
    max_waiting_tokens: int = setting(4_000_000, "Prompt tokens in the waiting queue", low=1)
    max_wrong_keys_per_minute: int = setting(60, "Incorrect keys from one address, before it is told to wait", low=1)
    stream_buffer_bytes: int = setting(1 * MIB, "Unsent bytes of a stream before it is cancelled", size=True)


@dataclass(frozen=True, slots=True)
class Config:
    """All of it; crosses process borders as JSON."""

    engine: EngineConfig = EngineConfig()
    server: ServerConfig = ServerConfig()
    store: StoreConfig = StoreConfig()
    jwt: JwtConfig = JwtConfig()
    limits: LimitsConfig = LimitsConfig()


SECTIONS: tuple[type[Any], ...] = (EngineConfig, ServerConfig, StoreConfig, JwtConfig, LimitsConfig)
ENV_PREFIX = "ENSUE_"
CONFIG_FILE_VARIABLE = "ENSUE_CONFIG"  # names the file
API_KEY_VARIABLE = "ENSUE_API_KEY"  # a client's key
URL_VARIABLE = "ENSUE_URL"  # the server that a client talks to
NOT_SETTINGS = (CONFIG_FILE_VARIABLE, API_KEY_VARIABLE, URL_VARIABLE)  # read by the CLI
_KUBERNETES = re.compile(r"ENSUE_(SERVICE_\w+|PORT_\d+_\w+)")  # injected for a Service that is named ensue
_SIZES = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KIB": KIB,
    "MIB": MIB,
    "GIB": GIB,
    "K": KIB,
    "M": MIB,
    "G": GIB,
}

_NONE = ("", "none")

T = TypeVar("T")


def all_settings() -> list[Field[Any]]:
    """The fields of all sections, in the order in which `ensue serve --help` shows them."""
    return [f for section in SECTIONS for f in fields(section)]


def load(cli: Mapping[str, object], environ: Mapping[str, str], toml: Mapping[str, object]) -> Config:
    """Merge the three sources over the defaults.

    Args:
        cli: option name with underscores → value as given; absent or None where not given.
        environ: the process environment; only ENSUE_* is read.
        toml: the parsed ensue.toml.

    Raises:
        ConfigError: an unknown key or a bad value, with the place where it stands.
    """
    given: dict[str, object] = {}

    def take(key: str, shown: str, place: str, where: str, value: object) -> None:
        _refuse_unknown(key, shown, place)
        given[key] = _parse(key, value, where)

    for key, value in toml.items():
        _refuse_quoted(key, value)
        take(key, key, "ensue.toml", f"{key} in ensue.toml", value)
    for name, text in environ.items():
        if _is_setting_variable(name, text):
            take(name.removeprefix(ENV_PREFIX).lower(), name, "the environment", name, text)
    for key, value in cli.items():
        if value is not None and value != ():
            take(key, key, "the command line", f"--{key.replace('_', '-')}", value)
    return Config(*(_section(section, given) for section in SECTIONS))


def _section(section: type[T], given: Mapping[str, object]) -> T:
    names = [f.name for f in fields(cast(Any, section))]
    return section(**{name: given[name] for name in names if name in given})


def _is_setting_variable(name: str, text: str) -> bool:
    if not name.startswith(ENV_PREFIX) or name in NOT_SETTINGS:
        return False
    return not (_KUBERNETES.fullmatch(name) or (name == "ENSUE_PORT" and text.startswith("tcp://")))


def _refuse_quoted(key: str, value: object) -> None:
    """The file has types: a number is no text there."""
    hint, is_optional = _without_none(_types().get(key))
    is_free = any(f.name == key and f.metadata["size"] for f in all_settings()) or (is_optional and value in _NONE)
    if isinstance(value, str) and hint in (int, float, bool) and not is_free:
        raise ConfigError(f"{key} in ensue.toml must be {_NAMES[hint]}, without quotes: {key} = {value}")


def _types() -> dict[str, Any]:
    return {name: hint for section in SECTIONS for name, hint in get_type_hints(section).items()}


def _refuse_unknown(key: str, shown: str, place: str) -> None:
    known = _types()
    if key in known:
        return
    near = difflib.get_close_matches(key, known, n=1)
    hint = f" Did you mean {near[0] if key == shown else ENV_PREFIX + near[0].upper()}?" if near else ""
    raise ConfigError(f"Unknown setting {shown} in {place}.{hint}")


def _parse(key: str, value: object, place: str) -> object:
    """Turn a text or TOML value into the setting's type."""
    meta = next(f.metadata for f in all_settings() if f.name == key)
    hint, optional = _without_none(_types()[key])
    if optional and isinstance(value, str) and value.lower() in _NONE:
        return None
    if meta["size"]:
        parsed: object = _parse_size(value, place)
    elif get_origin(hint) is Literal:
        parsed = _parse_choice(value, get_args(hint), place)
    elif get_origin(hint) is tuple:
        parsed = _parse_list(value, place)
    else:
        parsed = _parse_plain(value, hint, place)
    if isinstance(parsed, int | float):
        _check_bounds(parsed, meta["low"], meta["high"], value, place)
    return parsed


def _check_bounds(parsed: float, low: float | None, high: float | None, given: object, place: str) -> None:
    if low is not None and parsed < low:
        raise ConfigError(f"{place} must be at least {low:g}, not {given}.")
    if high is not None and parsed > high:
        raise ConfigError(f"{place} must be at most {high:g}, not {given}.")
    if parsed > LARGEST:
        raise ConfigError(f"{place} must be at most {LARGEST}, not {given}.")


def _without_none(hint: Any) -> tuple[Any, bool]:
    options = [arg for arg in get_args(hint) if arg is not type(None)]
    return (options[0], True) if len(options) < len(get_args(hint)) else (hint, False)


def _parse_choice(value: object, choices: Sequence[str], place: str) -> str:
    if value not in choices:
        raise ConfigError(f"{place} must be one of {', '.join(choices)}, not {value!r}.")
    return cast(str, value)


def _parse_list(value: object, place: str) -> tuple[str, ...]:
    items = [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise ConfigError(f"{place} must be a list of names, or names separated by commas, not {value!r}.")
    for index, item in enumerate(items):
        _refuse_empty(item, place)
        if item in items[:index]:
            raise ConfigError(f"{place} has {item!r} twice.")
    return tuple(items)


def _refuse_empty(text: str, place: str) -> None:
    if not text.strip():
        raise ConfigError(f"{place} must not be empty.")


def _parse_size(value: object, place: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", str(value).strip(), re.IGNORECASE)
    if isinstance(value, bool) or not match or match[2].upper() not in _SIZES:
        raise ConfigError(f"{place} must be a size such as 4GiB, 512MiB or a number of bytes, not {value!r}.")
    return int(float(match[1]) * _SIZES[match[2].upper()])


def _parse_plain(value: object, hint: type[Any], place: str) -> object:
    if hint is bool:
        return _parse_bool(value, place)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ConfigError(f"{place} must be {_NAMES[hint]}, not {value}.")
    if hint is str:
        _refuse_empty(str(value), place)
        return str(value)
    try:
        parsed: float = hint(value)
    except (OverflowError, ValueError):  # the first: int() of an infinity
        parsed = math.nan
    if not math.isfinite(parsed) or (isinstance(value, float) and parsed != value):
        raise ConfigError(f"{place} must be {_NAMES[hint]}, not {value!r}.")
    return parsed


_NAMES: dict[type[Any], str] = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def _parse_bool(value: object, place: str) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("1", "true", "yes", "on"):
        return True
    if str(value).lower() in ("0", "false", "no", "off"):
        return False
    raise ConfigError(f"{place} must be true or false, not {value!r}.")
