"""Two answers to one prompt, in an order drawn by lot: which is better, a key a choice."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

from feilun.errors import NotFound
from feilun.project import Project
from feilun.project.preference import CHOICES, PairItem
from feilun.project.preferred import Preference
from feilun.web.access import REVIEWERS, STAFF
from feilun.web.desk import Desk
from feilun.web.paths import path
from feilun.web.screens.runs import shown
from feilun.web.view import Page, View

__all__ = ["PAGES"]


def _judge(view: View) -> Response:
    project, state = view.project, _state(view)
    items = [] if state is None else _take(view, state)
    staff = view.who.role in STAFF
    usable = [m.id for m in project.models() if m.record.artifact() and not m.record.pruned]
    newest = [(one, one) for one in reversed(usable)]
    live = project.live
    return view.render(
        "preference.html",
        project=project.name,
        # Who still judges is not told who wins.
        state=state if state is not None and (staff or not items) else None,
        begun=state is not None,
        item=_shown(view, items[0]) if items else None,
        staff=staff,
        words=bool(project.task.family.faults),
        versions=newest if staff else [],
        moves=_moves(project) if staff else None,
        live=live.id if live else None,
    )


def _start(view: View) -> Response:
    """Queues it: both versions answer in a process of their own, so that closing the browser
    changes nothing."""
    project = view.project
    options = {name: view.field(name) or None for name in ("version", "against", "prompts")}
    numbers = {"rows": int(view.number("rows") or 100), "people": int(view.number("people") or 1)}
    if not _moves(project):
        project.enqueue("preference", options={**options, **numbers})
    return view.go(path("p", project.name, "preference"))


def _moves(project: Project) -> str | None:
    """The run in which versions answer now, or wait to."""
    runs = project.workspace.store.catalog.runs(project.name, kinds=("preference",), limit=1)
    return next((run.id for run in runs if shown(project, run)["moves"]), None)


def _next(view: View) -> Response:
    """The pair after the one that is shown, for the page's script."""
    state = _state(view)
    items = [] if state is None else _take(view, state)
    if len(items) < 2:
        return JSONResponse({"html": None})
    html = view.html("preference_item.html", project=view.project.name, item=_shown(view, items[1]))
    return JSONResponse({"html": html})


def _say(view: View) -> Response:
    desk, state = _desk(view), _state(view)
    if state is None:
        raise NotFound("preference.not_begun", project=view.project.called)
    queue, who = _queue(view, state), view.reviewer
    place = (view.field("id"), 0)
    if view.field("do") == "undo":
        back = desk.undo(queue, who)
        if back is not None:
            back.undo()
        return _on(view)
    item = desk.item(queue, place)
    if item is None:
        raise NotFound("console.item_gone")
    if view.field("do") != "skip":
        item.choose(view.field("choice"))
    desk.finish(queue, who, place)
    return _on(view)


def _state(view: View) -> Preference | None:
    try:
        return view.project.preference.state()
    except NotFound:
        return None


def _take(view: View, state: Preference) -> list[PairItem]:
    who = view.reviewer
    make = view.project.preference.queue
    return _desk(view).take(_queue(view, state), who, lambda: make(who), 2)


def _queue(view: View, state: Preference) -> str:
    """Each person's own: the order of the answers is theirs."""
    return f"{view.project.name}:{state.begun}:{view.reviewer}"


def _shown(view: View, item: PairItem) -> dict[str, Any]:
    prompt = item.shown(view.lang)
    fields = prompt.items() if isinstance(prompt, dict) else (("", prompt),)
    return {
        "id": str(item.pair),
        "fields": [(name, value) for name, value in fields if not isinstance(value, bytes)],
        "answers": (("A", item.a), ("B", item.b)),
        "choices": list(zip("1234", CHOICES, strict=True)),
    }


def _on(view: View) -> Response:
    if view.request.headers.get("x-script"):
        return JSONResponse({"said": []})
    return view.go(path("p", view.project.name, "preference"))


def _desk(view: View) -> Desk[PairItem]:
    return Desk.of(view, "preferences")


PAGES = (
    Page("GET", "/p/{project}/preference", _judge, REVIEWERS),
    Page("POST", "/p/{project}/preference/start", _start, STAFF, again=_judge),
    Page("GET", "/p/{project}/preference/next", _next, REVIEWERS),
    Page("POST", "/p/{project}/preference", _say, REVIEWERS, again=_judge),
)
