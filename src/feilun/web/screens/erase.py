"""Erasing a person: looked at before, done by a worker, told by the audit log afterwards."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from feilun import messages
from feilun.data.erasure import Selection
from feilun.project.erasing import erase, pending, write_down
from feilun.web.access import OWNERS
from feilun.web.view import Page, View

__all__ = ["PAGES"]

_SHOWN = 20


_FIELDS = ("texts", "rows", "subjects", "calls", "project")


def _page(view: View, **more: Any) -> Response:
    """Who leads here says whom: the query fills the form in."""
    asked = {name: view.query(name) for name in _FIELDS if view.query(name)}
    if asked and not view.typed:
        view.typed = {**asked, "keep_out": "yes"}
    acts = view.workspace.store.catalog.acts(_SHOWN, action="person.erase")
    everything = messages.t("console.every_project", view.lang)
    return view.render(
        "erase.html",
        waiting=len(pending(view.workspace.scope)),
        acts=acts,
        projects_now=[("", everything), *((p.name, p.name) for p in view.workspace.projects())],
        **{"found": None, **more},
    )


def _posted(view: View) -> Response:
    """What would go; pressed again on that page, it goes."""
    lines = {name: view.field(name).splitlines() for name in ("texts", "rows", "subjects")}
    lines["calls"] = view.field("calls").split()
    chosen = Selection(**{name: tuple(filter(None, v)) for name, v in lines.items()})
    project = view.field("project") or None
    keep_out = view.field("keep_out") == "yes"
    if view.field("do") == "erase":
        write_down(view.workspace.scope, chosen, project, keep_out=keep_out)
        return view.go("/system/erase", messages.t("console.erase_begun", view.lang))
    return _page(view, found=erase(view.workspace.scope, chosen, project, dry_run=True))


PAGES = (
    Page("GET", "/system/erase", _page, OWNERS),
    Page("POST", "/system/erase", _posted, OWNERS, again=_page),
)
