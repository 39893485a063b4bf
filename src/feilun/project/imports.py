"""An exported folder into a workspace: it answers behind the API without its data or torch."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feilun.engines.card import read_card
from feilun.errors import CorruptArtifact, InvalidData, NotFound
from feilun.messages import t
from feilun.project.export import ABOUT, FLOAT, RIDERS
from feilun.project.template import project_file
from feilun.store.records import ModelVersion

if TYPE_CHECKING:
    from feilun.project.workspace import Workspace

__all__ = ["import_version"]


def import_version(workspace: Workspace, folder: Path, name: str | None) -> ModelVersion:
    """Checks every file against the hashes in ``about.json``, then keeps the version in the
    project `name` (default: the one it came from), which is made when it is not there. It goes
    live at once where nothing is live yet.

    Raises `InvalidData` when the folder is no exported version, `CorruptArtifact` when a file is
    not what was exported.
    """
    about = _about(folder)
    card = read_card(folder)
    project = name or str(about["version"]).partition("@")[0]
    store = workspace.store
    try:
        store.catalog.project(project)
    except NotFound:
        file = workspace.folder / project / "feilun.toml"
        text = project_file(project, card.schema.task, None)
        store.catalog.add_project(project, card.schema.task)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    variant = store.publish(_copy(workspace, folder), "variant").ref
    whole = folder / FLOAT
    weights = store.publish(_copy(workspace, whole), "weights").ref if whole.is_dir() else variant
    figures: dict[str, Any] = dict(about["variants"])
    chosen = about["variant"]
    if chosen:
        figures[chosen] = {**figures.get(chosen, {}), "artifact": variant}
    version = store.catalog.add_model_version(
        project,
        str(about["method"]),
        weights=weights,
        variant=chosen,
        variants={n: f for n, f in figures.items() if "artifact" in f and n == chosen},
        metrics=about["metrics"],
        config=about["config"],
        reason=t("project.imported_from", version=about["version"], folder=folder.name),
    )
    endpoint = store.catalog.project(project).endpoint
    if store.catalog.live(endpoint) is None:
        store.catalog.set_live(endpoint, version.id, reason=version.reason, actor="import")
    return version


def _about(folder: Path) -> dict[str, Any]:
    try:
        about: dict[str, Any] = json.loads((folder / ABOUT).read_text("utf-8"))
        files: dict[str, str] = about["files"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InvalidData("project.not_exported", folder=folder) from None
    for name, digest in files.items():
        file = (folder / name).resolve()
        if not file.is_relative_to(folder.resolve()) or not file.is_file():
            raise CorruptArtifact("project.export_changed", folder=folder, file=name)
        if hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            raise CorruptArtifact("project.export_changed", folder=folder, file=name)
    return about


def _copy(workspace: Workspace, folder: Path) -> Path:
    """The weights alone, without what an export adds for readers."""
    target = workspace.store.artifacts.new()
    shutil.copytree(
        folder,
        target,
        ignore=lambda place, _: RIDERS if Path(place) == folder else set(),
        dirs_exist_ok=True,
    )
    return target
