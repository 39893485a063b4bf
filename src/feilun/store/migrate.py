"""Brings a database to the tables that this feilun knows, however many processes open it at once.

Opening an up-to-date workspace asks one row. The revisions lie in ``migrations/catalog`` and
``migrations/ledger``, one file each, and are named by number. Alembic, which takes them one after
the other, is imported only when there is something to migrate: a new SQLite database begins with
the statements of ``sqlite.sql`` beside them, which scripts/tables.py writes.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from feilun.errors import EnvironmentProblem
from feilun.store.database import Database

__all__ = ["current", "head", "migrate", "script"]

_FOLDER = Path(__file__).parent / "migrations"


def head(schema: str) -> str:
    """The newest revision of ``catalog`` or ``ledger`` that this feilun knows."""
    return max(path.name.partition("_")[0] for path in (_FOLDER / schema).glob("[0-9]*_*.py"))


def script(schema: str) -> Path:
    """The file with the statements, a blank line between two, that a new SQLite database begins
    with."""
    return _FOLDER / schema / "sqlite.sql"


def current(database: Database) -> str | None:
    """The revision that the database is at, None for an empty one."""
    with database.read() as connection:
        return _revision(connection, database)


def migrate(database: Database, to: str | None = None) -> bool:
    """Migrates to `to`, by the revisions alone, or to `head`, in one transaction; whether there was
    anything to do.

    Raises `EnvironmentProblem` for a database of a newer feilun.
    """
    wanted = to or head(database.schema)
    if _known(current(database), wanted, database) == wanted:
        return False
    with database.write() as connection:
        if not database.sqlite:
            # SQLite's writer is alone from the start; here the others wait at this line.
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('feilun.migrate'))"))
            connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{database.schema}"'))
        revision = _known(_revision(connection, database), wanted, database)
        if revision == wanted:
            return False
        if revision is None and to is None and database.sqlite:
            for statement in script(database.schema).read_text("utf-8").split("\n\n"):
                connection.exec_driver_sql(statement)
            revision = _revision(connection, database)
        if revision != wanted:
            _upgrade(connection, database.schema, wanted)
    return True


def _known(revision: str | None, wanted: str, database: Database) -> str | None:
    if revision is not None and revision > wanted:
        raise EnvironmentProblem(
            "store.newer_database", url=database.shown(), revision=revision, known=wanted
        )
    return revision


def _revision(connection: Connection, database: Database) -> str | None:
    schema = None if database.sqlite else database.schema
    if not inspect(connection).has_table("alembic_version", schema=schema):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def _upgrade(connection: Connection, schema: str, to: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("path_separator", "newline")
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("version_locations", str(_FOLDER / schema).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, to)
