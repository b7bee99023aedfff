"""`ensue audit`: read the audit log, and check that nothing in it was changed."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(name="audit", help="Read and check the audit log.", no_args_is_help=True)

DataDir = Annotated[str, typer.Option("--data-dir", help="Folder with the log.", envvar="ENSUE_DATA_DIR")]


@app.command()
def verify(data_dir: DataDir = "./.data") -> None:
    """Check the chain of hashes from the first record to the last."""
    from ensue.store.audit import AuditLog

    num_records, num_torn = AuditLog.of(data_dir).verify()
    torn = f" {num_torn} unfinished lines, left by crashes, stand outside the chain." if num_torn else ""
    typer.echo(f"The audit log is whole: {num_records} records.{torn}")


@app.command()
def show(
    data_dir: DataDir = "./.data",
    last: Annotated[int, typer.Option(help="Number of records, the newest.", min=1)] = 50,
) -> None:
    """Print the newest records, one JSON object a line."""
    import json

    from ensue.store.audit import AuditLog

    for record in AuditLog.of(data_dir).read(last):
        typer.echo(json.dumps(record.as_dict()))
