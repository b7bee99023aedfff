"""List A: ways around the routes and the keys."""

from __future__ import annotations

import time

import pytest

from tests.abuse.conftest import secret_body
from tests.abuse.victim import Victim

OPEN = {"/health", "/ready", "/version", "/metrics", "/openapi.json"}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "PROPFIND")


def routes(victim: Victim) -> list[str]:
    import json

    paths = list(json.loads(victim.request("GET", "/openapi.json").body)["paths"])
    return [path.replace("{model}", "x").replace("{key_id}", "key_x") for path in paths]


def test_nothing_but_the_open_routes_answers_without_a_key(victim: Victim) -> None:
    for path in routes(victim):
        for method in METHODS:
            answer = victim.request(method, path, key=None)
            if path not in OPEN and not path.startswith("/docs"):
                assert answer.status in (400, 401, 405), (method, path, answer)


@pytest.mark.parametrize(
    "host",
    [
        b"host: x/?",
        b"host: x#",
        b"host: ",
        b"host: 127.0.0.1\r\nhost: 127.0.0.1",
        b"host: evil.example",
        b"host: 127.0.0.1@evil.example",
        b"host: localhost:99999999999",
        b"x-nothing: 1",
        b"host: " + b"a" * 65_536,
        b"host: \xff\xfe",
        b"host: [::1",
    ],
)
def test_odd_hosts_are_refused_before_the_key_is_looked_at(victim: Victim, host: bytes) -> None:
    answer = victim.request("GET", "/v1/models", host=host)
    assert answer.status in (400, 431)
    assert answer.error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "target",
    [
        "//v1/completions",
        "/v1/./completions",
        "/v1/completions/",
        "/v1/%2e%2e/v1/completions",
        "/../v1/completions",
        "/V1/COMPLETIONS",
        "/v1/completions%00",
        "/v1/completions;x=1",
        "/%76%31/completions%2f",
        "/v1\\completions",
        "/static/../../etc/passwd",
        "/v1/models/../../admin/keys",
    ],
)
@pytest.mark.parametrize("with_key", [True, False])
def test_spellings_of_a_path_open_nothing(victim: Victim, target: str, with_key: bool) -> None:
    answer = victim.request("POST", target, secret_body(), key="" if with_key else None)
    assert answer.status in (400, 401, 404, 405), answer
    assert answer.error


def test_absolute_form_is_the_path_that_it_names(victim: Victim) -> None:
    assert victim.request("GET", "http://127.0.0.1/v1/models", key=None).status in (400, 401, 404)
    assert victim.request("GET", "http://evil.example/v1/models", key=None).status in (400, 401, 404)


BAD_HEADERS: list[tuple[bytes, ...]] = [
    (),
    (b"authorization: ",),
    (b"authorization: Bearer",),
    (b"authorization: Basic c2s6c2s=",),
    (b"authorization: Bearer %(key)s x",),
    (b"authorization: Bearer %(upper)s",),
    (b"authorization: Bearer %(key)s\x00",),
    (b"authorization: Bearer %(half)s",),
    (b"authorization: Bearer %(half)sAAAAAAAAAAAAAAAAAAAA",),
    (b"authorization: Bearer %(key)s", b"authorization: Bearer %(key)s"),
    (b"authorization: Bearer \xc3\xa9\xff",),
    (b"authorization: Bearer ' OR 1=1 --",),
    (b"authorization: Bearer " + b"A" * 2**20,),
    (b"x-api-key: %(key)s",),
    (b"cookie: authorization=%(key)s",),
]


@pytest.mark.parametrize("number", range(len(BAD_HEADERS)))
def test_bad_credentials_are_a_401(victim: Victim, number: int) -> None:
    key = victim.server.key.encode()
    words = {b"%(key)s": key, b"%(upper)s": key.swapcase(), b"%(half)s": key[:41]}
    headers = BAD_HEADERS[number]
    for word, value in words.items():
        headers = tuple(header.replace(word, value) for header in headers)
    answer = victim.request("GET", "/v1/models", key=None, headers=headers)
    assert answer.status in (400, 401, 431), answer
    assert answer.error


def test_key_in_a_query_opens_nothing_and_is_not_logged(victim: Victim) -> None:
    for name in ("api_key", "key", "authorization", "access_token"):
        assert victim.request("GET", f"/v1/models?{name}={victim.server.key}", key=None).status == 401
    assert victim.server.key not in victim.log_path.read_text()


def test_key_where_none_belongs_is_not_logged(victim: Victim) -> None:
    """Nor is a prompt; a misspelt path is, as far as it is plain."""
    key = victim.server.key
    for target in (
        f"/{key}",
        f"/v1/{key}/x",
        f"/v1/models/{key}",
        "/the%20otter%20keeps%20its%20pebble",
        "/v1/embeddings",
    ):
        headers = (b"x-request-id: " + key.encode(), b"user-agent: " + key.encode(), b"referer: /" + key.encode())
        assert victim.request("GET", target, headers=headers).status == 404
    log = victim.log_path.read_text()
    assert key not in log
    assert "otter keeps" not in log
    assert '"/v1/embeddings"' in log


def test_revoked_key_stops_within_the_stated_time(victim: Victim) -> None:
    key, token = victim.keys.create("soon gone")
    assert victim.request("GET", "/v1/models", key=token).status == 200
    victim.keys.revoke(key.id)
    deadline = time.monotonic() + 6
    while (answer := victim.request("GET", "/v1/models", key=token)).status == 200 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert (answer.status, answer.error["code"]) == (401, "key_revoked")


def test_guessing_does_not_lock_good_keys_out(victim: Victim) -> None:
    statuses = {victim.request("GET", "/v1/models", key=f"sk-ensue-{i:043}").status for i in range(150)}
    assert statuses <= {401, 429}
    assert victim.request("GET", "/v1/models").status == 200
