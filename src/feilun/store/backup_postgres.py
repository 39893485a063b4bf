"""The rows of a PostgreSQL in files and back, over the driver alone: no pg_dump need be there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, MetaData, select, text

from feilun.store import tables_catalog, tables_ledger
from feilun.store.backup_parts import Dump, TableFile
from feilun.store.catalog import references
from feilun.store.database import Database
from feilun.store.store import Store

__all__ = ["dump", "load"]

_SCHEMAS = ("catalog", "ledger", "dbos")
# The state of a schema is not its content: the migrations write it themselves.
_NOT_CONTENT = {"alembic_version", "dbos_migrations"}
_CHUNK = 1 << 20


def dump(store: Store, folder: Path) -> Dump:
    """Writes the rows of every table into `folder`, all as of one moment."""
    engine = store.databases["catalog"].engine.execution_options(
        isolation_level="REPEATABLE READ", postgresql_readonly=True
    )
    with engine.connect() as connection:
        tables = [
            _dump_table(connection, schema, table, folder)
            for schema in _SCHEMAS
            for table in _tables(connection, schema)
        ]
        refs = references(connection)
        in_ledger = connection.execution_options(schema_translate_map={None: "ledger"})
        inputs = set(in_ledger.scalars(select(tables_ledger.prediction_blobs.c.hash)))
    return Dump(refs, inputs, tables)


def load(database: Database, tables: Sequence[TableFile], source: Path, *, dbos: bool) -> None:
    """Reads the rows back into empty tables, in one transaction; those of the schema ``dbos``
    only with `dbos`, when its tables are there."""
    by_name = {(table.schema, table.table): table for table in tables}
    with database.write() as connection:
        # The migration begins the epoch; the backup goes on with its own.
        connection.execute(text("DELETE FROM catalog.counters"))
        for schema, metadata in (
            ("catalog", tables_catalog.metadata),
            ("ledger", tables_ledger.metadata),
            ("dbos", _reflected(connection) if dbos else MetaData()),
        ):
            for table in metadata.sorted_tables:
                file = by_name.get((schema, table.name))
                if file is None:
                    continue
                if schema == "dbos":
                    connection.execute(table.delete())
                _load_table(connection, file, source)
        for table in tables_catalog.metadata.sorted_tables:
            column = table.autoincrement_column
            if column is not None:
                _go_on_counting(connection, table.name, column.name)


def _tables(connection: Connection, schema: str) -> list[str]:
    found = connection.scalars(
        text(
            "SELECT table_name FROM information_schema.tables"
            " WHERE table_schema = :schema AND table_type = 'BASE TABLE' ORDER BY table_name"
        ),
        {"schema": schema},
    )
    return [name for name in found if name not in _NOT_CONTENT]


def _dump_table(connection: Connection, schema: str, table: str, folder: Path) -> TableFile:
    columns = connection.scalars(
        text(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_schema = :schema AND table_name = :table AND is_generated = 'NEVER'"
            " ORDER BY ordinal_position"
        ),
        {"schema": schema, "table": table},
    )
    file = TableFile(schema, table, list(columns), f"databases/{schema}.{table}.copy")
    with (
        _cursor(connection) as cursor,
        cursor.copy(f"COPY {_named(file)} TO STDOUT") as rows,
        (folder / Path(file.file).name).open("wb") as output,
    ):
        for piece in rows:
            output.write(piece)
    return file


def _load_table(connection: Connection, file: TableFile, source: Path) -> None:
    with (
        _cursor(connection) as cursor,
        cursor.copy(f"COPY {_named(file)} FROM STDIN") as rows,
        (source / file.file).open("rb") as rows_file,
    ):
        while piece := rows_file.read(_CHUNK):
            rows.write(piece)


def _named(file: TableFile) -> str:
    columns = ", ".join(_quoted(name) for name in file.columns)
    return f"{_quoted(file.schema)}.{_quoted(file.table)} ({columns})"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _cursor(connection: Connection) -> Any:
    driver: Any = connection.connection.driver_connection
    return driver.cursor()


def _reflected(connection: Connection) -> MetaData:
    metadata = MetaData()
    metadata.reflect(connection, schema="dbos")
    return metadata


def _go_on_counting(connection: Connection, table: str, column: str) -> None:
    """Ids after a restore continue behind those that were restored."""
    sequence = connection.scalar(
        text("SELECT pg_get_serial_sequence(:table, :column)"),
        {"table": f"catalog.{table}", "column": column},
    )
    if sequence is not None:
        last = connection.scalar(text(f"SELECT max({_quoted(column)}) FROM catalog.{table}"))
        if last is not None:
            connection.execute(
                text("SELECT setval(:name, :last)"), {"name": sequence, "last": last}
            )
