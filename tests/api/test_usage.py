"""/admin/usage: for admin keys alone."""

from __future__ import annotations

import pytest

from ensue.rights import SCOPES, KeyRights
from ensue.store.keys import KeyStore
from tests.api.conftest import Api, MakeApi
from tests.store.ledger_tools import batch, reservation, settlement, write

NUMBERS = {"prompt_tokens": 10, "cached_tokens": 4, "completion_tokens": 5, "total_tokens": 15}


@pytest.fixture
def api(make_api: MakeApi, keys: KeyStore) -> Api:
    """A caller with an admin key, and a ledger with two requests."""
    write(keys._database, batch(reservation(1), reservation(2, key_id=None), settlement(1), settlement(2)))
    api = make_api(keys=keys, usage=keys._database)
    _, token = keys.create("admin", KeyRights(scopes=frozenset(SCOPES)))
    api.client.headers["authorization"] = f"Bearer {token}"
    return api


async def test_usage_is_listed_by_day_key_and_model(api: Api) -> None:
    answer = (await api.client.get("/admin/usage")).json()
    shared = {"object": "usage_sum", "day": "2026-03-10", "key_name": None, "model": "tiny", "requests": 1} | NUMBERS
    assert answer == {"object": "list", "data": [shared | {"key_id": None}, shared | {"key_id": "key_a"}]}


async def test_usage_is_summed_by_what_is_asked(api: Api) -> None:
    answer = (await api.client.get("/admin/usage?by=model&from=2026-03-01&to=2026-03-31&key=key_a")).json()
    assert answer["data"] == [{"object": "usage_sum", "model": "tiny", "requests": 1} | NUMBERS]


async def test_usage_can_be_had_as_a_table(api: Api) -> None:
    answer = await api.client.get("/admin/usage?by=key&format=csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.text.splitlines()[1:] == [",,1,10,4,5,15", "key_a,,1,10,4,5,15"]


@pytest.mark.parametrize(
    ("query", "param"),
    [("by=user", "by"), ("from=1", "from"), ("format=xml", "format"), ("limit=9", "limit"), ("key=a&key=b", "key")],
)
async def test_other_questions_are_refused(api: Api, query: str, param: str) -> None:
    answer = await api.client.get(f"/admin/usage?{query}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_single_requests_are_listed_page_by_page(api: Api) -> None:
    first = (await api.client.get("/admin/usage/requests?limit=1&to=2026-03-10")).json()["data"]
    assert [(row["id"], row["key_id"], row["finish"]) for row in first] == [("req_2", None, "stop")]
    second = (await api.client.get("/admin/usage/requests?before=req_2&from=2026-03-10")).json()["data"]
    assert [(row["object"], row["id"], row["key_id"]) for row in second] == [("usage_request", "req_1", "key_a")]


async def test_single_requests_can_be_had_as_a_table(api: Api) -> None:
    answer = await api.client.get("/admin/usage/requests?key=key_a&format=csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.text.splitlines()[1].startswith("req_1,1773144000,key_a,,/v1/completions,tiny,,10,4,5,stop,200")


@pytest.mark.parametrize(
    ("query", "param"),
    [("limit=0", "limit"), ("limit=1001", "limit"), ("before=x", "before"), ("from=1", "from"), ("by=day", "by")],
)
async def test_other_questions_about_requests_are_refused(api: Api, query: str, param: str) -> None:
    answer = await api.client.get(f"/admin/usage/requests?{query}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize("path", ["/admin/usage", "/admin/usage/requests"])
async def test_a_user_key_may_not_see_usage(api: Api, keys: KeyStore, path: str) -> None:
    _, token = keys.create("user")
    answer = await api.client.get(path, headers={"authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "insufficient_scope")
