"""Looks before a decision: the plan, methods and bases side by side, cost against quality, a larger
model's opinion. Each is carried out by a worker and its result kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from starlette.responses import Response

from feilun import messages
from feilun.errors import InvalidData, NotFound
from feilun.project import Project
from feilun.project.explored import kept
from feilun.project.queued import tables_of
from feilun.store.records import Run, RunKind
from feilun.web.access import STAFF
from feilun.web.guard import DOCUMENT_POLICY
from feilun.web.paths import path
from feilun.web.screens.runs import methods_of, shown
from feilun.web.view import Page, View

__all__ = ["PAGES"]

_KINDS = ("plan", "compare", "bases", "explore", "judge")
_RECENT = 200


def _looks(view: View) -> Response:
    project = view.project
    last = _last(project)
    return view.render(
        "explore.html",
        project=project.name,
        ready=project.workspace.store.catalog.latest_data(project.name) is not None,
        kinds=[(kind, shown(project, last[kind]) if kind in last else None) for kind in _KINDS],
        methods=methods_of(project),
        worded=bool(project.task.family.faults),
        versions=[model.id for model in reversed(project.models()) if model.record.artifact()],
    )


def _look(view: View) -> Response:
    found = _state(view)
    return view.render("explore_one.html", **found)


def _live(view: View) -> tuple[str, bool]:
    found = _state(view)
    return view.html("explore_state.html", **found), not (found["one"] and found["one"]["moves"])


def _state(view: View) -> dict[str, Any]:
    project, kind = view.project, _kind(view)
    run = _last(project).get(kind)
    return {
        "project": project.name,
        "kind": kind,
        "one": shown(project, run) if run else None,
        "tables": tables_of(run) if run else [],
        "picture": kind == "explore" and kept(project.file.parent) is not None,
    }


def _begin(view: View) -> Response:
    """Queues the look, unless one of its kind waits or is carried out already."""
    project, kind = view.project, _kind(view)
    project.scope.data()  # raises where there is none
    last = _last(project).get(kind)
    if last is None or not shown(project, last)["moves"]:
        project.enqueue(cast("RunKind", kind), **_asked(view, kind))
    return view.go(path("p", project.name, "explore", kind))


def _asked(view: View, kind: str) -> dict[str, Any]:
    """What the form says, as `Project.enqueue` wants it."""
    if kind == "plan":
        changes: dict[str, Any] = {}
        minutes = view.number("minutes")
        changes |= {"training.time_limit": minutes} if minutes is not None else {}
        return {"method": view.field("method") or None, "overrides": changes}
    if kind == "compare":
        return {"options": {"methods": ",".join(view.many.get("methods", ())) or "all"}}
    if kind == "bases":
        return {"options": {"bases": view.field("bases").split()}}
    if kind == "judge":
        fields = ("address", "judge_model", "version", "against")
        given: dict[str, Any] = {name: view.field(name) or None for name in fields}
        for name in ("address", "judge_model"):
            if given[name] is None:
                field = messages.t(f"console.{name}", view.lang)
                raise InvalidData("console.missing", field=field)
        return {"options": {**given, "rows": int(view.number("rows") or 50)}}
    return {}


def _picture(view: View) -> Response:
    found = kept(view.project.file.parent)
    if found is None:
        raise NotFound("console.no_picture")
    drawn = str(found.picture(view.lang))
    headers = {"content-security-policy": DOCUMENT_POLICY}
    return Response(drawn, media_type="image/svg+xml", headers=headers)


def _upstream(view: View) -> Response:
    project = view.project
    return view.render("upstream.html", project=project.name, found=project.upstream())


def _kind(view: View) -> str:
    kind = view.part("kind")
    if kind not in _KINDS:
        raise NotFound("console.no_page", path=view.request.url.path[:200])
    return kind


def _last(project: Project) -> Mapping[str, Run]:
    """The newest look of each kind."""
    runs = project.workspace.store.catalog.runs(project.name, kinds=_KINDS, limit=_RECENT)
    return {run.kind: run for run in reversed(runs)}


PAGES = (
    Page("GET", "/p/{project}/explore", _looks, STAFF),
    Page("GET", "/p/{project}/explore/frontier.svg", _picture, STAFF),
    Page("GET", "/p/{project}/explore/{kind}", _look, STAFF),
    Page("POST", "/p/{project}/explore/{kind}", _begin, STAFF, again=_looks),
    Page("GET", "/p/{project}/explore/{kind}/live", _live, STAFF, live=True),
    Page("GET", "/p/{project}/upstream", _upstream, STAFF),
)
