"""Putting a project away and taking it back. Nothing is deleted: what was billed stays billed."""

from __future__ import annotations

from datetime import UTC, datetime

from feilun.errors import Conflict
from feilun.messages import t
from feilun.project.results import Listing
from feilun.project.scope import WorkspaceScope
from feilun.store.archived import archived, set_archived
from feilun.table import Table

__all__ = ["archive", "unarchive"]


def archive(scope: WorkspaceScope, name: str) -> Listing:
    """Ends everything that is deployed of the project and hides it. Raises `NotFound`, `Conflict`
    where it is archived, `AlreadyRunning` while it runs."""
    project = scope.project(name).name
    catalog = scope.store.catalog
    with scope.store.lock(project):
        ended = catalog.active(catalog.project(project).endpoint)
        set_archived(catalog, project, datetime.now(UTC))
        for deployment in ended:
            catalog.end_deployment(deployment.id)
    catalog.note("project.archive", project, {"ended": [one.version for one in ended]})
    row = {"project": project, "archived": True, "ended": [one.version for one in ended]}
    notes = [t("project.archived_ended", version=one.version) for one in ended]
    notes.append(t("project.archived_kept", project=project))
    return Listing([row], Table(t("project.archived_now", project=project), (), (), notes))


def unarchive(scope: WorkspaceScope, name: str) -> Listing:
    """Shows an archived project again; what answered before is put live again by hand. Raises
    `NotFound`, `Conflict` where it is not archived."""
    catalog = scope.store.catalog
    project = catalog.project(name).name
    if project not in archived(catalog):
        raise Conflict("project.not_archived", project=project)
    set_archived(catalog, project, None)
    catalog.note("project.unarchive", project, {})
    title = t("project.unarchived", project=project)
    notes = [t("project.unarchived_next", project=project)]
    return Listing([{"project": project, "archived": False}], Table(title, (), (), notes))
