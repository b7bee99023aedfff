"""/admin/usage: what was used, by key, model and day."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ensue.api.fields import Choice, Text
from ensue.api.protocol import UsageList, UsageSum
from ensue.api.query import Parameter, Parameters, read_query
from ensue.store.db import Database
from ensue.store.usage import DIMENSIONS
from ensue.store.usage_report import as_csv, as_dict, parse_wanted, read_report

DAY = Text(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
QUERY: Parameters = {
    "by": Parameter(Text(), "What the sums are by: some of day, key and model", ",".join(DIMENSIONS)),
    "from": Parameter(DAY, "First day, UTC, like 2026-01-31"),
    "to": Parameter(DAY, "Last day, UTC"),
    "key": Parameter(Text(), "Only of the key with this id; empty: where nobody needs a key"),
    "model": Parameter(Text(), "Only of the model with this name"),
    "format": Parameter(Choice(("json", "csv")), "csv is for tables", "json"),
}
MAX_ROWS = 50_000


class UsageEndpoint:
    """Reads the sums of a ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, request: Request) -> Response:
        """Sums of requests and tokens by day, key and model."""
        parameters = read_query(request, QUERY)
        format_ = parameters.pop("format", "json")
        wanted = parse_wanted(parameters)
        rows = await asyncio.to_thread(read_report, self._database, wanted, MAX_ROWS)
        if format_ == "csv":
            return Response(as_csv(rows, wanted.by), media_type="text/csv")
        sums = [msgspec.convert(as_dict(row, wanted.by), UsageSum) for row in rows]
        return Response(msgspec.json.encode(UsageList(data=sums)), media_type="application/json")
