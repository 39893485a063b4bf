"""Backups: the whole state of a workspace at one moment, in a folder, taken while it works.

::

    backup.json            what this is, and the sha256 of every file but artifacts and inputs
    databases/             SQLite: the files; PostgreSQL: a file of rows for each table
    artifacts/objects/…    as in the workspace; their names are their hashes
    inputs/…               callers' pictures; their names are their hashes
    projects/NAME/…        the projects' settings files

Nothing in it refers to what is not there: the databases are copied in the order in which they
refer to one another, and artifacts, which never change, after them, with gc locked out.
"""

from __future__ import annotations

import json
import secrets
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from feilun.errors import Conflict
from feilun.store import backup_postgres, backup_sqlite
from feilun.store.backup_parts import BackupInfo
from feilun.store.columns import now
from feilun.store.files import full_disk, hash_file, link_or_copy, sync_all, write_atomically
from feilun.store.migrate import head
from feilun.store.restore import restore
from feilun.store.store import Store

__all__ = ["BackupInfo", "backup", "restore"]


def backup(store: Store, target: Path) -> BackupInfo:
    """Copies everything into the new folder `target`, while others go on working.

    On one file system artifacts are linked, not copied: they never change. The folder appears
    when it is whole. Raises `Conflict` when `target` holds something, `CorruptArtifact` when an
    artifact is damaged, `EnvironmentProblem` when the disk is full.
    """
    target = target.absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise Conflict("store.backup_exists", path=str(target))
    aside = target.with_name(f".{target.name}.{secrets.token_hex(6)}")
    try:
        with full_disk(target):
            aside.mkdir(parents=True, mode=0o700)
            info = _fill(store, aside)
            _sync(aside)
            aside.rename(target)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return info


def _fill(store: Store, folder: Path) -> BackupInfo:
    (folder / "databases").mkdir()
    with store.artifacts.locked():
        dump = backup_sqlite.dump if store.sqlite else backup_postgres.dump
        held = dump(store, folder / "databases")
        # What is mentioned may be any hash; what is needed and missing, `doctor` says.
        kept = [ref for ref in sorted(held.refs) if store.artifacts.exists(ref)]
        for ref in kept:
            _artifact(store, ref, folder)
    names = [name for name in sorted(held.inputs) if _input(store, name, folder)]
    for file in store.folder.parent.glob("*/feilun.toml"):
        copy = folder / "projects" / file.parent.name / file.name
        copy.parent.mkdir(parents=True)
        shutil.copyfile(file, copy)
    info = BackupInfo(
        created=now().isoformat(),
        database="sqlite" if store.sqlite else "postgresql",
        artifacts=len(kept),
        inputs=len(names),
        bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
    )
    files = sorted(
        path for part in ("databases", "projects") for path in (folder / part).rglob("*.*")
    )
    manifest: dict[str, Any] = {
        "feilun_backup": 1,
        **asdict(info),
        "revisions": {name: head(name) for name in store.databases},
        "tables": [asdict(table) for table in held.tables],
        "files": {path.relative_to(folder).as_posix(): hash_file(path) for path in files},
        "refs": kept,
        "blobs": names,
    }
    write_atomically(folder / "backup.json", json.dumps(manifest, indent=1).encode())
    return info


def _artifact(store: Store, ref: str, folder: Path) -> None:
    source = store.artifacts.path(ref).parent
    target = folder / "artifacts" / "objects" / source.parent.name / source.name
    shutil.copytree(source, target, copy_function=link_or_copy)


def _input(store: Store, name: str, folder: Path) -> bool:
    """Whether the input is still there: it may have expired since its row was copied."""
    target = folder / "inputs" / name[:2] / name
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        link_or_copy(store.blobs.folder / name[:2] / name, target)
    except FileNotFoundError:
        return False
    return True


def _sync(folder: Path) -> None:
    paths = list(folder.rglob("*"))
    folders = sorted((path for path in paths if path.is_dir()), reverse=True)
    sync_all([path for path in paths if path.is_file()], [*folders, folder])
