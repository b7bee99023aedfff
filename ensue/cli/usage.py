"""`ensue usage`: what was used, read on the server's host, and rows of the ledger purged."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ensue.cli.place import Place
from ensue.errors import ConfigError

app = typer.Typer(
    name="usage", help="Show what was used, and by which requests; purge the ledger.", invoke_without_command=True
)

DataDir = Annotated[str | None, typer.Option("--data-dir", help="Folder of the server's data.", show_default="./.data")]
DatabaseUrl = Annotated[str | None, typer.Option("--database-url", help="Where it is, if not in that folder.")]


Form = Literal["json", "csv", "table"]


@app.callback()
def show(
    context: typer.Context,
    *,
    by: Annotated[list[str] | None, typer.Option("--by", help="day, key, model (repeatable); default: all.")] = None,
    first: Annotated[str | None, typer.Option("--from", help="First day, as 2026-01-31; UTC.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day; it counts, too.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="Id of a key, or its name where no other has it.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Canonical name of a model.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Show requests and tokens by day, key and model."""
    given = {"by": ",".join(by) if by else None, "from": first, "to": last, "key": key, "model": model}
    parameters = {name: value for name, value in given.items() if value is not None}
    if context.invoked_subcommand is not None:
        if parameters or as_json or as_csv or data_dir or database_url:
            raise ConfigError(f"Options of `ensue usage {context.invoked_subcommand}` stand after it.")
        return
    form = _form(as_json=as_json, as_csv=as_csv)
    from ensue.cli import usage_acts

    usage_acts.show(Place(data_dir, database_url), parameters, form)


@app.command()
def requests(
    *,
    first: Annotated[
        str | None, typer.Option("--from", help="First day or time: 2026-01-31, 2026-01-31T12:00Z.")
    ] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day, which counts, or time, which does not.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="Id of a key, or its name where no other has it.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Canonical name of a model.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="Label of the requests.")] = None,
    before: Annotated[str | None, typer.Option("--before", help="Those before the request with this id.")] = None,
    limit: Annotated[int, typer.Option("--limit", help="How many, the newest.", min=1)] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Show single requests, the newest first."""
    given = {"from": first, "to": last, "key": key, "model": model, "user": user, "before": before}
    parameters = {name: value for name, value in given.items() if value is not None}
    form = _form(as_json=as_json, as_csv=as_csv)
    from ensue.cli import usage_acts

    usage_acts.show_requests(Place(data_dir, database_url), parameters, limit, form)


@app.command()
def purge(
    *,
    before: Annotated[str, typer.Option("--before", help="The first day whose rows are kept, as 2026-01-31; UTC.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Delete the ledger's rows of earlier days; the sums that `ensue usage` shows stay."""
    from ensue.cli import usage_acts

    usage_acts.purge_before(Place(data_dir, database_url), before)


def _form(*, as_json: bool, as_csv: bool) -> Form:
    if as_json and as_csv:
        raise ConfigError("--json and --csv cannot both be had.")
    return "json" if as_json else "csv" if as_csv else "table"
