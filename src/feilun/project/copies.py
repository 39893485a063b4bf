"""Backups of a workspace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from feilun.config import Settings
from feilun.messages import t
from feilun.project.results import Listing, size
from feilun.store import Store
from feilun.store import backup as stored
from feilun.store import restore as restored
from feilun.table import Table, to_jsonable

__all__ = ["backup", "restore"]


def backup(store: Store, target: Path) -> Listing:
    """The workspace as it is at one moment: databases, artifacts, projects' files."""
    vaults = sorted((store.folder / "vaults").glob("*.db"))
    store.catalog.note("backup.make", str(target))
    notes = [t("vault.not_in_backup", files=vaults)] if vaults else []
    return _listing("project.backup_done", target, stored.backup(store, target), notes)


def restore(settings: Settings, folder: Path, source: Path) -> Listing:
    """The other way; the workspace must be empty."""
    from feilun.pipeline.durable import prepare

    info = restored.restore(
        source, folder, settings.database, settings.artifacts, prepare_dbos=prepare
    )
    return _listing("project.restore_done", folder, info)


def _listing(key: str, folder: Path, info: object, notes: Sequence[str] = ()) -> Listing:
    data = to_jsonable(info)
    plain: dict[str, Any] = {k: v for k, v in data.items() if isinstance(v, (str, int, float))}
    rows = [[t(f"project.copy_{k}"), size(v) if k == "bytes" else str(v)] for k, v in plain.items()]
    return Listing([data], Table(t(key, folder=folder), ["", ""], rows, notes))
