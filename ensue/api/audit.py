"""/admin/audit: the newest records of the audit log."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ensue.api.protocol import AuditList, AuditObject
from ensue.errors import InvalidRequest, UnknownParameter, shown
from ensue.store.audit import AuditLog
from ensue.store.audit_record import AuditRecord

DEFAULT_LIMIT, MAX_LIMIT = 100, 1000
PARAMETERS = ("limit", "before")


class AuditEndpoint:
    """Reads the log of this server's data folder."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log

    async def list(self, request: Request) -> Response:
        """The newest records in their order; `?limit=` so many, `?before=` those with a lower number."""
        for name in request.query_params:
            if name not in PARAMETERS:
                raise UnknownParameter(f"There is no query parameter `{shown(name)}` here.", param=shown(name))
        limit = _number(request, "limit", MAX_LIMIT) or DEFAULT_LIMIT
        records = await asyncio.to_thread(self._log.read, limit, _number(request, "before", 2**63 - 1))
        content = msgspec.json.encode(AuditList(data=[_object(record) for record in records]))
        return Response(content, media_type="application/json")


def _number(request: Request, name: str, high: int) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20 and 1 <= int(text) <= high):
        raise InvalidRequest(f"{name} must be a whole number from 1 to {high}.", param=name)
    return int(text)


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
