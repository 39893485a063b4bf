"""One workspace's state, opened: catalog, ledger and artifacts together."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

from filelock import FileLock

from feilun.errors import EnvironmentProblem
from feilun.store.artifacts import Artifacts
from feilun.store.blobs import Blobs
from feilun.store.catalog import Catalog
from feilun.store.database import CALL_SECONDS, Database, Durability, postgres_url, sqlite_url
from feilun.store.files import full_disk, private_secret
from feilun.store.ledger import Ledger
from feilun.store.ledger_allowances import Allowances
from feilun.store.ledger_invoices import InvoiceLog
from feilun.store.locks import file_lock, postgres_lock
from feilun.store.migrate import migrate
from feilun.store.records import ArtifactRow

__all__ = ["STATE", "Store", "open_store", "state_folder"]

STATE = ".feilun"
"""The folder of a workspace that holds everything but the projects' own files."""


def open_store(
    folder: Path,
    database: str | None = None,
    artifacts: Path | str | None = None,
    *,
    durability: Durability = "process",
) -> Store:
    """Opens the workspace `folder` (or its ``.feilun``), making or migrating what it needs.

    `database` is the URL of a PostgreSQL; by default three SQLite files lie in ``.feilun``.
    `artifacts` is a folder or an fsspec URL, by default ``.feilun/artifacts``. `durability` is what
    a commit survives on SQLite (see `Database`). Any number of processes may open one workspace,
    at the same time too. Raises `EnvironmentProblem` when a database or the disk does not let it,
    or is of a newer feilun.
    """
    state = state_folder(folder)
    try:
        with full_disk(state):
            # Callers' inputs lie in here.
            state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise EnvironmentProblem(
            "store.folder_not_writable", path=str(state), reason=error.strerror
        ) from None
    return Store(state, database, artifacts, durability)


def state_folder(folder: Path) -> Path:
    """The ``.feilun`` of the workspace `folder`, which may be that folder itself."""
    folder = folder.resolve()
    return folder if folder.name == STATE else folder / STATE


class Store:
    """An open workspace; a context manager that closes it.

    `folder` is the workspace's ``.feilun``; `catalog`, `ledger`, `invoices`, `allowances` and
    `artifacts` what they say; `keys` the catalog again, with the patience of a caller
    (`CALL_SECONDS`, which the ledger's group commits have too): what a call asks about keys goes
    there; `dbos_url` where the durable workflows keep theirs (schema ``dbos`` on PostgreSQL).
    """

    def __init__(
        self,
        folder: Path,
        database: str | None,
        artifacts: Path | str | None,
        durability: Durability = "process",
    ) -> None:
        self.folder = folder
        self.sqlite = database is None
        if database is None:
            urls = {name: sqlite_url(self.folder / f"{name}.db") for name in ("catalog", "ledger")}
            self.dbos_url = f"sqlite:///{self.folder / 'dbos.db'}"
        else:
            url = postgres_url(database)
            urls = {"catalog": url, "ledger": url}
            self.dbos_url = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self.databases = {
            name: Database(url, name, durability=durability) for name, url in urls.items()
        }
        self._for_calls = {
            name: Database(url, name, patience=CALL_SECONDS, durability=durability)
            for name, url in urls.items()
        }
        try:
            self._migrate()
            self.blobs = Blobs(self.folder / "inputs")
            self.catalog = Catalog(self.databases["catalog"])
            self.keys = Catalog(self._for_calls["catalog"])
            self.ledger = Ledger(self.databases["ledger"], self.blobs, self._for_calls["ledger"])
            self.invoices = InvoiceLog(self.databases["ledger"])
            self.allowances = Allowances(self._for_calls["ledger"])
            self.artifacts = Artifacts(
                artifacts or self.folder / "artifacts", self.folder / "cache"
            )
        except BaseException:
            self.close()
            raise

    def publish(self, folder: Path, kind: str) -> ArtifactRow:
        """Makes `folder` an artifact (see `Artifacts.publish`) and notes it in the catalog."""
        ref = self.artifacts.publish(folder, kind)
        return self.catalog.add_artifact(ref, kind, self.artifacts.size(ref))

    def lock(self, project: str) -> AbstractContextManager[None]:
        """The right to execute `project`'s runs, for the length of a ``with``.

        Raises `AlreadyRunning` at once, with the holder's pid, when another has it. It ends with
        the process, however that ends.
        """
        if self.sqlite:
            return file_lock(self.folder / "locks", project)
        return postgres_lock(self.databases["catalog"], project)

    def run_folder(self, run_id: str) -> Path:
        """A folder for the private files of one run (checkpoints), which survives its process.

        `gc` removes it once the run has finished or was refused.
        """
        path = self.folder / "scratch" / run_id
        with full_disk(path):
            path.mkdir(parents=True, exist_ok=True)
        return path

    def run_folders(self) -> list[Path]:
        """The folders that `run_folder` made, of runs that may be over."""
        return sorted(path for path in (self.folder / "scratch").glob("*") if path.is_dir())

    def search_url(self) -> str:
        """Where searches keep their trials: a SQLite file beside the others, or a schema of the
        PostgreSQL database. Made when first asked for."""
        return self.databases["catalog"].beside("search")

    def secret(self) -> str:
        """The workspace's secret, with which its processes know each other; made when first
        asked for, and readable by the owner alone."""
        return private_secret(self.folder / "secret")

    def close(self) -> None:
        """Closes the databases."""
        for database in (*self.databases.values(), *self._for_calls.values()):
            database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _migrate(self) -> None:
        for database in self.databases.values():
            if self.sqlite:
                # The very first opening switches the file to WAL, which waits for nobody.
                with FileLock(self.folder / "migrate.lock"):
                    migrate(database)
            else:
                migrate(database)
