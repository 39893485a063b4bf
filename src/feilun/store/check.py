"""What ``feilun doctor`` asks of the store."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from sqlalchemy import text

from feilun.errors import FeilunError
from feilun.messages import t
from feilun.store.database import BUSY_SECONDS, Database
from feilun.store.ledger_records import CheckResult
from feilun.store.ledger_roots import FOLDER, read_roots
from feilun.store.migrate import current, head
from feilun.store.store import Store

__all__ = ["check"]

_LEAST_DISK = 2 << 30


def check(store: Store) -> list[CheckResult]:
    """Looks at every database, every artifact that is needed, and the disk. Reads all artifacts:
    seconds for each gigabyte."""
    results = [_database(database) for database in store.databases.values()]
    if store.sqlite and (store.folder / "dbos.db").exists():
        results.append(_file(store.folder / "dbos.db"))
    results.append(_ledger(store))
    results += _artifacts(store)
    results += [_disk(store.folder), _secret(store.folder / "secret")]
    return results


def _database(database: Database) -> CheckResult:
    name = t("store.check_database", name=database.schema)
    try:
        revision, wanted = current(database), head(database.schema)
        with database.read() as connection:
            found = "ok"
            if database.sqlite:
                found = str(connection.scalar(text("PRAGMA integrity_check(1)")))
    except FeilunError as error:
        return CheckResult(name, False, error.message(), error.hint())
    if found != "ok":
        detail = t("store.database_corrupt", path=database.shown(), reason=found)
        return CheckResult(name, False, detail, t("store.fix_restore"))
    return CheckResult(
        name, revision == wanted, f"{database.shown()} ({revision})", _fix(revision == wanted)
    )


def _fix(ok: bool) -> str:
    return "" if ok else t("store.fix_reopen")


def _file(path: Path) -> CheckResult:
    name = t("store.check_database", name=path.stem)
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as connection:
            found = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
    except sqlite3.Error as error:
        found = str(error)
    if found == "ok":
        return CheckResult(name, True, str(path))
    detail = t("store.database_corrupt", path=path, reason=found)
    return CheckResult(name, False, detail, t("store.fix_restore"))


def _ledger(store: Store) -> CheckResult:
    name = t("store.check_ledger")
    try:
        exported = read_roots(store.folder.parent / FOLDER)
        found = store.ledger.check_roots(exported)
    except FeilunError as error:
        return CheckResult(name, False, error.message(), error.hint())
    if found.ok:
        return CheckResult(name, True, t("store.roots_hold", count=found.roots))
    return CheckResult(name, False, found.faults[0].text(), t("store.fix_ledger"))


def _artifacts(store: Store) -> Iterator[CheckResult]:
    name = t("store.check_artifacts")
    needed = store.catalog.needed()
    size = wrong = 0
    for ref, owner in sorted(needed.items(), key=lambda pair: pair[1]):
        try:
            store.artifacts.verify(ref)
            size += store.artifacts.size(ref)
        except FeilunError as error:
            wrong += 1
            yield CheckResult(f"{name}: {owner}", False, error.message(), error.hint())
    if not wrong:
        detail = t("store.artifacts_whole", count=len(needed), mib=f"{size / 2**20:.1f}")
        yield CheckResult(name, True, detail)


def _disk(folder: Path) -> CheckResult:
    free = shutil.disk_usage(folder).free
    ok = free >= _LEAST_DISK
    detail = t("store.disk_free", path=folder, gib=f"{free / 2**30:.1f}")
    return CheckResult(t("store.check_disk"), ok, detail, "" if ok else t("store.fix_disk"))


def _secret(path: Path) -> CheckResult:
    name = t("store.check_secret")
    if not path.exists():
        return CheckResult(name, True, t("store.secret_not_made"))
    ok = path.stat().st_mode & 0o077 == 0
    return CheckResult(name, ok, str(path), "" if ok else t("store.fix_secret", path=path))
