"""One question to a database, asked for every group of calls, on a connection that is kept for it.

A pool looks after a connection each time it lends it, which costs more than the question.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

from sqlalchemy import PoolProxiedConnection
from sqlalchemy.exc import DBAPIError

from feilun.errors import EnvironmentProblem
from feilun.store.database import Database

__all__ = ["Probe"]


class Probe:
    """Asks `sql` for its one value. Safe to call from threads, one after the other."""

    def __init__(self, database: Database, sql: str) -> None:
        self._db = database
        self._sql = sql
        self._lock = threading.Lock()
        self._kept: PoolProxiedConnection | None = None
        database.on_close.append(self._let_go)

    def ask(self) -> Any:
        """The value as of now, outside of any transaction. Raises `EnvironmentProblem` when the
        database cannot be asked, after a second try on a new connection."""
        with self._lock:
            if self._kept is not None:
                with suppress(*self._errors):
                    return self._once(self._kept)
                self._let_go()  # the database was away meanwhile
            try:
                with self._db.plain_words():
                    self._kept = self._db.engine.raw_connection()
                if not self._db.sqlite:
                    driver: Any = self._kept.driver_connection
                    driver.autocommit = True
                return self._once(self._kept)
            except self._errors as error:
                self._let_go()
                raise EnvironmentProblem(
                    "store.database_unreachable", url=self._db.shown(), reason=str(error).strip()
                ) from error

    @property
    def _errors(self) -> tuple[type[Exception], ...]:
        error: type[Exception] = self._db.engine.dialect.loaded_dbapi.Error
        return (error, DBAPIError)

    def _once(self, kept: PoolProxiedConnection) -> Any:
        driver: Any = kept.driver_connection
        row = driver.execute(self._sql).fetchone()
        return None if row is None else row[0]

    def _let_go(self) -> None:
        if self._kept is not None:
            with suppress(*self._errors):
                self._kept.invalidate()
            self._kept = None
