"""The limits of keys on running servers with one API process and with several, their database beneath them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import httpx2
import pytest

from ensue.rights import KeyRights
from ensue.store.db import Database, sqlite_url
from ensue.store.keys import KeyStore
from tests.product.server import Server, running_server

BODY = {"prompt": [5, 6, 7], "max_tokens": 2, "ignore_eos": True}  # 5 tokens
MakeClient = Callable[[KeyRights], httpx2.AsyncClient]


@pytest.fixture(scope="module", params=[1, 3], ids=["one process", "three processes"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("data"), "--api-workers", str(request.param)) as started:
        yield started


@pytest.fixture
def keys(server: Server) -> Iterator[KeyStore]:
    database = Database(sqlite_url(server.data_dir / "ensue.db"))
    store = KeyStore(database)
    yield store
    store.close()
    database.close()


@pytest.fixture
async def client_with(server: Server, keys: KeyStore) -> AsyncIterator[MakeClient]:
    clients: list[httpx2.AsyncClient] = []

    def make(rights: KeyRights) -> httpx2.AsyncClient:
        headers = {"authorization": f"Bearer {keys.create('limited', rights)[1]}"}
        clients.append(httpx2.AsyncClient(base_url=server.url, headers=headers, timeout=60))
        return clients[-1]

    yield make
    for client in clients:
        await client.aclose()


async def post_many(client: httpx2.AsyncClient, count: int) -> list[int]:
    answers = await asyncio.gather(*(client.post("/v1/completions", json=BODY) for _ in range(count)))
    return [answer.status_code for answer in answers]


@pytest.mark.parametrize(
    "rights", [KeyRights(requests_per_minute=10), KeyRights(tokens_per_minute=54), KeyRights(token_budget=54)], ids=repr
)
async def test_parallel_requests_are_limited_exactly(client_with: MakeClient, rights: KeyRights) -> None:
    statuses = await post_many(client_with(rights), 200)
    assert (statuses.count(200), statuses.count(429)) == (10, 190)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_budget_is_used_to_its_last_token_by_one_who_asks_at_once_again(
    client_with: MakeClient, stream: bool
) -> None:
    client = client_with(KeyRights(token_budget=25, token_budget_per_day=1000))
    answers = [await client.post("/v1/completions", json=BODY | {"stream": stream}) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert answers[-1].json()["error"]["code"] == "insufficient_quota"
    assert answers[-1].headers["x-should-retry"] == "false"


async def test_places_are_free_again(client_with: MakeClient) -> None:
    client = client_with(KeyRights(concurrent=2))
    statuses = await post_many(client, 40)
    assert set(statuses) <= {200, 429}
    assert statuses.count(200) >= 2
    for _ in range(4):
        assert await post_many(client, 1) == [200]
