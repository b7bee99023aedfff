"""`ensue audit`: read the audit log, and check that nothing in it was changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ensue.cli.place import Place

if TYPE_CHECKING:  # slow to import
    from ensue.store.audit import AuditLog

app = typer.Typer(name="audit", help="Read and check the audit log.", no_args_is_help=True)

DataDir = Annotated[str | None, typer.Option("--data-dir", help="Folder of the server's data.", show_default="./.data")]


@app.command()
def verify(
    *,
    data_dir: DataDir = None,
    first: Annotated[int, typer.Option("--first", help="Number of the first record that is still here.", min=1)] = 1,
) -> None:
    """Check the chain of hashes from the first record to the last, in all files of the log.

    Where files with older records were moved elsewhere, --first says with which record those that are here begin.
    """
    num_records, num_torn = _log(data_dir).verify(first)
    torn = f" {num_torn} unfinished lines, left by crashes, stand outside the chain." if num_torn else ""
    typer.echo(f"The audit log is whole: {num_records} records.{torn}")


@app.command()
def show(
    *,
    data_dir: DataDir = None,
    last: Annotated[int, typer.Option("--last", help="Number of records, the newest.", min=1)] = 50,
) -> None:
    """Print the newest records, one JSON object a line."""
    import json

    for record in _log(data_dir).read(last):
        typer.echo(json.dumps(record.as_dict()))


def _log(data_dir: str | None) -> AuditLog:
    from ensue.store.audit import AuditLog

    return AuditLog.of(Place(data_dir, None).config.server.data_dir)
