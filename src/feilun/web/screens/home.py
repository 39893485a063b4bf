"""The first page, and the overview of one project: what answers, what waits, what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import RedirectResponse, Response

from feilun import messages
from feilun.errors import InvalidData
from feilun.tasks import base as tasks
from feilun.web.access import EVERYBODY, REVIEWERS, STAFF
from feilun.web.paths import path
from feilun.web.view import Page, View

__all__ = ["PAGES"]


def _home(view: View) -> Response:
    if view.who.role == "customer":
        return RedirectResponse("/mine", 303)
    status = view.workspace.status()
    keys = view.workspace.keys().rows
    cards = [{**one, "next": _next(one, status.runs, bool(keys))} for one in status.projects]
    staff = view.who.role in STAFF
    return view.render(
        "home.html",
        cards=cards,
        servers=status.servers,
        usage=view.workspace.usage(days=30) if staff and cards else None,
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
        next=_next(one, status.runs, bool(view.workspace.keys().rows)),
        about=project.task.about(view.lang),
    )


def _next(one: Mapping[str, Any], runs: Any, keys: bool) -> tuple[str, str]:
    """The one thing to do next in a project: the key of its words, and the page where."""
    name = one["project"]
    busy = any(r["run"].startswith(f"{name}-") and r["state"] in _BUSY for r in runs)
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
