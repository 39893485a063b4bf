"""The first page, and the overview of one project: what answers, what waits, what to do next."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from feilun import messages, registry
from feilun.errors import InvalidData, UsageError
from feilun.messages.words import step_words
from feilun.project import Project
from feilun.project.pulse import pulse
from feilun.project.results import tested
from feilun.project.status import Status
from feilun.store.records import LOOK_KINDS
from feilun.tasks import base as tasks
from feilun.web.access import EVERYBODY, REVIEWERS, STAFF
from feilun.web.paths import path
from feilun.web.quick import quick
from feilun.web.view import Page, View

__all__ = ["PAGES"]


def _home(view: View) -> Response:
    if view.who.role == "customer":
        return RedirectResponse("/mine", 303)
    workspace = view.workspace
    staff = view.who.role in STAFF
    keys = bool(workspace.store.catalog.keys())
    cards = []
    for project in workspace.projects():
        status = workspace.status(project.name)
        cards.append({**status.projects[0], "next": _next(project, status, keys)})
    servers = workspace.store.catalog.servers()
    usage = workspace.usage(days=30, by=("project",)) if staff and cards else None
    return view.render(
        "home.html",
        cards=cards,
        servers=servers,
        usage=usage,
        counts=[f"/calls?{urlencode({'project': row['project']})}" for row in usage.rows]
        if usage
        else [],
        pulse=pulse(servers) if staff else None,
        tasks=_tasks(view),
    )


def _project(view: View) -> Response:
    project = view.project
    status = view.workspace.status(project.name)
    one = status.projects[0]
    since = {} if view.who.role not in STAFF else _month(view, project.name)
    return view.render(
        "overview.html",
        project=project.name,
        one=one,
        score=tested(one["metric"], one["score"]) if one["live"] else None,
        runs=[
            {
                "run": r["run"],
                "state": r["state"],
                "name": messages.t(f"console.kind_{r['kind'].replace(' ', '_')}", view.lang),
                "step": step_words(r["step"]) if r["step"] else "",
            }
            for r in status.runs
            if _QUEUED not in r["run"] or r["kind"] in LOOK_KINDS or r["state"] in _BUSY
        ],
        next=_next(project, status, bool(view.workspace.store.catalog.keys())),
        about=project.task.about(view.lang),
        month=since,
        quick=quick(project) if view.who.role in STAFF else None,
    )


def _month(view: View, project: str) -> dict[str, Any]:
    """What the project's calls of the last 30 days came to, by currency."""
    found = view.workspace.usage(project=project, days=30, by=("project",))
    return {"rows": [dict(zip(_USED, shown, strict=True)) for shown in found.tables()[0].rows]}


_USED = ("project", "calls", "answers", "amount", "cost")
_QUEUED = "-queued-"


def _next(project: Project, status: Status, keys: bool) -> dict[str, Any]:
    """What to do next in a project: the `key` of its sentence with its `params`, of its button, and
    the page `where`."""
    one = status.projects[0]
    name = one["project"]
    busy = next((run for run in status.runs if run["state"] in _BUSY), None)

    def say(what: str, *where: str, **params: Any) -> dict[str, Any]:
        target = path("p", name, *where) if where[0] != "/customers" else where[0]
        return {"key": what, "params": params, "where": target}

    if one["data"] is None:
        return say("data", "data")
    if busy is not None:
        return say("watch", "runs", step=step_words(busy["step"] or "plan"))
    if one["live"] is None:
        return say("run", "runs")
    if not keys:
        return say("key", "/customers")
    need = project.config().update.min_corrections
    if one["corrections"] >= need:
        return say("update", "runs", count=one["corrections"])
    return say("review", "review", count=need - one["corrections"])


_BUSY = ("queued", "running")


def _tasks(view: View) -> list[tuple[str, str]]:
    return [(name, tasks.get(name).about(view.lang)) for name in tasks.names()]


def _create(view: View) -> Response:
    name = view.field("name")
    if not name:
        raise InvalidData("console.missing", field=messages.t("console.project_name", view.lang))
    task = view.field("task", "text-classification")
    if view.field("sample") == "yes":
        return _from_sample(view, name, task)
    project = view.workspace.init(name, task)
    if view.files:
        upload = view.files[0]
        return view.go(path("p", project.name, "data", "check", upload.file.parent.name))
    return view.go(path("p", project.name, "data"))


def _from_sample(view: View, name: str, task: str) -> Response:
    """A project with the rows of its task's demonstration, ready to be run."""
    options = registry.names("demos")
    if task not in options:
        raise UsageError("demo.no_such_task", task=task, options=options)
    with TemporaryDirectory(dir=view.workspace.store.folder) as folder:
        sample = registry.load("demos", task).write(Path(folder), view.lang)
        project = view.workspace.init(name, task)
        added = project.add(sample.training, columns=sample.columns)
    return view.go(path("p", project.name, "runs"), added.tables()[0].title)


PAGES = (
    Page("GET", "/", _home, EVERYBODY),
    Page("POST", "/projects", _create, STAFF, again=_home),
    Page("GET", "/p/{project}", _project, REVIEWERS),
)
