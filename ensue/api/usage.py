"""/admin/usage: what was used, by key, model and day."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ensue.api.protocol import UsageList, UsageSum
from ensue.errors import InvalidRequest, UnknownParameter, shown
from ensue.store.db import Database
from ensue.store.usage_report import as_csv, as_dict, parse_wanted, read_report

PARAMETERS = ("by", "from", "to", "key", "model", "format")
FORMATS = ("json", "csv")
MAX_ROWS = 50_000


class UsageEndpoint:
    """Reads the sums of a ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, request: Request) -> Response:
        """Sums by what `?by=` names, of the days `?from=` to `?to=`; `?format=csv` for tables."""
        parameters = _parameters(request)
        format_ = parameters.pop("format", "json")
        if format_ not in FORMATS:
            raise InvalidRequest(f"format must be one of {', '.join(FORMATS)}.", param="format")
        wanted = parse_wanted(parameters)
        rows = await asyncio.to_thread(read_report, self._database, wanted, MAX_ROWS)
        if format_ == "csv":
            return Response(as_csv(rows, wanted.by), media_type="text/csv")
        sums = [msgspec.convert(as_dict(row, wanted.by), UsageSum) for row in rows]
        return Response(msgspec.json.encode(UsageList(data=sums)), media_type="application/json")


def _parameters(request: Request) -> dict[str, str]:
    """Each at most once."""
    parameters: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in PARAMETERS:
            raise UnknownParameter(f"There is no query parameter `{shown(name)}` here.", param=shown(name))
        if name in parameters:
            raise InvalidRequest(f"{name} must be given once.", param=name)
        parameters[name] = value
    return parameters
