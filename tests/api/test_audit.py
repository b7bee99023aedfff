"""What a refused request leaves in the audit log: where it came from, and nothing of its token."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from ensue.api.app import create_app
from ensue.config import Config, ServerConfig
from ensue.engine.fake import FakeEngine
from ensue.metrics import Metrics
from ensue.rights import KeyRights
from ensue.served_models import ServedModels
from ensue.store.audit import AuditLog, AuditRecord
from ensue.store.keys import KeyStore
from ensue.store.refusals import RefusalLog

MakeModels = Callable[..., ServedModels]
Says = Callable[..., FakeEngine]


async def refused(
    tmp_path: Path, make_models: MakeModels, says: Says, keys: KeyStore, headers: dict[str, str]
) -> AuditRecord:
    """The record of one request that is refused."""
    log = AuditLog(tmp_path / "audit.jsonl")
    refusals = RefusalLog(log)
    config = Config(server=ServerConfig(trusted_proxies=("127.0.0.1",)))
    app = create_app(make_models(says("x")), keys, Metrics(), config, refusals=refusals)
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
