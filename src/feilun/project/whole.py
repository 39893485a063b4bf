"""A project as a whole: renamed, put away, taken back, deleted. What was billed stays billed."""

from __future__ import annotations

import shutil
import time
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from feilun.config import ProjectSection, describe_faults
from feilun.errors import Conflict, InvalidSettings
from feilun.messages import t
from feilun.project.advice import command
from feilun.project.results import Listing
from feilun.project.scope import FILE, Scope, WorkspaceScope
from feilun.store.archived import archived, set_archived
from feilun.store.catalog_runs import GOING
from feilun.store.files import write_atomically
from feilun.store.vault import vault_file
from feilun.table import Table

__all__ = ["archive", "delete", "rename", "unarchive"]

_PAGES = ("audit", "comparisons", "reports", "logs")
"""Folders of a project that feilun writes what it found into."""


def rename(scope: WorkspaceScope, name: str, new: str) -> Listing:
    """Calls a project `new`: its folder, its settings file, its row in the catalog. Its earlier
    names go on finding it, for callers too.

    Raises `NotFound`, `InvalidSettings` for a name that cannot be one, `Conflict` where another
    project has or had it or its folder is taken, `AlreadyRunning` while it runs.
    """
    project = scope.project(name)
    wanted = unicodedata.normalize("NFC", new)
    try:
        ProjectSection(name=wanted, task=scope.store.catalog.project(project.name).task)
    except ValidationError as error:
        faults = describe_faults(error, prefix="project.")
        raise InvalidSettings("project.bad_name", name=wanted, faults=faults) from None
    with scope.store.lock(project.name):
        scope.store.catalog.check_free(wanted, project.name)
        before, old, folder = project.called, project.file, scope.folder / wanted
        if folder.exists() and folder != old.parent and not _half_renamed(old, folder, before):
            raise Conflict("project.folder_taken", folder=folder)
        made = scope.store.catalog.rename_project(project.name, wanted)
        # Whatever is killed from here on is mended by renaming once more.
        if old.exists() and folder != old.parent:
            old.parent.rename(folder)
        if (folder / FILE).exists():
            _rename_in(folder / FILE, wanted)
    row = {"project": made.called, "before": before, "name": made.name, "endpoint": made.endpoint}
    notes = [t("project.renamed_versions", name=made.name, project=made.called)]
    if made.endpoint != made.called:
        notes.append(t("project.renamed_calls", endpoint=made.endpoint, project=made.called))
    title = t("project.renamed", old=before, new=made.called)
    return Listing([row], Table(title, (), (), notes))


def archive(scope: WorkspaceScope, name: str) -> Listing:
    """Ends everything that is deployed of the project and hides it. Raises `NotFound`, `Conflict`
    where it is archived, `AlreadyRunning` while it runs."""
    at = scope.project(name)
    project, called = at.name, at.called
    catalog = scope.store.catalog
    with scope.store.lock(project):
        ended = catalog.active(catalog.project(project).endpoint)
        set_archived(catalog, project, datetime.now(UTC))
        for deployment in ended:
            catalog.end_deployment(deployment.id)
    catalog.note("project.archive", project, {"ended": [one.version for one in ended]})
    row = {"project": called, "archived": True, "ended": [one.version for one in ended]}
    notes = [t("project.archived_ended", version=one.version) for one in ended]
    notes.append(t("project.archived_kept", project=called))
    return Listing([row], Table(t("project.archived_now", project=called), (), (), notes))


def unarchive(scope: WorkspaceScope, name: str) -> Listing:
    """Shows an archived project again; what answered before is put live again by hand. Raises
    `NotFound`, `Conflict` where it is not archived."""
    catalog = scope.store.catalog
    found = catalog.project(name)
    if found.name not in archived(catalog):
        raise Conflict("project.not_archived", project=found.called)
    set_archived(catalog, found.name, None)
    catalog.note("project.unarchive", found.name, {})
    title = t("project.unarchived", project=found.called)
    words = ["run"]
    if lives := [one for one in catalog.history(found.endpoint) if one.role == "live"]:
        words = ["deploy", lives[0].version]
    following = command(scope.store, found.name, words)
    notes = [t("project.unarchived_next", command=following)]
    return Listing([{"project": found.called, "archived": False}], Table(title, (), (), notes))


def delete(scope: WorkspaceScope, name: str, *, sure: bool = True) -> Listing:
    """Deletes a project with its data, versions, runs and the inputs that callers left; of what was
    answered the ledger keeps calls, amounts and invoices. Files of other people in its folder stay.

    Raises `NotFound`, `Conflict` while something of it answers and, without `sure`, with what
    would go; `AlreadyRunning` while it runs.
    """
    store, catalog = scope.store, scope.store.catalog
    project = scope.at(catalog.project(name).name)
    called, folder = project.called, project.file.parent
    with store.lock(project.name):
        live = catalog.active(catalog.project(project.name).endpoint)
        if live:
            answers = [deployment.version for deployment in live]
            raise Conflict("project.delete_live", project=called, versions=answers)
        counts: dict[str, Any] = {
            "data_versions": len(catalog.data_versions(project.name)),
            "model_versions": len(catalog.model_versions(project.name)),
        }
        if not sure:
            raise Conflict("project.delete_sure", project=called, **counts)
        billed = any(row.events for row in store.ledger.usage(project=project.name))
        begun = time.time()
        runs = [run.id for run in catalog.runs(project.name, states=GOING)]
        with store.artifacts.locked():
            held = catalog.references()
            # The file first: what has no settings file any more is deleted by a second call.
            kept = _remove_file(project)
            catalog.delete_project(project.name, keep_row=billed)
            gone = held - catalog.references()
            keep = store.artifacts.refs() - gone
            store.artifacts.gc(keep, published_before=begun)
            catalog.forget_artifacts(ref for ref in gone if not store.artifacts.exists(ref))
        inputs = store.ledger.forget_inputs(project.name)
        vault_file(store.folder, project.name).unlink(missing_ok=True)
        for run in runs:
            shutil.rmtree(store.run_folder(run), ignore_errors=True)
    row = {"project": called, "deleted": True, "inputs": inputs, "billed": billed, **counts}
    notes = [t("project.deleted_counts", inputs=inputs, **counts)]
    notes += [t("project.deleted_billed")] if billed else []
    notes += [t("project.deleted_files", folder=folder)] if kept else []
    return Listing([row], Table(t("project.deleted", project=called), (), (), notes))


def _half_renamed(old: Path, folder: Path, before: str) -> bool:
    """Whether `folder` is this project's own, from a renaming that was killed on its way."""
    import tomlkit

    file = folder / FILE
    if old.exists() or not file.exists():
        return False
    found = tomlkit.parse(file.read_text("utf-8")).get("project", {}).get("name")
    return found in (before, folder.name)


def _rename_in(file: Path, name: str) -> None:
    """Changes the name in a settings file, and nothing else in it."""
    import tomlkit

    document = tomlkit.parse(file.read_text("utf-8"))
    section = document["project"]
    section["name"] = name
    write_atomically(file, tomlkit.dumps(document).encode())


def _remove_file(project: Scope) -> bool:
    """Removes the settings file and the pages that quote rows, and the folder where nothing else
    is in it. Whether the folder stays."""
    folder = project.file.parent
    if not folder.exists():
        return False
    project.file.unlink(missing_ok=True)
    (folder / "bad_rows.jsonl").unlink(missing_ok=True)
    for made in _PAGES:
        shutil.rmtree(folder / made, ignore_errors=True)
    try:
        folder.rmdir()
    except OSError:
        return True
    return False
