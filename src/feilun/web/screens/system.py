"""The house itself: health, the audit log, what can be collected, people of the console."""

from __future__ import annotations

from dataclasses import replace

from starlette.responses import Response

from feilun import messages
from feilun.errors import InvalidData
from feilun.project.housekeeping import house, settings_in_force
from feilun.project.results import Listing
from feilun.web.access import OWNERS, ROLES, STAFF, Role
from feilun.web.view import Page, View

__all__ = ["PAGES"]

_ACTS = 50


def _system(view: View, link: str | None = None) -> Response:
    before = int(view.query("before")) if view.query("before").isdecimal() else None
    acts = view.workspace.acts.list(_ACTS, before=before)
    return view.render(
        "system.html",
        acts=_newest_first(acts),
        earlier=acts.rows[0]["number"] if acts.rows and acts.rows[0]["number"] > 1 else None,
        house=house(view.workspace.scope),
        people=view.access.people(),
        roles=[(role, messages.t(f"console.{role}", view.lang)) for role in ROLES[:3]],
        link=link,
    )


def _newest_first(acts: Listing) -> Listing:
    [table] = acts.tables()
    return Listing(acts.rows[::-1], replace(table, rows=table.rows[::-1]))


def _versions(view: View) -> Response:
    return view.render("kept.html", found=view.workspace.versions_kept())


def _settings(view: View) -> Response:
    project = view.workspace.project(view.part("project"))
    return view.render(
        "settings.html",
        project=project.name,
        file=project.file,
        found=settings_in_force(project.scope),
    )


def _backup(view: View) -> Response:
    """Into a new folder beside the workspace's own, while everything works."""
    to = view.field("folder")
    if not to:
        raise InvalidData("console.missing", field=messages.t("console.folder", view.lang))
    done = view.workspace.backup(view.workspace.folder / to)
    return view.go("/system", *[note for one in done.tables() for note in (one.title, *one.notes)])


def _health(view: View) -> Response:
    """Reads all of the databases, which takes seconds where they are large."""
    return view.render("health.html", health=view.workspace.doctor())


def _invite(view: View) -> Response:
    role: Role = next((r for r in ROLES if r == view.field("role")), "customer")
    secret = view.access.invite(view.field("name"), role)
    catalog = view.workspace.store.catalog
    catalog.note("console.invite", view.field("name"), {"role": role})
    return _system(view, link=f"{view.request.base_url}enter?link={secret}")


def _remove(view: View) -> Response:
    name = view.part("name")
    view.access.remove(name)
    view.workspace.store.catalog.note("console.remove", name)
    return view.go("/system", messages.t("console.saved", view.lang))


def _collect(view: View) -> Response:
    done = view.workspace.gc(dry_run=view.field("do") != "collect")
    return view.render("collected.html", found=done, tried=view.field("do") != "collect")


PAGES = (
    Page("GET", "/system", _system, STAFF),
    Page("GET", "/system/health", _health, STAFF),
    Page("GET", "/system/versions", _versions, STAFF),
    Page("GET", "/p/{project}/settings", _settings, STAFF),
    Page("POST", "/system/backup", _backup, OWNERS, again=_system),
    Page("POST", "/system/people", _invite, OWNERS, again=_system),
    Page("POST", "/system/people/{name}/remove", _remove, OWNERS, again=_system),
    Page("POST", "/system/collect", _collect, OWNERS, again=_system),
)
