"""An exported folder into a workspace: it answers behind the API without its data or torch."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from feilun.engines.card import read_card
from feilun.errors import CorruptArtifact, InvalidData, NotFound
from feilun.messages import t
from feilun.project.export import ABOUT, FLOAT, RIDERS
from feilun.project.scope import WorkspaceScope
from feilun.project.template import project_file
from feilun.store import Store
from feilun.store.records import ModelVersion

__all__ = ["import_version"]


def import_version(scope: WorkspaceScope, folder: Path, name: str | None) -> ModelVersion:
    """Checks every file against the hashes in ``about.json``, then keeps the version in the
    project `name` (default: the one it came from), which is made when it is not there. It goes
    live at once where nothing is live yet.

    Raises `InvalidData` when the folder is no exported version, `CorruptArtifact` when a file is
    not what was exported.
    """
    about = _about(folder)
    card = read_card(folder)
    project = name or str(about["version"]).partition("@")[0]
    store = scope.store
    _project(scope, project, card.schema.task, folder)
    names = [name for name in about["files"] if Path(name).parts[0] not in RIDERS]
    variant = store.publish(_copy(store, folder, names), "variant").ref
    weights, whole = variant, [name for name in about["files"] if Path(name).parts[0] == FLOAT]
    if whole:
        inner = [str(Path(name).relative_to(FLOAT)) for name in whole]
        weights = store.publish(_copy(store, folder / FLOAT, inner), "weights").ref
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
        files: dict[str, str] = dict(about["files"])
        dict(about["variants"]), dict(about["metrics"]), dict(about["config"])
        str(about["version"]), str(about["method"]), about["variant"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InvalidData("project.not_exported", folder=folder) from None
    for name, digest in files.items():
        file = (folder / name).resolve()
        if not file.is_relative_to(folder.resolve()) or not file.is_file():
            raise CorruptArtifact("project.export_changed", folder=folder, file=name)
        if hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            raise CorruptArtifact("project.export_changed", folder=folder, file=name)
    return about


def _project(scope: WorkspaceScope, name: str, task: str, folder: Path) -> None:
    """Makes the project where it is not there; refuses one that answers something else."""
    try:
        kept = scope.store.catalog.project(name).task
    except NotFound:
        scope.init(name, task, project_file(name, task, None))
        return
    if kept != task:
        raise InvalidData("project.other_task", folder=folder, given=task, project=name, kept=kept)


def _copy(store: Store, folder: Path, names: Iterable[str]) -> Path:
    """The files that were checked and nothing else."""
    target = store.artifacts.new()
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, target / name)
    return target
