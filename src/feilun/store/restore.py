"""From a backup to a workspace that had nothing before."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from feilun.errors import Conflict, CorruptArtifact, EnvironmentProblem, NotFound
from feilun.store import tables_catalog, tables_ledger
from feilun.store.artifacts import Artifacts
from feilun.store.backup_parts import BackupInfo, TableFile
from feilun.store.backup_postgres import load
from feilun.store.blobs import Blobs
from feilun.store.database import Database, postgres_url, sqlite_url
from feilun.store.files import full_disk, hash_file, link_or_copy
from feilun.store.manifest import MANIFEST, Manifest
from feilun.store.migrate import current, head, migrate
from feilun.store.store import Store, state_folder

__all__ = ["restore"]

_NAMES = ("catalog", "ledger")


def restore(
    source: Path,
    folder: Path,
    database: str | None = None,
    artifacts: Path | str | None = None,
    *,
    prepare_dbos: Callable[[str], None] | None = None,
) -> BackupInfo:
    """Makes the empty workspace `folder` what the backup `source` was taken of.

    `database` and `artifacts` as of `open_store`; a backup of SQLite goes to SQLite, one of
    PostgreSQL to an empty PostgreSQL. There `prepare_dbos`, called with the database's URL, makes
    the tables of the schema ``dbos``; without it the workflows' own records are left out, and runs
    go on by what the catalog knows. Every hash is compared before anything is written. Raises
    `NotFound` for a folder that is no backup, `CorruptArtifact` for one that was changed,
    `Conflict` when the workspace holds something.
    """
    manifest = _manifest(source)
    kind = "sqlite" if database is None else "postgresql"
    if manifest["database"] != kind:
        raise Conflict("store.backup_of_other_kind", found=manifest["database"], wanted=kind)
    _compare(source, manifest)
    state = state_folder(folder)
    for name in manifest["files"]:
        if (
            name.startswith("projects/")
            and (state.parent / Path(name).relative_to("projects")).exists()
        ):
            raise Conflict("store.not_empty", path=str(state.parent))
    with full_disk(state):
        if database is None:
            _sqlite(source, manifest, state, artifacts)
        else:
            _postgres(source, manifest, state, database, artifacts, prepare_dbos)
        for name in manifest["files"]:
            if name.startswith("projects/"):
                target = state.parent / Path(name).relative_to("projects")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source / name, target)
    return BackupInfo(**{name: manifest[name] for name in BackupInfo.__dataclass_fields__})


def _manifest(source: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((source / "backup.json").read_bytes())
        if manifest["feilun_backup"] != 1:
            raise KeyError
        revisions: Mapping[str, str] = manifest["revisions"]
    except (OSError, ValueError, KeyError, TypeError):
        raise NotFound("store.no_backup", path=str(source)) from None
    for name, revision in revisions.items():
        if revision > head(name):
            raise EnvironmentProblem(
                "store.newer_database", url=str(source), revision=revision, known=head(name)
            )
    return manifest


def _compare(source: Path, manifest: Mapping[str, Any]) -> None:
    """Raises `CorruptArtifact` for the first file that is not what it was."""

    def refuse(path: Path) -> None:
        raise CorruptArtifact("store.corrupt_backup", path=str(path))

    for name, digest in manifest["files"].items():
        if not (source / name).is_file() or hash_file(source / name) != digest:
            refuse(source / name)
    for ref in manifest["refs"]:
        folder = _object(source, ref)
        listed = Manifest.read(folder / MANIFEST)
        if listed is None or listed.ref != ref:
            refuse(folder / MANIFEST)
        elif (wrong := listed.wrong_file(folder / "content")) is not None:
            refuse(wrong)
    for name in manifest["blobs"]:
        path = source / "inputs" / name[:2] / name
        if not path.is_file() or hash_file(path) != name:
            refuse(path)


def _sqlite(
    source: Path, manifest: Mapping[str, Any], state: Path, artifacts: Path | str | None
) -> None:
    for name in _NAMES:
        if (state / f"{name}.db").exists():
            there = Database(sqlite_url(state / f"{name}.db"), name)
            try:
                _require_empty(there, state)
            finally:
                there.close()
    aside = state.with_name(f"{state.name}.{secrets.token_hex(6)}")
    try:
        aside.mkdir(mode=0o700, parents=True)
        for file in (source / "databases").glob("*.db"):
            shutil.copyfile(file, aside / file.name)
        # Opening brings the tables of an older feilun up to this one's.
        with Store(aside, None, artifacts) as store:
            _fill(store.artifacts, store.blobs, source, manifest)
        shutil.rmtree(state, ignore_errors=True)
        aside.rename(state)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _postgres(
    source: Path,
    manifest: Mapping[str, Any],
    state: Path,
    database: str,
    artifacts: Path | str | None,
    prepare_dbos: Callable[[str], None] | None,
) -> None:
    databases = [Database(postgres_url(database), name) for name in _NAMES]
    try:
        for one in databases:
            _require_empty(one, state)
            migrate(one, to=manifest["revisions"][one.schema])
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        if prepare_dbos is not None:
            prepare_dbos(database)
        _fill(
            Artifacts(artifacts or state / "artifacts", state / "cache"),
            Blobs(state / "inputs"),
            source,
            manifest,
        )
        tables = [TableFile(**table) for table in manifest["tables"]]
        load(databases[0], tables, source, dbos=prepare_dbos is not None)
        for one in databases:
            migrate(one)
    finally:
        for one in databases:
            one.close()


def _require_empty(database: Database, state: Path) -> None:
    if current(database) is None:
        return
    table = {"catalog": tables_catalog.projects, "ledger": tables_ledger.events}[database.schema]
    with database.read() as connection:
        if connection.scalar(select(func.count()).select_from(table)):
            raise Conflict("store.not_empty", path=str(state.parent))


def _fill(artifacts: Artifacts, blobs: Blobs, source: Path, manifest: Mapping[str, Any]) -> None:
    for ref in manifest["refs"]:
        copy = artifacts.new() / "copy"
        # Links are enough: publishing never keeps a file that has another name.
        shutil.copytree(_object(source, ref) / "content", copy, copy_function=link_or_copy)
        artifacts.publish(copy, "restored")
    for name in manifest["blobs"]:
        blobs.put((source / "inputs" / name[:2] / name).read_bytes())


def _object(source: Path, ref: str) -> Path:
    digest = ref.removeprefix("sha256:")
    return source / "artifacts" / "objects" / digest[:2] / digest
