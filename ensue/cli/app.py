"""The table of commands."""

from __future__ import annotations

from typing import Annotated

import typer

from ensue import __version__
from ensue.cli import audit, config, keys, usage
from ensue.cli.complete import complete
from ensue.cli.serve import serve
from ensue.cli.settings import with_settings
from ensue.cli.warm import warm

app = typer.Typer(
    name="ensue",
    help="The completions API of an LLM provider in a box.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ensue {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """The options of `ensue` itself."""


app.command()(with_settings(serve))
app.command()(complete)
app.command()(warm)
app.add_typer(keys.app)
app.add_typer(audit.app)
app.add_typer(usage.app)
app.add_typer(config.app)
