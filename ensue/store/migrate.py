"""Bring a database to the present schema with Alembic; the only file that loads it.

Alembic is slow to import, and an up-to-date database needs none of it: ask `Database.is_current` first.
"""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from ensue.errors import StartupError
from ensue.store.db import Database, find_revision
from ensue.store.schema import REVISION

SCRIPTS = "ensue.store:migrations"


def upgrade(database: Database) -> None:
    """Run the missing migrations in one transaction; processes that start together wait for one another.

    Raises:
        StartupError: the database cannot be opened, or a later version of ensue made it.
    """
    database.create_file()
    config = Config()
    config.set_main_option("script_location", SCRIPTS)
    with database.write(alone=True) as connection:
        found = find_revision(connection)
        if found == REVISION:
            return
        if found is not None and found not in _known_revisions(config):
            raise StartupError(
                f"The database is at schema {found}, this version of ensue knows schemas up to {REVISION}: "
                "a later version made it. Start that version, or give another --data-dir."
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _known_revisions(config: Config) -> set[str]:
    return {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
