"""Data: files come in, are looked at, read otherwise where that is needed, and only then kept."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from feilun import messages
from feilun.data.splits import SPLITS
from feilun.errors import InvalidData, NotFound
from feilun.project import Project
from feilun.web.access import STAFF
from feilun.web.paths import path
from feilun.web.view import Page, View

__all__ = ["PAGES"]

_ROWS = 50
_READING = ("encoding", "delimiter", "header_row", "sheet")


def _data(view: View) -> Response:
    project = view.project
    if not _has_data(project):
        return view.render("data.html", project=project.name, versions=None)
    asked = {name: view.query(name) for name in ("text", "split", "label")}
    offset = int(view.query("offset")) if view.query("offset").isdecimal() else 0
    found = project.rows(
        asked["text"],
        split=asked["split"] or None,
        label=asked["label"] or None,
        offset=offset,
        limit=_ROWS,
    )
    everything = messages.t("console.everything", view.lang)
    splits = [(name, messages.t(f"project.split_{name}", view.lang)) for name in SPLITS]
    return view.render(
        "data.html",
        project=project.name,
        versions=project.show(0),
        found=found,
        asked=asked,
        splits=[("", everything), *splits],
        following=urlencode({**asked, "offset": offset + _ROWS}) if found.more else None,
    )


def _upload(view: View) -> Response:
    if not view.files:
        raise InvalidData("console.no_file")
    return view.go(path("p", view.project.name, "data", "check", view.files[0].file.parent.name))


def _check(view: View) -> Response:
    """How the file is understood; nothing is kept."""
    project, file = view.project, _uploaded(view)
    found = project.preview(file, columns=_columns(view), **_reading(view))
    return view.render("check.html", project=project.name, file=file.name, found=found)


def _keep(view: View) -> Response:
    project, file = view.project, _uploaded(view)
    added = project.add(
        file,
        columns=_columns(view),
        relabel=view.field("relabel") == "yes",
        **_reading(view),
    )
    shutil.rmtree(file.parent, ignore_errors=True)
    # Where to go on is what the page itself offers.
    tables = replace(added, next="", relabel=None).tables()
    said = [line for table in tables for line in (table.title, *table.notes)]
    return view.go(path("p", project.name, "data"), *[line for line in said if line])


def _audit(view: View) -> Response:
    project = view.project
    found = project.audit(quick=True)
    return view.render("audit.html", project=project.name, found=found)


def _uploaded(view: View) -> Path:
    token = view.part("token")
    folder = view.workspace.store.folder / "uploads" / token
    files = list(folder.iterdir()) if token.isalnum() and folder.is_dir() else []
    if not files:
        raise NotFound("console.upload_gone")
    return files[0]


def _columns(view: View) -> dict[str, str]:
    """The roles that were chosen by hand: role to column."""
    chosen = view.field("chosen") == "yes"
    given = {name: column for name, column in view.typed.items() if column and chosen}
    return {n.removeprefix("role:"): column for n, column in given.items() if n[:5] == "role:"}


def _reading(view: View) -> dict[str, Any]:
    found: dict[str, Any] = {name: view.field(name) or None for name in _READING}
    if found["header_row"] is not None:
        number = view.number("header_row")
        found["header_row"] = int(number or 0)
    return found


def _has_data(project: Project) -> bool:
    return project.workspace.store.catalog.latest_data(project.name) is not None


def _check_posted(view: View) -> Response:
    if view.field("do") == "keep":
        return _keep(view)
    return _check(view)


PAGES = (
    Page("GET", "/p/{project}/data", _data, STAFF),
    Page("POST", "/p/{project}/data", _upload, STAFF, again=_data),
    Page("GET", "/p/{project}/data/check/{token}", _check, STAFF),
    Page("POST", "/p/{project}/data/check/{token}", _check_posted, STAFF, again=_check),
    Page("GET", "/p/{project}/data/audit", _audit, STAFF),
)
