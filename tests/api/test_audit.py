"""What a refused request leaves in the audit log: where it came from, and nothing of its token."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from ensue.api.app import Access, create_app
from ensue.config import Config, ServerConfig
from ensue.engine.fake import FakeEngine
from ensue.metrics import Metrics
from ensue.rights import SCOPES, KeyRights
from ensue.served_models import ServedModels
from ensue.store.audit import AuditLog
from ensue.store.audit_record import AuditRecord
from ensue.store.keys import KeyStore
from ensue.store.refusals import RefusalLog
from tests.api.conftest import Api, MakeApi

MakeModels = Callable[..., ServedModels]
Says = Callable[..., FakeEngine]


async def refused(
    tmp_path: Path, make_models: MakeModels, says: Says, keys: KeyStore, headers: dict[str, str]
) -> AuditRecord:
    """The record of one request that is refused."""
    log = AuditLog(tmp_path / "audit.jsonl")
    refusals = RefusalLog(log)
    config = Config(server=ServerConfig(trusted_proxies=("127.0.0.1",)))
    app = create_app(make_models(says("x")), Metrics(), config, Access(keys, refusals=refusals))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1:8000") as client:
        response = await client.get("/metrics", headers={"x-forwarded-for": "192.0.2.7"} | headers)
    refusals.close()
    (record,) = log.read()
    assert record.details["request_id"] == response.headers["x-request-id"]
    assert record.details["address"] == "192.0.2.7"
    assert (record.event, record.target) == ("auth.refused", "/metrics")
    return record


@pytest.mark.parametrize("token", ["sk-ensue-" + "A" * 43, "short"])
async def test_unknown_token_is_not_in_the_record(
    tmp_path: Path, make_models: MakeModels, says: Says, keys: KeyStore, token: str
) -> None:
    record = await refused(tmp_path, make_models, says, keys, {"authorization": f"Bearer {token}"})
    assert record.details["code"] == "invalid_api_key"
    assert token not in (tmp_path / "audit.jsonl").read_text()


async def test_missing_scope_is_recorded(tmp_path: Path, make_models: MakeModels, says: Says, keys: KeyStore) -> None:
    _, token = keys.create("k", KeyRights(scopes=frozenset({"chat"})))
    record = await refused(tmp_path, make_models, says, keys, {"authorization": f"Bearer {token}"})
    assert record.details["code"] == "insufficient_scope"


@pytest.fixture
def admin(make_api: MakeApi, keys: KeyStore) -> Api:
    """A caller with an admin key, whose making is not in the log of the server."""
    api = make_api(keys=keys)
    _, token = keys.create("admin", KeyRights(scopes=frozenset(SCOPES)))
    api.client.headers["authorization"] = f"Bearer {token}"
    return api


async def test_admin_reads_what_admins_did(admin: Api) -> None:
    made = [(await admin.client.post("/admin/keys", json={"name": f"k{i}"})).json()["id"] for i in range(4)]
    listed = (await admin.client.get("/admin/audit")).json()["data"]
    assert [(record["event"], record["target"]) for record in listed] == [("key.created", key) for key in made]
    some = (await admin.client.get("/admin/audit", params={"limit": 2, "before": 4})).json()["data"]
    assert [record["target"] for record in some] == made[1:3]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "limit=-1", "before=\u0663", "before=99999999999999999999", "x=1"]
)
async def test_bad_query_is_refused_by_name(admin: Api, query: str) -> None:
    response = await admin.client.get(f"/admin/audit?{query}")
    assert (response.status_code, response.json()["error"]["param"]) == (400, query.partition("=")[0])


async def test_user_key_reads_no_log(make_api: MakeApi, keys: KeyStore) -> None:
    api = make_api(keys=keys)
    headers = {"authorization": f"Bearer {keys.create('k')[1]}"}
    assert (await api.client.get("/admin/audit", headers=headers)).status_code == 403
