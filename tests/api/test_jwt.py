"""Tokens of a local issuer: which are keys, what their claims allow, and every way to forge one."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from ensue.api.app import Access, create_app
from ensue.api.jwks import MAX_BYTES, Jwks
from ensue.api.jwt_keys import JwtKeys
from ensue.config import Config, JwtConfig, check_jwt
from ensue.engine.fake import FakeEngine
from ensue.errors import AuthenticationError, ConfigError, Overloaded
from ensue.metrics import Metrics
from ensue.served_models import ServedModels
from ensue.store.keys import KeyStore

ISSUER, AUDIENCE = "https://issuer.example", "ensue"
SIGNER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CURVE = ec.generate_private_key(ec.SECP256R1())
PUBLIC_PEM = SIGNER.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
RSA_JWK = {**json.loads(RSAAlgorithm.to_jwk(SIGNER.public_key())), "kid": "rsa", "alg": "RS256", "use": "sig"}
SECRET = b"0123456789abcdef0123456789abcdef"
OCT_JWK = {"kty": "oct", "k": base64.urlsafe_b64encode(SECRET).decode(), "kid": "oct"}
EC_JWK = {**json.loads(ECAlgorithm.to_jwk(CURVE.public_key())), "kid": "ec"}
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "team-a",
    "exp": 2**33,
    "scope": "openid chat completions",
}


@pytest.fixture
def config(tmp_path: Path) -> JwtConfig:
    path = tmp_path / "jwks.json"
    others = [{**RSA_JWK, "kid": "secret", "use": "enc"}, {**RSA_JWK, "kid": "broken", "n": ""}, OCT_JWK]
    path.write_text(json.dumps({"keys": [RSA_JWK, EC_JWK, *others]}))
    return JwtConfig(jwt_issuer=ISSUER, jwt_audience=AUDIENCE, jwt_jwks=str(path))


def keys_of(config: JwtConfig) -> JwtKeys:
    assert config.jwt_jwks is not None
    return JwtKeys(config, Jwks(config.jwt_jwks))


def signed(
    claims: dict[str, Any] | None = None, key: Any = SIGNER, algorithm: str = "RS256", kid: str = "rsa", **headers: Any
) -> str:
    merged = {name: value for name, value in (CLAIMS | (claims or {})).items() if value is not None}
    return jwt.encode(merged, key, algorithm, headers={"kid": kid, **headers})


def part(value: Any) -> str:
    return encoded(json.dumps(value).encode())


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def raw_signed(claims: Any, old: str, new: str) -> str:
    """With what no library would write: a piece of the claims' JSON is exchanged before it is signed."""
    text = json.dumps(claims)
    assert old in text
    signing = f"{part({'alg': 'RS256', 'kid': 'rsa'})}.{encoded(text.replace(old, new).encode())}"
    return f"{signing}.{encoded(RSAAlgorithm(RSAAlgorithm.SHA256).sign(signing.encode(), SIGNER))}"


async def test_subject_becomes_a_key_with_the_claimed_rights(config: JwtConfig) -> None:
    limits = {"tokens_per_minute": 500, "max_n": 2, "priority": 3}
    key = await keys_of(config).authenticate(signed({"ensue_models": ["tiny*"], "ensue_limits": limits}))
    assert key.rights.scopes == {"chat", "completions"}
    assert (key.rights.models, key.rights.tokens_per_minute) == (("tiny*",), 500)
    assert (key.rights.max_n, key.rights.priority, key.name) == (2, 3, "team-a")


async def test_the_same_subject_is_the_same_key_and_another_is_not(config: JwtConfig) -> None:
    keys = keys_of(config)
    one = await keys.authenticate(signed())
    two = await keys.authenticate(signed({"scope": "chat"}, CURVE, "ES256", "ec"))
    other = await keys.authenticate(signed({"sub": "team-b"}))
    assert one.id == two.id != other.id


@pytest.mark.parametrize("scope", ["admin", ["admin", "metrics"], "", None])
async def test_no_token_gives_admin_and_none_is_the_default(config: JwtConfig, scope: Any) -> None:
    key = await keys_of(config).authenticate(signed({"scope": scope}))
    assert key.rights.scopes <= {"metrics"}


def stripped() -> str:
    head, body, _ = signed().split(".")
    return f"{head}.{body}."


def changed() -> str:
    head, _, signature = signed().split(".")
    return f"{head}.{part(CLAIMS | {'sub': 'team-b'})}.{signature}"


def with_public_key_as_secret() -> str:
    text = f"{part({'alg': 'HS256', 'kid': 'rsa'})}.{part(CLAIMS)}"
    digest = hmac.new(PUBLIC_PEM, text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


FORGED: dict[str, Callable[[], str]] = {
    "no signature": lambda: f"{part({'alg': 'none', 'kid': 'rsa'})}.{part(CLAIMS)}.",
    "no signature, odd case": lambda: f"{part({'alg': 'nOnE', 'kid': 'rsa'})}.{part(CLAIMS)}.",
    "stripped": stripped,
    "changed": changed,
    "public key as secret": with_public_key_as_secret,
    "stranger's key": lambda: signed(key=STRANGER),
    "unknown key id": lambda: signed(kid="nobody"),
    "no key id": lambda: jwt.encode(CLAIMS, SIGNER, "RS256"),
    "key for encryption": lambda: signed(kid="secret"),
    "key of another kind": lambda: signed(kid="ec"),
    "algorithm that the key is not for": lambda: signed(algorithm="RS512"),
    "algorithm that is not allowed": lambda: signed(algorithm="PS256"),
    "own key brought along": lambda: signed(key=STRANGER, jwk=RSA_JWK, jku="http://127.0.0.1:1/"),
    "critical field": lambda: signed(crit=["x"], x=1),
    "expired": lambda: signed({"exp": 1}),
    "not yet": lambda: signed({"nbf": 2**33 - 1}),
    "without end": lambda: signed({"exp": None}),
    "end that is no number": lambda: signed({"exp": "soon"}),
    "end that is a text": lambda: signed({"exp": str(2**33)}),
    "end beyond all numbers": lambda: raw_signed(CLAIMS, '"exp": 8589934592', '"exp": 1e400'),
    "end that is not a number": lambda: raw_signed(CLAIMS, '"exp": 8589934592', '"exp": NaN'),
    "beginning that is a text": lambda: signed({"nbf": "5"}),
    "beginning before all numbers": lambda: raw_signed(CLAIMS | {"nbf": 0}, '"nbf": 0', '"nbf": -1e400'),
    "made at a text": lambda: signed({"iat": "5"}),
    "made in the future": lambda: signed({"iat": 2**33 - 1}),
    "claims in a list": lambda: raw_signed([], "", ""),
    "deep claims": lambda: raw_signed(CLAIMS | {"x": 0}, '"x": 0', '"x": ' + "[" * 2000 + "]" * 2000),
    "deep header": lambda: f"{encoded(b'[' * 5000)}.{part(CLAIMS)}.AA",
    "long number in the header": lambda: f"{encoded(b'{' + b'1' * 5000)}.{part(CLAIMS)}.AA",
    "key id that is a path": lambda: signed(kid="../../../dev/null"),
    "key id with NUL": lambda: signed(kid="rsa\0"),
    "key id in a list": lambda: f"{part({'alg': 'RS256', 'kid': ['rsa']})}.{part(CLAIMS)}.AA",
    "secret of the key set": lambda: signed(key=SECRET, algorithm="HS256", kid="oct"),
    "broken key of the key set": lambda: signed(kid="broken"),
    "payload outside the token": lambda: signed(b64=False, crit=["b64"]),
    "other issuer": lambda: signed({"iss": "https://evil.example"}),
    "other audience": lambda: signed({"aud": "another"}),
    "other audiences": lambda: signed({"aud": ["another", AUDIENCE + "2"]}),
    "audience that is an object": lambda: raw_signed(CLAIMS, f'"aud": "{AUDIENCE}"', f'"aud": {{"{AUDIENCE}": 1}}'),
    "issuer in a list": lambda: raw_signed(CLAIMS, f'"iss": "{ISSUER}"', f'"iss": ["{ISSUER}"]'),
    "no audience": lambda: signed({"aud": None}),
    "no subject": lambda: signed({"sub": None}),
    "empty subject": lambda: signed({"sub": ""}),
    "subject with a line feed": lambda: signed({"sub": "a\nb"}),
    "unknown limit": lambda: signed({"ensue_limits": {"x": 1}}),
    "limit that is no number": lambda: signed({"ensue_limits": {"max_n": True}}),
    "limit out of range": lambda: signed({"ensue_limits": {"max_n": 0}}),
    "scopes that are no words": lambda: signed({"scope": {"a": 1}}),
    "nonsense": lambda: "a.b.c",
    "empty parts": lambda: "..",
    "too long": lambda: signed({"x": "a" * 9000}),
}


@pytest.mark.parametrize("name", FORGED)
async def test_forged_token_is_refused(config: JwtConfig, name: str) -> None:
    with pytest.raises(AuthenticationError) as caught:
        await keys_of(config).authenticate(FORGED[name]())
    assert caught.value.code == ("key_expired" if name == "expired" else "invalid_api_key")


@pytest.mark.parametrize("claims", [{"aud": ["another", AUDIENCE]}, {"exp": 2.0**40}, {"nbf": 5.5, "iat": 5}])
async def test_all_forms_of_a_good_claim_are_taken(config: JwtConfig, claims: dict[str, Any]) -> None:
    assert (await keys_of(config).authenticate(signed(claims))).name == "team-a"


async def test_clocks_may_differ_a_little(config: JwtConfig) -> None:
    just_over = int(time.time()) - 10
    assert (await keys_of(config).authenticate(signed({"exp": just_over}))).name == "team-a"
    with pytest.raises(AuthenticationError):
        await keys_of(config).authenticate(signed({"exp": just_over - 60}))


async def test_keys_are_asked_for_again_but_not_at_every_token(tmp_path: Path) -> None:
    now, path = [0.0], tmp_path / "jwks.json"
    jwks = Jwks(str(path), clock=lambda: now[0])
    with pytest.raises(Overloaded):
        await jwks.find("rsa")
    path.write_text(json.dumps({"keys": [RSA_JWK]}))
    with pytest.raises(Overloaded):  # too soon
        await jwks.find("rsa")
    now[0] = 11.0
    assert await jwks.find("rsa") == RSA_JWK
    path.write_text("broken")
    now[0] = 500.0
    assert await jwks.find("rsa") == RSA_JWK  # what was read stays in use
    path.write_text(json.dumps({"keys": [EC_JWK]}))
    assert await jwks.find("ec") is None  # too soon
    now[0] = 511.0
    assert await jwks.find("ec") == EC_JWK
    assert await jwks.find("rsa") is None


ANSWERS = {
    "/good": (200, json.dumps({"keys": [RSA_JWK]}).encode()),
    "/moved": (302, b""),
    "/gone": (404, b""),
    "/long": (200, b" " * (MAX_BYTES + 1)),
    "/odd": (200, b"[]"),
}


class Issuer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, body = ANSWERS[self.path]
        self.send_response(status)
        if status == 302:
            self.send_header("location", "/good")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize("path", ANSWERS)
async def test_keys_come_from_a_url_that_answers_itself(path: str) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Issuer) as issuer:
        thread = Thread(target=issuer.serve_forever)
        thread.start()
        jwks = Jwks(f"http://127.0.0.1:{issuer.server_port}{path}")
        try:
            if path == "/good":
                assert await jwks.find("rsa") == RSA_JWK
            else:
                with pytest.raises(Overloaded):
                    await jwks.find("rsa")
        finally:
            issuer.shutdown()
            thread.join()


KEYS_ANSWER = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + json.dumps({"keys": [RSA_JWK]}).encode()


@dataclass
class SlowIssuer:
    """Counts who asks it; answers byte by byte, or as soon as it may."""

    may_answer: asyncio.Event
    drips: bool = False
    num_asked: int = 0
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.append(asyncio.create_task(self._answer(reader, writer)))

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError, RuntimeError):  # the last is what uvloop says of a client that left
            await reader.readuntil(b"\r\n\r\n")
            self.num_asked += 1
            while self.drips:
                writer.write(b"H")
                await writer.drain()
                await asyncio.sleep(0.005)
            await self.may_answer.wait()
            writer.write(KEYS_ANSWER)
            await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def slow_issuer(clock: Callable[[], float]) -> AsyncIterator[tuple[SlowIssuer, Jwks]]:
    """In the end it answers all that wait."""
    issuer = SlowIssuer(asyncio.Event())
    server = await asyncio.start_server(issuer.answer, "127.0.0.1", 0)
    async with server:
        jwks = Jwks(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", clock=clock)
        yield issuer, jwks
        issuer.drips = False
        issuer.may_answer.set()
        if jwks._loading is not None:
            await jwks._loading
        server.close()
        for _ in range(5):  # a connection that was just taken becomes a task
            await asyncio.sleep(0)
        await asyncio.gather(*issuer.tasks)


async def test_issuer_that_answers_byte_by_byte_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ensue.api.jwks.TIMEOUT_S", 0.05)
    async with slow_issuer(lambda: 0.0) as (issuer, jwks):
        issuer.drips = True
        with pytest.raises(Overloaded):
            await jwks.find("rsa")


async def test_tokens_share_one_try_which_none_that_leaves_ends() -> None:
    async with slow_issuer(lambda: 0.0) as (issuer, jwks):
        first, *others = [asyncio.create_task(jwks.find(kid)) for kid in ("rsa", "rsa", "nobody", "rsa")]
        while not issuer.num_asked:
            await asyncio.sleep(0.001)
        first.cancel()
        issuer.may_answer.set()
        assert await asyncio.gather(*others) == [RSA_JWK, None, RSA_JWK]
        assert [await jwks.find(f"unknown {number}") for number in range(100)] == [None] * 100
        assert issuer.num_asked == 1


async def test_nobody_who_has_a_key_waits_for_an_issuer_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    async with slow_issuer(lambda: now[0]) as (issuer, jwks):
        issuer.may_answer.set()
        assert await jwks.find("rsa") == RSA_JWK
        issuer.may_answer.clear()
        now[0] = 400.0
        monkeypatch.setattr("ensue.api.jwks.TIMEOUT_S", 0.05)
        assert await jwks.find("rsa") == RSA_JWK
        now[0], num_asked = 420.0, issuer.num_asked  # the try that was cut short may have been seen or not
        monkeypatch.setattr("ensue.api.jwks.TIMEOUT_S", 600.0)
        async with asyncio.timeout(30):
            assert await jwks.find("rsa") == RSA_JWK
            while issuer.num_asked == num_asked:
                await asyncio.sleep(0.001)


@pytest.mark.parametrize("url", ["http://issuer.example/jwks", "ftp://127.0.0.1/x", "file:///etc/passwd"])
def test_keys_over_an_open_line_are_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        Jwks(url)


@pytest.mark.parametrize(
    "given",
    [
        {"jwt_issuer": ISSUER},
        {"jwt_leeway_s": 1.0},
        {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_jwks": "x", "jwt_algorithms": ("HS256",)},
        {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_jwks": "x", "jwt_algorithms": ("none",)},
    ],
)
def test_settings_that_say_half_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        check_jwt(JwtConfig(**given))


async def test_server_takes_tokens_and_keys(
    config: JwtConfig, make_models: Callable[..., ServedModels], says: Callable[..., FakeEngine], keys: KeyStore
) -> None:
    app = create_app(make_models(says("x")), Metrics(), Config(), Access(keys, keys_of(config)))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1:8000") as client:

        async def status(token: str, path: str = "/v1/completions") -> int:
            headers = {"authorization": f"Bearer {token}"}
            return (await client.post(path, json={"prompt": "x"}, headers=headers)).status_code

        assert await status(signed()) == 200
        assert await status(signed(), "/tokenize") == 403
        assert await status(changed()) == 401
        assert await status(keys.create("k")[1]) == 200
        supplied = "mounted.secret.with-two-dots"
        assert await status(supplied) == 401
        keys.add_secret(supplied, "file")
        assert await status(supplied) == 200
