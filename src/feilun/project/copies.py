"""Backups of a workspace: the store and the projects' files together."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from feilun.messages import t
from feilun.project.results import Listing, size
from feilun.store import backup as stored
from feilun.table import Table, to_jsonable

if TYPE_CHECKING:
    from feilun.project.workspace import Workspace

__all__ = ["backup", "restore"]

_FILES = "projects"


def backup(workspace: Workspace, target: Path) -> Listing:
    """The store as it is at one moment, and every project's settings file."""
    info = stored.backup(workspace.store, target)
    for project in workspace.projects():
        if project.file.exists():
            copy = target / _FILES / project.name / project.file.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(project.file, copy)
    return _listing("project.backup_done", target, info)


def restore(workspace: Workspace, source: Path) -> Listing:
    """The other way; the workspace must be empty."""
    folder = workspace.folder
    info = stored.restore(source, folder / ".feilun", workspace.settings.database)
    for file in sorted((source / _FILES).glob("*/feilun.toml")):
        copy = folder / file.parent.name / file.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, copy)
    return _listing("project.restore_done", folder, info)


def _listing(key: str, folder: Path, info: object) -> Listing:
    data = to_jsonable(info)
    plain = {k: v for k, v in data.items() if isinstance(v, (str, int, float))}
    rows = [
        [k, size(v) if k == "bytes" and not isinstance(v, str) else str(v)]
        for k, v in plain.items()
    ]
    return Listing([data], Table(t(key, folder=folder), ["", ""], rows))
