"""Who gets in: keys, scopes, hosts, origins."""

from __future__ import annotations

import pytest
from fastapi import FastAPI

from ensue.api.app import check_policies
from ensue.api.auth import OPEN, Guard
from ensue.config import ServerConfig
from ensue.errors import ConfigError
from ensue.hosts import is_loopback
from ensue.rights import KeyRights
from ensue.store.keys import KeyStore
from tests.api.conftest import Api, MakeApi

OPEN_PATHS = {"/health", "/ready", "/version", "/metrics", "/openapi.json", "/docs", "/docs/{file}"}


@pytest.fixture
def locked(make_api: MakeApi, keys: KeyStore) -> Api:
    return make_api(keys=keys)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_every_route_but_the_open_ones_asks_for_a_key(locked: Api) -> None:
    paths = (await locked.client.get("/openapi.json")).json()["paths"]
    for path, methods in paths.items():
        for method in methods:
            response = await locked.client.request(method, path.replace("{model}", "tiny"))
            assert (response.status_code == 401) == (path not in OPEN_PATHS), path
            if response.status_code == 401:
                assert response.headers["www-authenticate"] == "Bearer"
                assert response.json()["error"]["code"] is None


async def test_a_good_key_opens_and_the_scheme_may_be_lower_case(locked: Api, keys: KeyStore) -> None:
    _, token = keys.create("k")
    for headers in (bearer(token), {"authorization": f"bearer {token}"}):
        response = await locked.client.post("/v1/completions", json={"prompt": "x"}, headers=headers)
        assert response.status_code == 200


@pytest.mark.parametrize(
    "value", ["Bearer", "Bearer ", "Basic abc", "Bearer sk-ensue-wrong", "Bearer x'; --", "\xff\xfe"]
)
async def test_a_bad_key_is_a_401(locked: Api, value: str) -> None:
    headers = {b"authorization": value.encode("latin-1")}
    response = await locked.client.get("/v1/models", headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_api_key")


async def test_two_keys_are_none(locked: Api, keys: KeyStore) -> None:
    _, token = keys.create("k")
    headers = [("authorization", f"Bearer {token}")] * 2
    assert (await locked.client.get("/v1/models", headers=headers)).status_code == 401


async def test_a_key_elsewhere_than_in_its_header_is_none(locked: Api, keys: KeyStore) -> None:
    _, token = keys.create("k")
    assert (await locked.client.get("/v1/models", params={"api_key": token})).status_code == 401


async def test_a_key_needs_the_scope_of_the_route(locked: Api, keys: KeyStore) -> None:
    _, token = keys.create("k", KeyRights(scopes=frozenset(["chat"])))
    response = await locked.client.post("/v1/completions", json={"prompt": "x"}, headers=bearer(token))
    assert response.status_code == 403
    assert response.json()["error"]["type"] == "permission_denied"
    assert (await locked.client.get("/v1/models", headers=bearer(token))).status_code == 200


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:80", "[::1]:8000", "localhost."])
async def test_loopback_names_are_hosts_of_a_loopback_server(api: Api, host: str) -> None:
    assert (await api.client.get("/v1/models", headers={"host": host})).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "x/?", "x#", "", "localhost:99999999", "a b", "localhost@evil", "é"])
async def test_other_hosts_are_refused_but_probes_are_answered(api: Api, host: str) -> None:
    headers = {b"host": host.encode("latin-1")}
    assert (await api.client.get("/v1/models", headers=headers)).status_code == 400
    assert (await api.client.get("/version", headers=headers)).status_code == 400
    assert (await api.client.get("/health", headers=headers)).status_code == 200


async def test_two_hosts_are_refused(api: Api) -> None:
    headers = [("host", "localhost"), ("host", "localhost")]
    assert (await api.client.get("/v1/models", headers=headers)).status_code == 400


async def test_hosts_can_be_configured(make_api: MakeApi) -> None:
    api = make_api(server=ServerConfig(allowed_hosts=("Api.Example",)))
    assert (await api.client.get("/v1/models", headers={"host": "api.example:443"})).status_code == 200
    assert (await api.client.get("/v1/models")).status_code == 400


async def test_a_public_server_takes_any_valid_host(make_api: MakeApi, keys: KeyStore) -> None:
    api = make_api(server=ServerConfig(host="0.0.0.0"), keys=keys)
    assert (await api.client.get("/version", headers={"host": "any.example"})).status_code == 200
    assert (await api.client.get("/version", headers={"host": "x#"})).status_code == 400


FOREIGN = ["https://evil.example", "null", "http://127.0.0.1:9000", "http://[::1", "http://a]", "//127.0.0.1:8000", ""]


@pytest.mark.parametrize("origin", [*FOREIGN, "http://127.0.0.1:8000/x", "http://127.0.0.1:8000@evil.example"])
async def test_without_keys_foreign_origins_are_refused(api: Api, origin: str) -> None:
    response = await api.client.post("/v1/completions", json={"prompt": "x"}, headers={"origin": origin})
    assert response.status_code == 403


async def test_without_keys_our_own_origin_may(api: Api) -> None:
    response = await api.client.get("/v1/models", headers={"origin": "http://127.0.0.1:8000"})
    assert response.status_code == 200


async def test_with_a_key_any_origin_may(locked: Api, keys: KeyStore) -> None:
    _, token = keys.create("k")
    response = await locked.client.get("/v1/models", headers=bearer(token) | {"origin": "app://desktop"})
    assert response.status_code == 200


async def test_metrics_need_a_key_where_others_could_read_them(make_api: MakeApi, keys: KeyStore) -> None:
    api = make_api(server=ServerConfig(host="0.0.0.0"), keys=keys)
    assert (await api.client.get("/metrics")).status_code == 401
    _, token = keys.create("k", KeyRights(scopes=frozenset(["metrics"])))
    assert (await api.client.get("/metrics", headers=bearer(token))).status_code == 200


def test_a_route_without_a_policy_stops_the_start() -> None:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_api_route("/more", lambda: None)
    with pytest.raises(RuntimeError, match="/more has no policy"):
        check_policies(app)


async def test_every_route_is_guarded(api: Api) -> None:
    routes = api.client._transport.app.router.routes  # type: ignore[attr-defined]
    assert all(isinstance(route.app, Guard) for route in routes)
    assert {route.path for route in routes if not route.app.policy.needs_key} == OPEN_PATHS
    assert not OPEN.needs_key


@pytest.mark.parametrize(
    ("host", "is_local"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("127.8.8.8", True), ("0.0.0.0", False), ("::", False)],
)
def test_serving_without_keys_is_for_loopback(make_api: MakeApi, host: str, is_local: bool) -> None:
    assert is_loopback(host) == is_local
    if is_local:
        make_api(server=ServerConfig(host=host))
    else:
        with pytest.raises(ConfigError, match="loopback"):
            make_api(server=ServerConfig(host=host))
