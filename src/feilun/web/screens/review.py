"""Reviewing: one answer after the other, a key a label, the next one there before it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse, Response

from feilun import messages
from feilun.errors import NotFound
from feilun.project import Project
from feilun.project.review import ReviewItem
from feilun.web.access import REVIEWERS
from feilun.web.desk import Desk, Place
from feilun.web.paths import path
from feilun.web.screens.playground import data_uri
from feilun.web.targets import editor, given
from feilun.web.view import Page, View

__all__ = ["PAGES"]

_LIMIT = 1000


def _review(view: View) -> Response:
    project = view.project
    items = _desk(view).take(project.name, _who(view), lambda: project.review(_LIMIT), 2)
    return view.render(
        "review.html",
        project=project.name,
        item=_shown(items[0]) if items else None,
        ahead=_shown(items[1]) if len(items) > 1 else None,
        how=editor(project),
    )


def _next(view: View) -> Response:
    """The item after the one that is shown, for the page's script."""
    project = view.project
    items = _desk(view).take(project.name, _who(view), lambda: project.review(_LIMIT), 2)
    if len(items) < 2:
        return JSONResponse({"html": None})
    html = view.html(
        "review_item.html", project=project.name, item=_shown(items[1]), how=editor(project)
    )
    return JSONResponse({"html": html})


def _label(view: View) -> Response:
    project, desk = view.project, _desk(view)
    place = _place(view)
    item = desk.item(project.name, place)
    do = view.field("do", "label")
    if do == "undo":
        back = desk.undo(project.name, _who(view))
        if back is not None and not back.undo():
            return _on(view, project, messages.t("console.nothing_undone", view.lang))
        return _on(view, project)
    if item is None:
        raise NotFound("console.item_gone")
    if do == "label":
        said = given(view, editor(project))
        item.label(item.prediction.label if said is None else said)
    desk.finish(project.name, _who(view), place)
    return _on(view, project)


def _on(view: View, project: Project, *said: str) -> Response:
    if view.request.headers.get("x-script"):
        return JSONResponse({"said": list(said)})
    return view.go(path("p", project.name, "review"), *said)


def _shown(item: ReviewItem) -> Mapping[str, Any]:
    row = item.prediction
    value = row.input
    fields = value if isinstance(value, Mapping) else {"": value}
    return {
        "id": row.prediction_id,
        "index": row.index,
        "why": item.why,
        "note": item.note,
        "label": row.label,
        "score": row.score,
        "said": item.said,
        "fields": [
            (name, data_uri(v) if isinstance(v, bytes) else v, isinstance(v, bytes))
            for name, v in fields.items()
        ],
    }


def _desk(view: View) -> Desk[ReviewItem]:
    state = view.request.app.state
    if not hasattr(state, "desk"):
        state.desk = Desk()
    desk: Desk[ReviewItem] = state.desk
    return desk


def _who(view: View) -> str:
    return f"{view.who.role}:{view.who.who}"


def _place(view: View) -> Place:
    index = view.field("index", "0")
    return view.field("id"), int(index) if index.isdecimal() else 0


PAGES = (
    Page("GET", "/p/{project}/review", _review, REVIEWERS),
    Page("GET", "/p/{project}/review/next", _next, REVIEWERS),
    Page("POST", "/p/{project}/review", _label, REVIEWERS, again=_review),
)
