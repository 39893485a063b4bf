"""The project's exclusive lock: who holds it executes the project's runs, and nobody else.

On SQLite it is a lock of the operating system on a file, on PostgreSQL an advisory lock of a
connection held open. Both vanish with the process that holds them, however it ends.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import text

from feilun.errors import AlreadyRunning
from feilun.store.database import Database

__all__ = ["file_lock", "holder", "postgres_lock"]

_KEY = "hashtextextended('feilun.project.' || :project, 0)"


@contextmanager
def file_lock(folder: Path, project: str) -> Iterator[None]:
    """Holds the lock file of `project` in `folder`.

    Raises `AlreadyRunning` with the holder's pid when somebody has it; never waits.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{project}.lock"
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        pid = holder(folder, project)
        raise AlreadyRunning(
            "store.already_running", project=project, pid="?" if pid is None else pid
        ) from None
    try:
        # Writing through another descriptor leaves the lock, which is the kernel's, as it is.
        path.write_text(str(os.getpid()), "ascii")
        yield
    finally:
        with suppress(OSError):
            path.write_text("", "ascii")
        lock.release()


def holder(folder: Path, project: str) -> int | None:
    """The pid that is noted in the lock file; it holds only if the lock is held too."""
    with suppress(OSError, ValueError):
        return int((folder / f"{project}.lock").read_text("ascii"))
    return None


@contextmanager
def postgres_lock(database: Database, project: str) -> Iterator[None]:
    """Holds the advisory lock of `project` on a connection of its own; raises as `file_lock`."""
    # Out of the pool, and without a transaction: PostgreSQL ends idle ones in some set-ups.
    connection = database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    try:
        connection.execute(
            text("SELECT set_config('application_name', :name, false)"),
            {"name": f"feilun {platform.node()} {os.getpid()}"},
        )
        key = {"project": project}
        if not connection.scalar(text(f"SELECT pg_try_advisory_lock({_KEY})"), key):
            name = connection.scalar(
                text(
                    "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)"
                    " WHERE locktype = 'advisory' AND granted AND"
                    f" (classid::bigint << 32) | objid::bigint = {_KEY}"
                ),
                key,
            )
            pid = str(name or "").rpartition(" ")[2]
            raise AlreadyRunning("store.already_running", project=project, pid=pid or "?")
        yield
    finally:
        # Closed for good: the lock belongs to the connection, and the pool must not keep it.
        connection.invalidate()
        connection.close()
