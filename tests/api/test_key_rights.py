"""What a key's rights do to requests: models, ceilings, priority, addresses, times."""

from __future__ import annotations

import time
from typing import Any

import httpx2
import pytest

from ensue.rights import KeyRights
from ensue.store.keys import KeyStore
from tests.api.conftest import Api, Json, MakeApi

CHAT = {"messages": [{"role": "user", "content": "x"}]}


@pytest.fixture
def open_with(make_api: MakeApi, keys: KeyStore) -> Any:
    """Make an application that is called with a key of these rights."""

    def make(rights: KeyRights, **more: Any) -> Api:
        api = make_api(keys=keys, **more)
        api.client.headers["authorization"] = f"Bearer {keys.create('k', rights)[1]}"
        return api

    return make


async def refusal(api: Api, path: str, body: Json | None, status: int) -> tuple[Any, Any]:
    response = await (api.client.get(path) if body is None else api.client.post(path, json=body))
    error = response.json()["error"]
    assert response.status_code == status, error
    return error["code"], error["param"]


@pytest.mark.parametrize("glob", ["tiny", "t*", "t?ny", "other-n*", "*"])
async def test_a_model_is_used_under_all_its_names_where_one_is_allowed(open_with: Any, glob: str) -> None:
    api = open_with(KeyRights(models=("x", glob)), aliases=("other-name",))
    for body in ({"model": "tiny"}, {"model": "other-name"}, {}):
        await api.complete(body)
    listed = (await api.client.get("/v1/models")).json()["data"]
    assert [model["id"] for model in listed] == ["tiny", "other-name"]


@pytest.mark.parametrize("glob", ["TINY", "tin", "tiny?", "t*&*x", "org/tiny"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": "x", "model": "tiny"}),
        ("/v1/completions", {"prompt": "x"}),
        ("/v1/chat/completions", CHAT),
        ("/tokenize", {"prompt": "x", "model": "tiny"}),
        ("/detokenize", {"tokens": [1]}),
        ("/tokenizer_info?model=tiny", None),
        ("/v1/models/tiny", None),
    ],
)
async def test_another_model_is_as_if_it_did_not_exist(open_with: Any, path: str, body: Json | None, glob: str) -> None:
    api = open_with(KeyRights(models=(glob,)))
    assert await refusal(api, path, body, 404) == ("model_not_found", "model")
    assert (await api.client.get("/v1/models")).json()["data"] == []


async def test_a_forbidden_model_and_an_unknown_one_look_the_same(open_with: Any) -> None:
    api = open_with(KeyRights(models=("x",)))
    errors = [await api.error({"model": name}, 404) for name in ("tiny", "none")]
    assert errors[0]["message"].replace("tiny", "none") == errors[1]["message"]


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"max_tokens": 9}, "max_tokens"),
        ({"max_completion_tokens": 9}, "max_completion_tokens"),
        ({"max_tokens": 16}, "max_tokens"),
        ({"n": 3}, "n"),
        ({"best_of": 3}, "best_of"),
        ({"n": 3, "best_of": 3}, "n"),
        ({"n": 1, "use_beam_search": True, "best_of": 3}, "best_of"),
    ],
    ids=str,
)
async def test_more_than_the_key_allows_is_refused_by_name(
    open_with: Any, body: Json, param: str, is_stream: bool
) -> None:
    api = open_with(KeyRights(max_tokens=8, max_n=2))
    for path, prompt in (("/v1/completions", {"prompt": "x"}), ("/v1/chat/completions", CHAT)):
        asked = {**prompt, **body, "stream": is_stream}
        assert await refusal(api, path, asked, 403) == ("insufficient_scope", param)
    assert not api.engine.requests


async def test_what_the_key_allows_is_the_default_where_that_is_less(open_with: Any) -> None:
    api = open_with(KeyRights(max_tokens=8, max_n=2))
    await api.complete({})
    await api.post("/v1/chat/completions", CHAT)
    await api.complete({"max_tokens": 8, "n": 2})
    assert [request.max_tokens for request in api.engine.requests] == [8, 8, 8]


async def test_a_wide_ceiling_leaves_the_usual_default(open_with: Any) -> None:
    api = open_with(KeyRights(max_tokens=100))
    await api.complete({})
    await api.complete({"max_tokens": 16})
    assert [request.max_tokens for request in api.engine.requests] == [16, 16]


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_request_is_never_more_urgent_than_its_key(open_with: Any, is_stream: bool) -> None:
    api = open_with(KeyRights(priority=5))
    for priority in (4, 0, -1):
        body = {"prompt": "x", "priority": priority, "stream": is_stream}
        assert await refusal(api, "/v1/completions", body, 403) == ("insufficient_scope", "priority")
    for allowed in ({}, {"priority": 5}, {"priority": 9}):
        await api.complete(allowed)
    assert [request.priority for request in api.engine.requests] == [5, 5, 9]


async def test_a_key_may_be_urgent(open_with: Any) -> None:
    api = open_with(KeyRights(priority=-3))
    await api.complete({"priority": -3})
    await api.complete({})
    assert [request.priority for request in api.engine.requests] == [-3, -3]


@pytest.mark.parametrize(
    ("networks", "address", "status"),
    [
        (("127.0.0.0/8",), "127.0.0.1", 200),
        (("10.0.0.0/8", "2001:db8::/32"), "2001:db8::7", 200),
        (("10.0.0.0/8",), "::ffff:10.1.2.3", 200),
        (("10.0.0.0/8",), "127.0.0.1", 403),
        (("10.0.0.1",), "10.0.0.2", 403),
        (("::/0",), "10.0.0.2", 403),
        (("10.0.0.0/8",), "no address", 403),
    ],
)
async def test_a_key_opens_from_its_networks_only(
    open_with: Any, networks: tuple[str, ...], address: str, status: int
) -> None:
    api = open_with(KeyRights(allow_ips=networks))
    transport = httpx2.ASGITransport(api.client._transport.app, client=(address, 1))
    async with httpx2.AsyncClient(transport=transport, headers=api.client.headers) as client:
        response = await client.get("http://127.0.0.1:8000/v1/models")
        assert response.status_code == status
        assert status == 200 or response.json()["error"]["code"] == "insufficient_scope"


@pytest.mark.parametrize(
    ("rights", "code"),
    [
        (KeyRights(not_before=int(time.time()) + 3600), "invalid_api_key"),
        (KeyRights(expires_at=int(time.time()) - 1), "key_expired"),
    ],
)
async def test_a_key_opens_within_its_time_only(open_with: Any, rights: KeyRights, code: str) -> None:
    assert await refusal(open_with(rights), "/v1/models", None, 401) == (code, None)
