"""The first page, and the overview of one project: what answers, what waits, what to do next."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from feilun import messages
from feilun.errors import InvalidData
from feilun.project.status import Status
from feilun.tasks import base as tasks
from feilun.web.access import EVERYBODY, REVIEWERS, STAFF
from feilun.web.paths import path
from feilun.web.view import Page, View

__all__ = ["PAGES"]


def _home(view: View) -> Response:
    if view.who.role == "customer":
        return RedirectResponse("/mine", 303)
    workspace = view.workspace
    found = [workspace.status(project.name) for project in workspace.projects()]
    keys = bool(workspace.store.catalog.keys())
    cards = [{**status.projects[0], "next": _next(status, keys)} for status in found]
    staff = view.who.role in STAFF
    return view.render(
        "home.html",
        cards=cards,
        servers=workspace.store.catalog.servers(),
        usage=view.workspace.usage(days=30, by=("project",)) if staff and cards else None,
        tasks=_tasks(view),
    )


def _project(view: View) -> Response:
    project = view.project
    status = view.workspace.status(project.name)
    one = status.projects[0]
    return view.render(
        "overview.html",
        project=project.name,
        one=one,
        found=status,
        next=_next(status, bool(view.workspace.store.catalog.keys())),
        about=project.task.about(view.lang),
    )


def _next(status: Status, keys: bool) -> tuple[str, str]:
    """What to do next in the project of `status`: the key of its words, and the page where."""
    one = status.projects[0]
    name = one["project"]
    busy = any(run["state"] in _BUSY for run in status.runs)
    if one["data"] is None:
        return "next_data", path("p", name, "data")
    if busy:
        return "next_watch", path("p", name, "runs")
    if one["live"] is None:
        return "next_run", path("p", name, "runs")
    if not keys:
        return "next_key", "/customers"
    if one["corrections"]:
        return "next_update", path("p", name, "runs")
    return "next_review", path("p", name, "review")


_BUSY = ("queued", "running")


def _tasks(view: View) -> list[tuple[str, str]]:
    return [(name, tasks.get(name).about(view.lang)) for name in tasks.names()]


def _create(view: View) -> Response:
    name = view.field("name")
    if not name:
        raise InvalidData("console.missing", field=messages.t("console.project_name", view.lang))
    project = view.workspace.init(name, view.field("task", "text-classification"))
    if view.files:
        upload = view.files[0]
        return view.go(path("p", project.name, "data", "check", upload.file.parent.name))
    return view.go(path("p", project.name, "data"))


PAGES = (
    Page("GET", "/", _home, EVERYBODY),
    Page("POST", "/projects", _create, STAFF, again=_home),
    Page("GET", "/p/{project}", _project, REVIEWERS),
)
