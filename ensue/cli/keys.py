"""`ensue keys`: API keys made, listed, changed, rotated and revoked on the host."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ensue.cli.key_options import rights_of, with_rights
from ensue.cli.place import Place
from ensue.errors import ConfigError
from ensue.rights import MAX_OVERLAP_S
from ensue.times import parse_duration

app = typer.Typer(name="keys", help="Make, list, change, rotate and revoke API keys.", no_args_is_help=True)

DataDir = Annotated[str | None, typer.Option("--data-dir", help="Folder of the server's data.", show_default="./.data")]
DatabaseUrl = Annotated[str | None, typer.Option("--database-url", help="Where keys are, if not in that folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Key = Annotated[str, typer.Argument(metavar="KEY", help="Id of the key, or its name where no other has it.")]
Name = Annotated[str | None, typer.Option("--name", help="What people call it.", show_default=False)]
Owner = Annotated[str | None, typer.Option("--owner", help="Who has it.", show_default=False)]


@app.command()
@with_rights
def create(
    *,
    name: Name = None,
    owner: Owner = None,
    admin: Annotated[
        bool, typer.Option("--admin", help="May manage keys by HTTP; with all scopes by default.")
    ] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
    **given: Any,
) -> None:
    """Make a key and print it, this once."""
    asked = {"name": name, "owner": owner, "rights": rights_of(given)}
    from ensue.cli import key_acts

    key_acts.create(Place(data_dir, database_url), asked, is_admin=admin, as_json=as_json)


@app.command("list")
def list_(*, data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """List all keys."""
    from ensue.cli import key_acts

    key_acts.list_all(Place(data_dir, database_url), as_json=as_json)


@app.command()
def show(key: Key, *, data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Show all that is known of a key."""
    from ensue.cli import key_acts

    key_acts.show(Place(data_dir, database_url), key, as_json=as_json)


@app.command()
@with_rights
def update(
    key: Key,
    *,
    name: Name = None,
    owner: Owner = None,
    disable: Annotated[
        bool | None, typer.Option("--disable/--enable", help="Stop it for a while; let it go on.")
    ] = None,
    no_admin: Annotated[bool, typer.Option("--no-admin", help="Take the scope admin away, for ever.")] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
    **given: Any,
) -> None:
    """Change what is given; `none` lifts a limit, a time, the addresses. An admin key stays one but for --no-admin."""
    asked = {"name": name, "owner": owner, "disabled": disable, "rights": rights_of(given)}
    if no_admin:
        asked["drops_admin"] = True
    if not any(value not in (None, {}) for value in asked.values()):
        raise ConfigError("There is nothing to change: give one of the options of `ensue keys update --help`.")
    from ensue.cli import key_acts

    key_acts.update(Place(data_dir, database_url), key, asked, as_json=as_json)


@app.command()
def rotate(
    key: Key,
    *,
    overlap: Annotated[str, typer.Option("--overlap", help="How long the old token goes on.")] = "24h",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Give a key another token and print it, this once; the old one goes on for the overlap."""
    try:
        overlap_s = parse_duration(overlap)
    except ValueError as error:
        raise ConfigError(f"--overlap must be {error}.") from None
    if overlap_s > MAX_OVERLAP_S:
        raise ConfigError(f"--overlap must be at most {MAX_OVERLAP_S // 86_400}d.")
    from ensue.cli import key_acts

    key_acts.rotate(Place(data_dir, database_url), key, overlap_s, as_json=as_json)


@app.command()
def revoke(key: Key, *, data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """End a key for ever; it stays in the list."""
    from ensue.cli import key_acts

    key_acts.revoke(Place(data_dir, database_url), key, as_json=as_json)
