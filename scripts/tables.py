"""Writes ``sqlite.sql`` beside the store's revisions: the tables that they make, as a new SQLite
file takes them in one step.

    python scripts/tables.py            # after a new revision
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from feilun.store.database import Database, sqlite_url
from feilun.store.migrate import head, migrate, script

__all__ = ["main", "written"]


def written(schema: str) -> str:
    """What the revisions of `schema` leave in an empty database, a blank line between two
    statements."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "new.db"
        database = Database(sqlite_url(file), schema)
        migrate(database, head(schema))
        database.close()
        with closing(sqlite3.connect(file)) as connection:
            _, *statements, _ = connection.iterdump()  # in a transaction
    return "\n\n".join(statements) + "\n"


def main() -> int:
    """Writes both files."""
    for schema in ("catalog", "ledger"):
        script(schema).write_text(written(schema), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
