"""The house itself: health, the audit log, what can be collected, people of the console."""

from __future__ import annotations

from starlette.responses import Response

from feilun import messages
from feilun.web.access import OWNERS, ROLES, STAFF, Role
from feilun.web.view import Page, View

__all__ = ["PAGES"]


def _system(view: View, link: str | None = None) -> Response:
    return view.render(
        "system.html",
        acts=view.workspace.acts.list(50),
        people=view.access.people(),
        roles=[(role, messages.t(f"console.{role}", view.lang)) for role in ROLES[:3]],
        link=link,
    )


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
    Page("POST", "/system/people", _invite, OWNERS, again=_system),
    Page("POST", "/system/people/{name}/remove", _remove, OWNERS, again=_system),
    Page("POST", "/system/collect", _collect, OWNERS, again=_system),
)
