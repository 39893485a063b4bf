"""Removes what nothing refers to."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from feilun.errors import NotFound
from feilun.store.catalog_runs import GOING
from feilun.store.store import Store

__all__ = ["GcReport", "collect", "dispensable"]

_DAY = 86_400.0


@dataclass(frozen=True)
class GcReport:
    """What was removed, or would be: model versions whose artifacts were given up, artifacts,
    inputs that had expired, folders of runs that are over, and about how many bytes in all."""

    versions: int
    artifacts: int
    inputs: int
    runs: int
    bytes: int


def collect(
    store: Store,
    keep_versions: int | None = None,
    dry_run: bool = False,
    *,
    grace: float = 3600.0,
) -> GcReport:
    """Removes artifacts that the catalog does not refer to, expired inputs, orphaned bytes, and
    scratch of processes and runs that are over.

    With `keep_versions` it first gives up the artifacts of model versions beyond each project's
    newest so many; what is deployed, what a rollback would return to, and what a run still works
    on stays. Their rows stay too. Artifacts published less than `grace` seconds ago, or since a
    run that is going on began, are spared: their rows may not be written yet. `dry_run` removes
    nothing.
    """
    catalog = store.catalog
    if not dry_run:
        catalog.note("gc.run", str(store.folder), {"keep_versions": keep_versions})
    # Holding this keeps a backup and another gc away, between the look and the removal.
    with store.artifacts.locked():
        pruned = set() if keep_versions is None else dispensable(store, keep_versions)
        if not dry_run:
            catalog.prune(pruned)
        before = time.time() - grace
        for run in catalog.runs(states=("running",)):
            before = min(before, run.started.timestamp() if run.started else before)
        artifacts, size = store.artifacts.gc(
            catalog.references(without=pruned), published_before=before, dry_run=dry_run
        )
        if not dry_run:
            gone = [a.ref for a in catalog.artifacts() if not store.artifacts.exists(a.ref)]
            catalog.forget_artifacts(gone)
    inputs = store.ledger.expired() if dry_run else store.ledger.purge_expired()
    if not dry_run:
        store.ledger.forget_answers()
    _, freed = store.ledger.sweep_blobs(grace=grace, dry_run=dry_run)
    size += freed
    runs, freed = _clear_runs(store, dry_run)
    return GcReport(len(pruned), artifacts, inputs, runs, size + freed)


def dispensable(store: Store, keep_versions: int) -> set[str]:
    """The versions whose artifacts `collect` with `keep_versions` gives up."""
    found: set[str] = set()
    for project in store.catalog.projects():
        keep = store.catalog.usable(project.name, keep_versions)
        versions = store.catalog.model_versions(project.name)
        found |= {v.id for v in versions if v.pruned is None and v.id not in keep}
    return found


def _clear_runs(store: Store, dry_run: bool) -> tuple[int, int]:
    count = size = 0
    for folder in store.run_folders():
        if _may_go_on(store, folder):
            continue
        count += 1
        size += sum(f.lstat().st_size for f in folder.rglob("*") if f.is_file())
        if not dry_run:
            shutil.rmtree(folder, ignore_errors=True)
    return count, size


def _may_go_on(store: Store, folder: Path) -> bool:
    try:
        return store.catalog.run(folder.name).state in GOING
    except NotFound:
        # No such run, or its row is not written yet.
        return time.time() - folder.stat().st_mtime < _DAY
