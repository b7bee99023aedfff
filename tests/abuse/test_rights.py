"""List B: one key's way into what is another's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ensue.rights import KeyRights
from tests.abuse.conftest import secret_body
from tests.abuse.victim import Victim

MESSAGES = [{"role": "user", "content": "hello"}]


def model_of(victim: Victim) -> str:
    models: list[dict[str, Any]] = json.loads(victim.request("GET", "/v1/models").body)["data"]
    return str(models[0]["id"])


def test_model_outside_the_scope_does_not_exist(victim: Victim, other_key: str) -> None:
    name = model_of(victim)
    assert json.loads(victim.request("GET", "/v1/models", key=other_key).body)["data"] == []
    assert victim.request("GET", f"/v1/models/{name}", key=other_key).error["code"] == "model_not_found"
    for body in ({"messages": MESSAGES, "model": name}, {"messages": MESSAGES}):
        answer = victim.complete(json.dumps(body).encode(), "/v1/chat/completions", key=other_key)
        assert (answer.status, answer.error["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("path", ["/v1/completions", "/tokenize", "/detokenize"])
def test_routes_outside_the_scopes_are_a_403(victim: Victim, other_key: str, path: str) -> None:
    answer = victim.complete(secret_body(), path, key=other_key)
    assert (answer.status, answer.error["code"]) == (403, "insufficient_scope")


@pytest.mark.parametrize("path", ["/admin/keys", "/admin/usage", "/admin/audit", "/admin", "/admin/keys/key_x"])
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
def test_ordinary_key_administers_nothing(victim: Victim, path: str, method: str) -> None:
    answer = victim.request(method, path, b"{}" if method != "GET" else None)
    assert answer.status in (403, 404, 405)
    assert answer.error


@pytest.mark.parametrize(
    ("rights", "body"),
    [
        (KeyRights(max_n=2), {"n": 3}),
        (KeyRights(max_n=2), {"best_of": 3}),
        (KeyRights(max_tokens=4), {"max_tokens": 5}),
        (KeyRights(), {"priority": -1}),
    ],
)
def test_request_beyond_the_ceilings_of_its_key_is_a_403(
    victim: Victim, rights: KeyRights, body: dict[str, Any]
) -> None:
    answer = victim.complete(secret_body(**body), key=victim.make_key(rights))
    assert answer.status in (400, 403)
    assert answer.error["param"] in body


def test_two_keys_share_no_cached_prompt(victim: Victim) -> None:
    body = json.dumps({"prompt": "A long time ago in a village by the sea there lived " * 12, "max_tokens": 1}).encode()
    keys = [victim.make_key() for _ in range(2)]
    cached = []
    for key in (keys[0], keys[0], keys[1]):
        usage = json.loads(victim.complete(body, key=key).body)["usage"]
        cached.append(usage["prompt_tokens_details"]["cached_tokens"])
    assert cached[1] > 0
    assert (cached[0], cached[2]) == (0, 0)
