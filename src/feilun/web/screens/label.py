"""Labelling from nothing: a file without labels, the labels to choose from, a key a label."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from starlette.responses import JSONResponse, Response

from feilun import messages
from feilun.errors import Forbidden, InvalidData, NotFound
from feilun.project.corpus import corpora
from feilun.project.voting import LabelItem, Labelling
from feilun.web.access import REVIEWERS, STAFF
from feilun.web.desk import Desk
from feilun.web.paths import path
from feilun.web.pictures import data_uri
from feilun.web.targets import editor_of, given
from feilun.web.view import Page, View

__all__ = ["PAGES"]


def _label(view: View) -> Response:
    project, state = view.project, _state(view)
    items = [] if state is None else _take(view, state)
    return view.render(
        "label.html",
        project=project.name,
        state=state,
        item=_shown(items[0]) if items else None,
        how=_how(view, state) if state else None,
        staff=view.who.role in STAFF,
        has_rows=bool(corpora(project.scope)),
    )


def _start(view: View) -> Response:
    """Keeps the file's rows, where one came, and begins."""
    project = view.project
    if view.files:
        file = view.files[0].file
        project.add_corpus(file)
        shutil.rmtree(file.parent, ignore_errors=True)
    labels = (
        view.field("labels").replace("，", ",").replace("、", ",").replace("\n", ",").split(",")
    )
    project.labelling.start(labels, people=int(view.number("people") or 1))
    return view.go(path("p", project.name, "label"))


def _next(view: View) -> Response:
    """The row after the one that is shown, for the page's script."""
    state = _state(view)
    items = [] if state is None else _take(view, state)
    if state is None or len(items) < 2:
        return JSONResponse({"html": None})
    html = view.html(
        "label_item.html",
        project=view.project.name,
        item=_shown(items[1]),
        how=_how(view, state),
    )
    return JSONResponse({"html": html})


def _say(view: View) -> Response:
    project, desk, state = view.project, _desk(view), _state(view)
    if state is None:
        raise NotFound("label.not_begun", project=project.name)
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
        label = given(view, _how(view, state))
        if label is None:
            raise InvalidData("label.nothing", row=place[0])
        item.label(label)
    desk.finish(queue, who, place)
    return _on(view)


def _decide(view: View) -> Response:
    project, state = view.project, _state(view)
    if view.who.role not in STAFF or state is None:
        raise Forbidden("console.not_for_role", role=messages.t(f"console.{view.who.role}"))
    project.labelling.decide(view.field("id"), given(view, _how(view, state)))
    return view.go(path("p", project.name, "label"), messages.t("console.saved", view.lang))


def _collect(view: View) -> Response:
    project = view.project
    added = project.labelling.collect()
    tables = replace(added, next="", relabel=None, append=None).tables()
    said = [line for table in tables for line in (table.title, *table.notes)]
    return view.go(path("p", project.name, "runs"), *[line for line in said if line])


def _state(view: View) -> Labelling | None:
    try:
        return view.project.labelling.state()
    except NotFound:
        return None


def _how(view: View, state: Labelling) -> Any:
    return editor_of(view.project, tuple(state.labels))


def _take(view: View, state: Labelling) -> list[LabelItem]:
    who = view.reviewer
    make = view.project.labelling.queue
    return _desk(view).take(_queue(view, state), who, lambda: make(who), 2)


def _queue(view: View, state: Labelling) -> str:
    """One queue for all where a row wants one voice; else each person's own."""
    name = f"{view.project.name}:{state.corpus}"
    return name if state.people == 1 else f"{name}:{state.people}:{view.reviewer}"


def _on(view: View) -> Response:
    if view.request.headers.get("x-script"):
        return JSONResponse({"said": []})
    return view.go(path("p", view.project.name, "label"))


def _shown(item: LabelItem) -> Mapping[str, Any]:
    fields = item.item if isinstance(item.item, Mapping) else {"": item.item}
    return {
        "id": item.row,
        "fields": [
            (name, data_uri(v) if isinstance(v, bytes) else v, isinstance(v, bytes))
            for name, v in fields.items()
        ],
    }


def _desk(view: View) -> Desk[LabelItem]:
    return Desk.of(view, "labels")


PAGES = (
    Page("GET", "/p/{project}/label", _label, REVIEWERS),
    Page("POST", "/p/{project}/label/start", _start, STAFF, again=_label),
    Page("GET", "/p/{project}/label/next", _next, REVIEWERS),
    Page("POST", "/p/{project}/label", _say, REVIEWERS, again=_label),
    Page("POST", "/p/{project}/label/decide", _decide, STAFF, again=_label),
    Page("POST", "/p/{project}/label/collect", _collect, STAFF, again=_label),
)
