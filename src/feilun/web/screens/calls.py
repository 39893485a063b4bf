"""Calls: from a number on a bill to what was asked, which version answered, and of which rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from feilun import messages
from feilun.errors import Forbidden
from feilun.project.calls import CallShown
from feilun.web.access import CUSTOMERS, STAFF
from feilun.web.paths import path
from feilun.web.pictures import data_uri
from feilun.web.targets import editor, given
from feilun.web.view import Page, View

__all__ = ["PAGES", "fields_of"]

_SHOWN = 50


def _calls(view: View) -> Response:
    asked = {name: view.query(name) for name in ("customer", "project", "version", "period")}
    return _listed(view, "calls.html", asked, {name: v or None for name, v in asked.items()})


def _my_calls(view: View) -> Response:
    asked = {"period": view.query("period")}
    chosen = {"customer": view.who.customer, "period": asked["period"] or None}
    return _listed(view, "my_calls.html", asked, chosen)


def _listed(view: View, page: str, asked: dict[str, str], chosen: dict[str, Any]) -> Response:
    offset = int(view.query("offset")) if view.query("offset").isdecimal() else 0
    found = view.workspace.calls(**chosen, offset=offset, limit=_SHOWN)
    if view.who.role not in STAFF:
        found = replace(found, inside=False)
    given = {name: value for name, value in asked.items() if value}
    inside = ("mine",) if view.who.role not in STAFF else ()
    pages = {row["call"]: path(*inside, "calls", row["call"]) for row in found.rows}
    return view.render(
        page,
        found=found,
        asked=asked,
        links=pages,
        counts=list(pages.values()),
        following=urlencode({**given, "offset": offset + _SHOWN}) if found.more else None,
    )


def _call(view: View) -> Response:
    found = view.workspace.call(view.part("call"))
    return view.render("call.html", found=found, answers=_answers(found), mine=False)


def _my_call(view: View) -> Response:
    found = view.workspace.call(view.part("call"), customer=view.who.customer)
    project = view.workspace.project(found.events[-1]["project"])
    return view.render(
        "my_call.html", found=found, answers=_answers(found), how=editor(project), mine=True
    )


def _say(view: View) -> Response:
    """What the customer says is right, if the key may say so that they came in with."""
    who, call = view.who, view.part("call")
    found = view.workspace.call(call, customer=who.customer)
    key = view.workspace.working_key(who.customer or "", who.key or "")
    if key is None or "feedback" not in key.scopes:
        raise Forbidden("console.no_feedback")
    label = given(view, editor(view.workspace.project(found.events[-1]["project"])))
    index = int(view.field("index")) if view.field("index").isdecimal() else 0
    view.workspace.correct(call, index, label, customer=key.customer, key=key.id)
    return view.go(path("mine", "calls", call), messages.t("console.corrected", view.lang))


def _answers(found: CallShown) -> list[dict[str, Any]]:
    return [{**one, "fields": fields_of(one["input"])} for one in found.answers]


def fields_of(item: Any) -> list[tuple[str, Any, bool]]:
    """What was asked, by field: its name, its value, and whether that is a picture; nothing where
    it is not kept."""
    if item is None:
        return []
    fields = item if isinstance(item, dict) else {"": item}
    return [
        (name, data_uri(v) if isinstance(v, bytes) else v, isinstance(v, bytes))
        for name, v in fields.items()
    ]


PAGES = (
    Page("GET", "/calls", _calls, STAFF),
    Page("GET", "/calls/{call}", _call, STAFF),
    Page("GET", "/mine/calls", _my_calls, CUSTOMERS),
    Page("GET", "/mine/calls/{call}", _my_call, CUSTOMERS),
    Page("POST", "/mine/calls/{call}", _say, CUSTOMERS, again=_my_call),
)
