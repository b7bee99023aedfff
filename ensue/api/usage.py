"""/admin/usage: what was used, by key, model and day; and /admin/usage/requests: the single requests."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ensue.api.fields import Choice, Integer, Text
from ensue.api.protocol import UsageList, UsageRequest, UsageRequestList, UsageSum
from ensue.api.query import Parameter, Parameters, read_query
from ensue.store.db import Database
from ensue.store.usage import DIMENSIONS
from ensue.store.usage_report import as_csv, as_dict, parse_wanted, read_report
from ensue.store.usage_rows import DEFAULT_LIMIT, parse_rows_wanted, read_rows, rows_as_csv

FORMAT = Parameter(Choice(("json", "csv")), "csv is for tables", "json")
DAY = Text(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
QUERY: Parameters = {
    "by": Parameter(Text(), "What the sums are by: some of day, key and model", ",".join(DIMENSIONS)),
    "from": Parameter(DAY, "First day, UTC, like 2026-01-31"),
    "to": Parameter(DAY, "Last day, UTC"),
    "key": Parameter(Text(), "Only of the key with this id; empty: where nobody needs a key"),
    "model": Parameter(Text(), "Only of the model with this name"),
    "format": FORMAT,
}
MAX_ROWS = 50_000
MOMENT = Text(64)
ROWS_QUERY: Parameters = {
    "from": Parameter(MOMENT, "First day or time, UTC if it says nothing else, like 2026-01-31 or 2026-01-31T12:00Z"),
    "to": Parameter(MOMENT, "Last day, or the time before which they came"),
    "key": Parameter(Text(), "Only of the key with this id; empty: where nobody needs a key"),
    "model": Parameter(Text(), "Only of the model with this name"),
    "user": Parameter(Text(), "Only with this label"),
    "before": Parameter(Text(), "Only those before the request with this id: the next page"),
    "limit": Parameter(Integer(1, 1000), "How many", DEFAULT_LIMIT),
    "format": FORMAT,
}


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

    async def requests(self, request: Request) -> Response:
        """Single requests of the ledger, the newest first."""
        parameters = read_query(request, ROWS_QUERY)
        format_, limit = parameters.pop("format", "json"), parameters.pop("limit", DEFAULT_LIMIT)
        wanted = parse_rows_wanted(parameters, limit)
        rows = await asyncio.to_thread(read_rows, self._database, wanted)
        if format_ == "csv":
            return Response(rows_as_csv(rows), media_type="text/csv")
        listed = UsageRequestList(data=[msgspec.convert(row, UsageRequest) for row in rows])
        return Response(msgspec.json.encode(listed), media_type="application/json")
