"""One database: connections set up alike, readers and writers, failures in plain words.

On SQLite a writer begins with BEGIN IMMEDIATE: it waits for its turn at the start instead of
failing in the middle. On PostgreSQL each database here is a schema of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from feilun.errors import EnvironmentProblem, InvalidSettings

__all__ = [
    "BUSY_SECONDS",
    "CALL_SECONDS",
    "Database",
    "Durability",
    "postgres_url",
    "sqlite_url",
    "take_turns",
]

BUSY_SECONDS = 30
"""How long a writer waits for its turn."""

CALL_SECONDS = 5
"""How long what an answer waits for may take: a caller is told rather than kept."""

Durability = Literal["process", "power"]
"""What a commit survives: the death of any process, or the machine's loss of power as well."""

_FULL = ("SQLITE_FULL", "SQLITE_IOERR")
_BUSY = ("SQLITE_BUSY", "SQLITE_LOCKED")
_WAITED = ("57014", "55P03", "40P01")  # a statement's time was over, a lock was not to be had
_AWAY = ("08", "57P")  # connections lost, a server that stops or starts
_BROKEN = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


def postgres_url(text: str) -> URL:
    """The URL of a PostgreSQL with the driver that feilun uses (psycopg 3).

    Raises `InvalidSettings` for anything else; the message never shows a password.
    """
    try:
        url = make_url(text)
    except ArgumentError:
        raise InvalidSettings("store.database_url", url="…", faults=()) from None
    if url.get_backend_name() not in ("postgresql", "postgres") or not url.database:
        raise InvalidSettings("store.database_url", url=url.render_as_string(), faults=())
    return url.set(drivername="postgresql+psycopg")


def sqlite_url(path: object) -> URL:
    """The URL of a SQLite file."""
    return URL.create("sqlite", database=str(path))


class Database:
    """Readers and writers of one database.

    `url` as of `sqlite_url` or `postgres_url`; `schema` is used on PostgreSQL only. `patience` is
    how many seconds anything waits: a writer for its turn and, where it is not the default, on
    PostgreSQL every statement and every connection too. `durability` is SQLite's; PostgreSQL
    always survives both. `on_close` lets go of what was borrowed for longer.
    """

    def __init__(
        self,
        url: URL,
        schema: str,
        *,
        patience: int | None = None,
        durability: Durability = "process",
    ) -> None:
        self.url = url
        self.schema = schema
        self.sqlite = url.get_backend_name() == "sqlite"
        self.on_close: list[Callable[[], None]] = []
        self._patience = patience or BUSY_SECONDS
        if self.sqlite:
            self.engine = _sqlite_engine(url, self._patience, durability)
        else:
            self.engine = _postgres_engine(url, schema, self._patience)
        self._writer = self.engine.execution_options(feilun_write=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one state and changes nothing."""
        with self.plain_words(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction: all of it happens, or nothing."""
        with self.plain_words(), self._writer.begin() as connection:
            yield connection

    def beside(self, schema: str) -> str:
        """The URL, with its password, of another schema of this PostgreSQL for a library that keeps
        tables of its own; it is made where it is not there. Of SQLite a file beside this one."""
        if self.sqlite:
            file = Path(str(self.url.database)).with_name(f"{schema}.db")
            return sqlite_url(file).render_as_string()
        with self.write() as connection:
            connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'))
        url = self.url.update_query_dict({"options": f"-csearch_path={schema}"}, append=True)
        return url.render_as_string(hide_password=False)

    def close(self) -> None:
        """Closes all connections."""
        for close in self.on_close:
            close()
        self.engine.dispose()

    def shown(self) -> str:
        """The file, or the URL without its password."""
        return self.url.database or "" if self.sqlite else self.url.render_as_string()

    @contextmanager
    def plain_words(self) -> Iterator[None]:
        """Says what fails inside as `EnvironmentProblem`, where it is the machine's fault."""
        try:
            yield
        except NoSuchModuleError:
            raise EnvironmentProblem("store.no_driver", url=self.shown()) from None
        except PoolTimeout:
            raise self._busy() from None
        except DBAPIError as error:
            problem = self._problem(error)
            if problem is None:
                raise
            raise problem from error

    def _busy(self) -> EnvironmentProblem:
        return EnvironmentProblem("store.database_busy", path=self.shown(), seconds=self._patience)

    def _problem(self, error: DBAPIError) -> EnvironmentProblem | None:
        reason = str(error.orig).strip()
        if not self.sqlite:
            state = str(getattr(error.orig, "sqlstate", None) or "")
            if state in _WAITED:
                return self._busy()
            if error.connection_invalidated or "connect" in reason or state.startswith(_AWAY):
                return EnvironmentProblem(
                    "store.database_unreachable", url=self.shown(), reason=reason
                )
            if state == "53100":
                return EnvironmentProblem("store.disk_full", path=self.shown(), reason=reason)
            return None
        name = str(getattr(error.orig, "sqlite_errorname", ""))
        if name.startswith(_FULL):
            return EnvironmentProblem("store.disk_full", path=self.shown(), reason=reason)
        if name.startswith(_BUSY):
            return self._busy()
        if name.startswith(_BROKEN):
            return EnvironmentProblem("store.database_corrupt", path=self.shown(), reason=reason)
        if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
            return EnvironmentProblem("store.database_unreachable", url=self.shown(), reason=reason)
        return None


def _sqlite_engine(url: URL, patience: int, durability: Durability) -> Engine:
    engine = create_engine(
        url,
        connect_args={"timeout": patience},
        pool_size=8,
        max_overflow=56,
        hide_parameters=True,  # callers' texts are among them: neither logs nor errors show them
    )

    def set_up(connection: Any, _record: object) -> None:
        # The driver's own BEGIN comes too late (before the first change) and is not ours to choose.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout = {patience * 1000}",
            "journal_mode = WAL",
            f"synchronous = {'FULL' if durability == 'power' else 'NORMAL'}",
            "foreign_keys = ON",
            # Inputs that were deleted do not stay readable in the file.
            "secure_delete = FAST",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    event.listen(engine, "connect", set_up)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _postgres_engine(url: URL, schema: str, patience: int) -> Engine:
    milliseconds = patience * 1000
    impatient = patience != BUSY_SECONDS
    connect: dict[str, Any] = {}
    if impatient:
        connect = {"connect_timeout": patience, "tcp_user_timeout": milliseconds}
    try:
        engine = create_engine(
            url,
            pool_pre_ping=True,
            hide_parameters=True,
            pool_size=4,
            max_overflow=16,
            pool_timeout=patience,
            connect_args=connect,
        )
    except ImportError:
        raise EnvironmentProblem("store.no_driver", url=url.render_as_string()) from None

    def set_up(connection: Any, _record: object) -> None:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f'SET search_path TO "{schema}"')
            cursor.execute("SET synchronous_commit TO on")
            cursor.execute("SET timezone TO 'UTC'")
            if impatient:
                cursor.execute(f"SET statement_timeout TO {milliseconds}")
        connection.autocommit = False

    event.listen(engine, "connect", set_up)
    return engine


def take_turns(engine: Engine) -> None:
    """Lets every transaction of a library's own SQLite engine wait for its turn when it begins.
    Without it two processes may read the same row and both change it: SQLite has no FOR UPDATE."""
    if engine.dialect.name != "sqlite":
        return

    def set_up(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself

    event.listen(engine, "connect", set_up)
    event.listen(engine, "begin", lambda one: one.exec_driver_sql("BEGIN IMMEDIATE"))
    engine.dispose()  # what is open already was opened without it


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("feilun_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
