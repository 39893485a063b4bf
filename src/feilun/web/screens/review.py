"""Reviewing: one answer after the other, a key a label, the next one there before it is asked.

A written answer is accepted or edited as it stands in its text area, or rejected for a reason, with
what stands there then as the right one, where it was changed.
"""

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
from feilun.web.pictures import data_uri
from feilun.web.targets import editor, given
from feilun.web.view import Page, View

__all__ = ["PAGES"]

_LIMIT = 1000


def _review(view: View) -> Response:
    project = view.project
    items = _desk(view).take(project.name, view.reviewer, lambda: project.review(_LIMIT), 2)
    return view.render(
        "review.html",
        project=project.name,
        item=_shown(view, items[0]) if items else None,
        how=editor(project),
        reviews=project.reviews() if items and items[0].faults else None,
    )


def _next(view: View) -> Response:
    """The item after the one that is shown, for the page's script."""
    project = view.project
    items = _desk(view).take(project.name, view.reviewer, lambda: project.review(_LIMIT), 2)
    if len(items) < 2:
        return JSONResponse({"html": None})
    item = _shown(view, items[1])
    html = view.html("review_item.html", project=project.name, item=item, how=editor(project))
    return JSONResponse({"html": html})


def _label(view: View) -> Response:
    project, desk = view.project, _desk(view)
    place = _place(view)
    item = desk.item(project.name, place)
    do = view.field("do", "label")
    if do == "undo":
        back = desk.undo(project.name, view.reviewer)
        if back is not None and not back.undo():
            return _on(view, project, messages.t("console.nothing_undone", view.lang))
        return _on(view, project)
    if item is None:
        raise NotFound("console.item_gone")
    if do == "label":
        _judge(view, item, given(view, editor(project)))
    desk.finish(project.name, view.reviewer, place)
    return _on(view, project)


def _judge(view: View, item: ReviewItem, said: Any) -> None:
    """Keeps what the form says of the answer."""
    answered, note, reason = item.prediction.label, view.field("note"), view.field("rejected")
    if reason:
        item.reject(reason, None if said == answered else said, note)
        return
    item.label(answered if said is None else said, note)


def _on(view: View, project: Project, *said: str) -> Response:
    if view.request.headers.get("x-script"):
        return JSONResponse({"said": list(said)})
    return view.go(path("p", project.name, "review"), *said)


def _shown(view: View, item: ReviewItem) -> Mapping[str, Any]:
    row = item.prediction
    value = item.shown(view.lang)
    fields = value if isinstance(value, Mapping) else {"": value}
    # What was typed before the form failed stands there again.
    typed = view.typed if view.problem and view.field("id") == row.prediction_id else {}
    return {
        "id": row.prediction_id,
        "index": row.index,
        "why": item.why,
        "note": item.told(view.lang),
        "label": row.label,
        "score": row.score,
        "said": typed.get("label", item.said),
        "typed_note": typed.get("note", ""),
        "faults": [
            (str(number), name, messages.t(f"feedback.fault_{name}", view.lang))
            for number, name in enumerate(item.faults, 1)
        ],
        "fields": [
            (name, data_uri(v) if isinstance(v, bytes) else v, isinstance(v, bytes))
            for name, v in fields.items()
        ],
    }


def _desk(view: View) -> Desk[ReviewItem]:
    return Desk.of(view, "desk")


def _place(view: View) -> Place:
    index = view.field("index", "0")
    return view.field("id"), int(index) if index.isdecimal() else 0


PAGES = (
    Page("GET", "/p/{project}/review", _review, REVIEWERS),
    Page("GET", "/p/{project}/review/next", _next, REVIEWERS),
    Page("POST", "/p/{project}/review", _label, REVIEWERS, again=_review),
)
