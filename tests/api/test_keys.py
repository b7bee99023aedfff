"""/admin/keys: who may use it, what can be set, and that nobody hands on more than she has."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from ensue.config import ServerConfig
from ensue.rights import LIMITS, SCOPES, TIMES, KeyRights
from ensue.store.audit import AuditLog
from ensue.store.keys import KeyStore
from tests.api.conftest import Api, Json, MakeApi

ALL = frozenset(SCOPES)
LIMITED: dict[str, Any] = {
    "models": ("llama-*",),
    "max_tokens": 50,
    "requests_per_minute": 10,
    "priority": 2,
    "expires_at": int(time.time()) + 1000,
    "allow_ips": ("127.0.0.0/8", "10.0.0.0/8"),
}


class Admin:
    """A caller with an admin key of some rights."""

    def __init__(self, api: Api, keys: KeyStore, rights: KeyRights) -> None:
        self.key, token = keys.create("admin", rights)
        self.headers = {"authorization": f"Bearer {token}"}
        self._api = api

    async def call(self, method: str, path: str = "", body: Json | None = None, status: int = 200) -> Json:
        response = await self._api.client.request(method, f"/admin/keys{path}", json=body, headers=self.headers)
        assert response.status_code == status, response.text
        return dict(response.json() if status == 200 else response.json()["error"])


@pytest.fixture
def api(make_api: MakeApi, keys: KeyStore) -> Api:
    return make_api(keys=keys)


@pytest.fixture
def admin(api: Api, keys: KeyStore) -> Admin:
    return Admin(api, keys, KeyRights(scopes=ALL, priority=-5))


@pytest.fixture
def limited(api: Api, keys: KeyStore) -> Admin:
    return Admin(api, keys, KeyRights(scopes=frozenset(["admin", "chat"]), **LIMITED))


ROUTES: list[tuple[str, str, Json | None]] = [
    ("GET", "", None),
    ("POST", "", {}),
    ("GET", "/key_1", None),
    ("PATCH", "/key_1", {}),
    ("DELETE", "/key_1", None),
    ("POST", "/key_1/revoke", None),
    ("POST", "/key_1/rotate", {}),
]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_a_user_key_may_use_none_of_it(
    api: Api, keys: KeyStore, method: str, path: str, body: Json | None
) -> None:
    user = Admin(api, keys, KeyRights(scopes=ALL - {"admin"}))
    assert (await user.call(method, path, body, 403))["code"] == "insufficient_scope"
    assert (await api.client.request(method, f"/admin/keys{path}", json=body)).status_code == 401


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_without_keys_there_is_nothing_to_manage(
    make_api: MakeApi, method: str, path: str, body: Json | None
) -> None:
    response = await make_api().client.request(method, f"/admin/keys{path}", json=body)
    assert (response.status_code, response.json()["error"]["code"]) == (404, "unknown_url")


@pytest.mark.parametrize(("method", "path", "body"), ROUTES[2:])
async def test_an_unknown_key_is_not_found(admin: Admin, method: str, path: str, body: Json | None) -> None:
    assert (await admin.call(method, path, body, 404))["code"] == "key_not_found"


async def test_a_key_is_made_with_all_that_is_asked_for_and_its_token_told_once(
    api: Api, admin: Admin, keys: KeyStore
) -> None:
    asked = {
        "name": "team",
        "owner": "Ann",
        "scopes": ["chat"],
        "models": ["tin*"],
        "max_n": 2,
        "priority": -5,
        "expires_at": "90d",
        "allow_ips": ["127.0.0.1"],
    }
    made = await admin.call("POST", body=asked)
    token = made.pop("key")
    assert await admin.call("GET", f"/{made['id']}") == made
    assert made in (await admin.call("GET"))["data"]
    shown = {name: made[name] for name in asked}
    assert shown == asked | {"expires_at": made["created_at"] + 90 * 86_400, "allow_ips": ["127.0.0.1/32"]}
    assert (made["maker"], made["state"], made["hint"]) == (admin.key.id, "active", token[-4:])
    assert (await keys.authenticate(token)).id == made["id"]


async def test_nothing_asked_for_is_an_ordinary_key_of_the_makers_limits(admin: Admin, limited: Admin) -> None:
    free, bound = await admin.call("POST", body={}), await limited.call("POST", body={})
    assert (free["scopes"], free["models"], free["max_tokens"]) == (["chat", "completions", "tokenize"], ["*"], None)
    assert bound["scopes"] == ["chat"]
    assert {name: bound[name] for name in LIMITED} == {
        name: list(value) if isinstance(value, tuple) else value for name, value in sorted(LIMITED.items())
    } | {"allow_ips": ["10.0.0.0/8", "127.0.0.0/8"]}


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize(
    ("field", "asked", "becomes"),
    [
        ("models", ["*"], ["llama-*"]),
        ("models", ["llama-8b", "other"], ["llama-8b"]),
        ("models", ["*-8b"], ["*-8b&llama-*"]),
        ("max_tokens", 51, 50),
        ("max_tokens", 49, 49),
        ("max_tokens", None, 50),
        ("requests_per_minute", 2**62, 10),
        ("priority", 1, 2),
        ("priority", 7, 7),
        ("expires_at", "9000d", LIMITED["expires_at"]),
        ("expires_at", None, LIMITED["expires_at"]),
        ("allow_ips", [], ["10.0.0.0/8", "127.0.0.0/8"]),
        ("allow_ips", ["0.0.0.0/0"], ["10.0.0.0/8", "127.0.0.0/8"]),
        ("scopes", ["chat", "completions", "metrics"], ["chat"]),
    ],
)
async def test_a_child_gets_no_more_than_its_maker_has(
    limited: Admin, method: str, field: str, asked: Any, becomes: Any
) -> None:
    path = "" if method == "POST" else f"/{(await limited.call('POST', body={}))['id']}"
    assert (await limited.call(method, path, {field: asked}))[field] == becomes


@pytest.mark.parametrize(
    ("body", "param"),
    [({"models": ["qwen"]}, "models"), ({"scopes": ["metrics"]}, "scopes"), ({"allow_ips": ["9.9.9.9"]}, "allow_ips")],
)
async def test_a_child_with_nothing_of_its_makers_is_refused(limited: Admin, body: Json, param: str) -> None:
    error = await limited.call("POST", body=body, status=403)
    assert (error["code"], error["param"]) == ("insufficient_scope", param)


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"scopes": ["admin"]}, "scopes[0]"),
        ({"scopes": ["chat", "Chat"]}, "scopes[1]"),
        ({"scopes": "chat"}, "scopes"),
        ({"admin": True}, "admin"),
        ({"id": "key_1"}, "id"),
        ({"maker": None}, "maker"),
        ({"key": "sk-ensue-mine"}, "key"),
        ({"digest": "0"}, "digest"),
        ({"created_at": 1}, "created_at"),
        ({"revoked_at": None}, "revoked_at"),
        ({"old_until": 2**40}, "old_until"),
        ({"max_token": 1}, "max_token"),
        ({"name": "a\nb"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 129}, "name"),
        ({"owner": 5}, "owner"),
        ({"disabled": "yes"}, "disabled"),
        ({"models": []}, "models"),
        ({"models": ["a&"]}, "models"),
        ({"max_n": 0}, "max_n"),
        ({"max_n": True}, "max_n"),
        ({"max_n": "5"}, "max_n"),
        ({"token_budget": 2**63}, "token_budget"),
        ({"expires_at": "soon"}, "expires_at"),
        ({"expires_at": 1}, "expires_at"),
        ({"expires_at": -1}, "expires_at"),
        ({"expires_at": 253_402_300_800}, "expires_at"),
        ({"expires_at": "1d", "not_before": "2d"}, "expires_at"),
        ({"allow_ips": ["10.0.0.1/8"]}, "allow_ips"),
        ({"allow_ips": ["localhost"]}, "allow_ips"),
    ],
    ids=str,
)
async def test_what_is_no_field_or_no_value_is_refused_by_name(
    admin: Admin, keys: KeyStore, method: str, body: Json, param: str
) -> None:
    target = keys.create("target")[0]
    error = await admin.call(method, "" if method == "POST" else f"/{target.id}", body, 400)
    assert error["param"] == param
    assert [key for key in keys.all() if key.id != admin.key.id] == [target]


async def test_unknown_fields_are_refused_also_where_others_only_warn(make_api: MakeApi, keys: KeyStore) -> None:
    admin = Admin(make_api(keys=keys, server=ServerConfig(unknown_parameters="warn")), keys, KeyRights(scopes=ALL))
    assert (await admin.call("POST", body={"max_token": 1}, status=400))["code"] == "unknown_parameter"


@pytest.mark.parametrize("name", ["name", "owner", "disabled", "scopes", "models"])
async def test_what_every_key_has_is_not_null(admin: Admin, keys: KeyStore, name: str) -> None:
    target = keys.create("target")[0]
    assert (await admin.call("PATCH", f"/{target.id}", {name: None}, 400))["param"] == name


async def test_null_lifts_whatever_is_a_limit(admin: Admin, keys: KeyStore) -> None:
    limits: dict[str, Any] = dict.fromkeys(LIMITS, 3)
    rights = KeyRights(**limits, priority=4, not_before=1, expires_at=2**40, allow_ips=("::1",))
    key, _ = keys.create("target", rights)
    await admin.call("PATCH", f"/{key.id}", dict.fromkeys((*LIMITS, *TIMES, "priority", "allow_ips")))
    assert keys.get(key.id).rights == KeyRights()


async def test_a_revoked_key_can_be_renamed_and_nothing_else(admin: Admin, keys: KeyStore) -> None:
    key, _ = keys.create("target")
    await admin.call("DELETE", f"/{key.id}")
    for body in ({"disabled": False}, {"max_n": None}):
        assert "revoked" in (await admin.call("PATCH", f"/{key.id}", body, 400))["message"]
    assert (await admin.call("PATCH", f"/{key.id}", {"name": "old"}))["name"] == "old"


async def test_a_change_is_of_the_given_fields_alone(admin: Admin, keys: KeyStore) -> None:
    key, _ = keys.create("target", KeyRights(max_n=3, max_tokens=9, priority=1), owner="Ann")
    changed = await admin.call("PATCH", f"/{key.id}", {"max_n": None, "max_tokens": 8, "disabled": True})
    before = await admin.call("GET", f"/{key.id}")
    assert changed == before
    assert {name: changed[name] for name in ("max_n", "max_tokens", "priority", "owner", "disabled", "state")} == {
        "max_n": None,
        "max_tokens": 8,
        "priority": 1,
        "owner": "Ann",
        "disabled": True,
        "state": "disabled",
    }


async def test_a_change_holds_at_once(api: Api, admin: Admin, keys: KeyStore) -> None:
    key, token = keys.create("target")
    headers = {"authorization": f"Bearer {token}"}
    assert (await api.client.get("/v1/models", headers=headers)).status_code == 200
    await admin.call("PATCH", f"/{key.id}", {"allow_ips": ["10.0.0.0/8"]})
    assert (await api.client.get("/v1/models", headers=headers)).status_code == 403
    await admin.call("POST", f"/{key.id}/revoke")
    assert (await api.client.get("/v1/models", headers=headers)).json()["error"]["code"] == "key_revoked"


async def test_a_rotated_key_opens_with_both_tokens(admin: Admin, keys: KeyStore) -> None:
    key, old = keys.create("target")
    rotated = await admin.call("POST", f"/{key.id}/rotate", {"overlap_s": 60})
    assert (rotated["id"], rotated["hint"]) == (key.id, rotated["key"][-4:])
    assert {(await keys.authenticate(token)).id for token in (old, rotated["key"])} == {key.id}
    await admin.call("POST", f"/{key.id}/rotate", {"overlap_s": -1}, 400)


@pytest.mark.parametrize(("method", "path"), [("DELETE", ""), ("POST", "/revoke")])
async def test_a_revoked_key_stays_in_the_list(admin: Admin, keys: KeyStore, method: str, path: str) -> None:
    key, _ = keys.create("target")
    assert (await admin.call(method, f"/{key.id}{path}"))["state"] == "revoked"
    states = {one["id"]: one["state"] for one in (await admin.call("GET"))["data"]}
    assert states == {admin.key.id: "active", key.id: "revoked"}
    await admin.call("POST", f"/{key.id}/rotate", {}, 400)


@pytest.mark.parametrize(("method", "path", "body"), ROUTES[3:])
async def test_an_admin_key_is_managed_on_the_host_only(
    admin: Admin, keys: KeyStore, method: str, path: str, body: Json | None
) -> None:
    other, _ = keys.create("other admin", KeyRights(scopes=frozenset(["admin"])))
    for key in (other, admin.key):
        error = await admin.call(method, path.replace("key_1", key.id), body, 403)
        assert "host" in error["message"]
        assert keys.get(key.id) == key


async def test_a_key_that_may_do_more_can_only_be_revoked(limited: Admin, keys: KeyStore) -> None:
    key, _ = keys.create("wide")
    await limited.call("POST", f"/{key.id}/rotate", {}, 403)
    await limited.call("PATCH", f"/{key.id}", {"name": "mine"}, 403)
    assert keys.get(key.id) == key
    assert (await limited.call("POST", f"/{key.id}/revoke"))["state"] == "revoked"


async def test_every_act_is_written_down_without_tokens(admin: Admin, tmp_path: Path) -> None:
    made = await admin.call("POST", body={"name": "team", "max_n": 2})
    path = f"/{made['id']}"
    await admin.call("PATCH", path, {"max_n": 1, "models": ["a", "b"]})
    rotated = await admin.call("POST", f"{path}/rotate", {"overlap_s": 5})
    await admin.call("DELETE", path)
    await admin.call("PATCH", path, {"max_n": 0}, 400)
    log = AuditLog(tmp_path / "audit.jsonl")
    records = [(record.event, dict(record.details)) for record in log.read()]
    assert records == [
        (
            "key.created",
            {"name": "team", "max_n": 2, "models": "*", "scopes": "chat completions tokenize"},
        ),
        ("key.updated", {"max_n": 1, "models": "a b"}),
        ("key.rotated", {"overlap_s": 5}),
        ("key.revoked", {}),
    ]
    assert {(record.actor, record.target) for record in log.read()} == {(admin.key.id, made["id"])}
    assert not [token for token in (made["key"], rotated["key"]) if token in log.path.read_text()]


async def test_an_act_that_cannot_be_written_down_does_not_happen(admin: Admin, keys: KeyStore, tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").mkdir()
    error = await admin.call("POST", body={}, status=503)
    assert error["message"] == "The audit log cannot be written: nothing was changed."
    assert [key.id for key in keys.all()] == [admin.key.id]


async def test_an_answer_with_a_token_is_not_to_be_kept(api: Api, admin: Admin) -> None:
    response = await api.client.post("/admin/keys", json={}, headers=admin.headers)
    assert response.headers["cache-control"] == "no-store"


async def test_the_routes_are_described(api: Api) -> None:
    described = (await api.client.get("/openapi.json")).json()
    assert set(described["paths"]["/admin/keys/{key_id}"]) == {"get", "patch", "delete"}
    assert "admin" not in described["components"]["schemas"]["KeyBody"]["properties"]["scopes"]["items"]["enum"]
