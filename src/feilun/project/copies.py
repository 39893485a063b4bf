"""Backups of a workspace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feilun.messages import t
from feilun.project.results import Listing, size
from feilun.store import backup as stored
from feilun.store import restore as restored
from feilun.table import Table, to_jsonable

if TYPE_CHECKING:
    from feilun.project.workspace import Workspace

__all__ = ["backup", "restore"]


def backup(workspace: Workspace, target: Path) -> Listing:
    """The workspace as it is at one moment: databases, artifacts, projects' files."""
    vaults = sorted((workspace.store.folder / "vaults").glob("*.db"))
    workspace.store.catalog.note("backup.make", str(target))
    notes = [t("vault.not_in_backup", files=vaults)] if vaults else []
    return _listing("project.backup_done", target, stored.backup(workspace.store, target), notes)


def restore(workspace: Workspace, source: Path) -> Listing:
    """The other way; the workspace must be empty."""
    from feilun.pipeline.durable import prepare

    settings = workspace.settings
    info = restored.restore(
        source, workspace.folder, settings.database, settings.artifacts, prepare_dbos=prepare
    )
    workspace.store.catalog.note("backup.restore", str(source))
    return _listing("project.restore_done", workspace.folder, info)


def _listing(key: str, folder: Path, info: object, notes: Sequence[str] = ()) -> Listing:
    data = to_jsonable(info)
    plain: dict[str, Any] = {k: v for k, v in data.items() if isinstance(v, (str, int, float))}
    rows = [[t(f"project.copy_{k}"), size(v) if k == "bytes" else str(v)] for k, v in plain.items()]
    return Listing([data], Table(t(key, folder=folder), ["", ""], rows, notes))
