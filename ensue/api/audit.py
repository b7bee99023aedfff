"""/admin/audit: the newest records of the audit log."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ensue.api.fields import Integer
from ensue.api.protocol import AuditList, AuditObject
from ensue.api.query import Parameter, Parameters, read_query
from ensue.store.audit import AuditLog
from ensue.store.audit_record import AuditRecord

DEFAULT_LIMIT, MAX_LIMIT = 100, 1000
QUERY: Parameters = {
    "limit": Parameter(Integer(1, MAX_LIMIT), "How many", DEFAULT_LIMIT),
    "before": Parameter(Integer(low=1), "Records with a lower number than this one"),
}


class AuditEndpoint:
    """Reads the log of this server's data folder."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log

    async def list(self, request: Request) -> Response:
        """The newest records in their order."""
        asked = read_query(request, QUERY)
        records = await asyncio.to_thread(self._log.read, asked.get("limit", DEFAULT_LIMIT), asked.get("before"))
        content = msgspec.json.encode(AuditList(data=[_object(record) for record in records]))
        return Response(content, media_type="application/json")


def _object(record: AuditRecord) -> AuditObject:
    return AuditObject(
        number=record.number,
        at=record.at,
        event=record.event,
        actor=record.actor,
        target=record.target,
        details=dict(record.details),
        hash=record.hash,
    )
