"""Data: files come in, are looked at, read otherwise where that is needed, and only then kept."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.background import BackgroundTask
from starlette.responses import FileResponse, HTMLResponse, Response

from feilun import messages
from feilun.data.splits import SPLITS
from feilun.errors import InvalidData, NotFound, UsageError
from feilun.project import Project
from feilun.project.mend import to_do
from feilun.project.queued import tables_of
from feilun.project.results import Added
from feilun.project.row_search import shown_input
from feilun.project.suspected import suspected
from feilun.store.records import DataVersion, RunKind
from feilun.web.access import OWNERS, STAFF
from feilun.web.guard import DOCUMENT_POLICY
from feilun.web.paths import path
from feilun.web.screens.runs import shown
from feilun.web.view import Page, View

__all__ = ["PAGES", "chosen_columns", "kept", "reading", "show_data"]

_ROWS = 50
_LOOK: RunKind = "data audit"
_MEND: RunKind = "data clean"
_SUFFIXES = {"label-studio": ".json", "doccano": ".jsonl", "csv": ".csv"}
_READING = ("encoding", "delimiter", "header_row", "sheet")


def show_data(view: View) -> Response:
    """The data versions, and rows of the newest."""
    project = view.project
    if not _has_data(project):
        return view.render("data.html", project=project.name, versions=None)
    asked = {name: view.query(name) for name in ("text", "split", "label", "source")}
    offset = int(view.query("offset")) if view.query("offset").isdecimal() else 0
    suspect = view.query("suspect") == "yes"
    asked |= {"suspect": "yes"} if suspect else {}
    found = project.rows(
        asked["text"],
        split=asked["split"] or None,
        label=asked["label"] or None,
        source=asked["source"] or None,
        suspect=suspect,
        offset=offset,
        limit=_ROWS,
    )
    everything = messages.t("console.everything", view.lang)
    splits = [(name, messages.t(f"project.split_{name}", view.lang)) for name in SPLITS]
    return view.render(
        "data.html",
        project=project.name,
        versions=project.show(0),
        counts=[path("p", project.name, "data", "versions", one.id) for one in _all(project)],
        earlier=[(one.id, one.id) for one in reversed(_all(project)[:-1])],
        audited=_looked(project)["page"] is not None,
        suspect=suspect,
        shown_input=shown_input,
        leads=_leads(view),
        erases=_erasing(view, texts=asked["text"]) if asked["text"] and found.rows else None,
        found=found,
        asked=asked,
        splits=[("", everything), *splits],
        formats=[(name, messages.t(f"console.format_{name}", view.lang)) for name in _SUFFIXES],
        following=urlencode({**asked, "offset": offset + _ROWS}) if found.more else None,
    )


def _leads(view: View) -> Callable[[str, str], str | None]:
    """Where cells lead, for an owner also from whose rows they are to erasing them."""
    others, subject = view.leads(), messages.t("project.subject", view.lang)

    def leads(cell: str, column: str) -> str | None:
        if column == subject and cell != "–":
            return _erasing(view, subjects=cell)
        return others(cell, column)

    return leads


def _erasing(view: View, **whom: str) -> str | None:
    """The page that erases a person, with the person filled in; None for who may not."""
    if view.who.role not in OWNERS:
        return None
    return f"/system/erase?{urlencode({**whom, 'project': view.project.name})}"


def _upload(view: View) -> Response:
    if not view.files:
        raise InvalidData("console.no_file")
    return view.go(path("p", view.project.name, "data", "check", view.files[0].file.parent.name))


def _check(view: View) -> Response:
    """How the file is understood; nothing is kept."""
    project, file = view.project, _uploaded(view)
    found = project.preview(file, columns=chosen_columns(view), **reading(view))
    return view.render("check.html", project=project.name, file=file.name, found=found)


def _keep(view: View) -> Response:
    project, file = view.project, _uploaded(view)
    added = project.add(
        file,
        columns=chosen_columns(view),
        relabel=view.field("relabel") == "yes",
        append=view.field("append") == "yes",
        **reading(view),
    )
    shutil.rmtree(file.parent, ignore_errors=True)
    return kept(view, added)


def kept(view: View, added: Added) -> Response:
    """Goes on to the data with what was kept; where to go on is what that page itself offers."""
    tables = replace(added, next="", relabel=None, append=None).tables()
    said = [line for table in tables for line in (table.title, *table.notes)]
    return view.go(path("p", view.project.name, "data"), *[line for line in said if line])


def _audit(view: View) -> Response:
    project = view.project
    return view.render("audit.html", project=project.name, **_looked(project))


def _audit_live(view: View) -> tuple[str, bool]:
    """How far the look is, until it has ended."""
    project = view.project
    found = _looked(project)
    html = view.html("audit_state.html", project=project.name, **found)
    return html, not any(found[name] and found[name]["moves"] for name in ("look", "mend"))


def _begin_audit(view: View) -> Response:
    """Queues a look, which a worker carries out whatever becomes of this browser."""
    project = view.project
    project.scope.data()  # raises where there is none
    look = _looked(project)["look"]
    if look is None or not look["moves"]:
        project.enqueue(_LOOK)
    return view.go(path("p", project.name, "data", "audit"))


def _audit_page(view: View) -> Response:
    page = _looked(view.project)["page"]
    if page is None:
        raise NotFound("console.not_audited")
    text = page.read_text("utf-8")
    return HTMLResponse(text, headers={"content-security-policy": DOCUMENT_POLICY})


def _mend(view: View) -> Response:
    """Queues what mends a finding, or gives the ticked suspect rows their other label."""
    project = view.project
    if "suspect" in view.many:
        project.enqueue(_MEND, options={"suspects": view.many["suspect"]})
    else:
        found, number = project.findings(), view.field("finding")
        place = int(number) if number.isdecimal() else len(found)
        steps = found[place].steps if place < len(found) else {}
        if not steps:
            raise NotFound("console.no_finding")
        project.enqueue(_MEND, options={"steps": dict(steps)})
    return view.go(path("p", project.name, "data", "audit"))


def _use(view: View) -> Response:
    """Makes an earlier data version the newest again."""
    project = view.project
    used = project.use_data(view.field("version"))
    said = [line for table in used.tables() for line in (table.title, *table.notes[:-1])]
    return view.go(path("p", project.name, "data"), *[line for line in said if line])


def _export(view: View) -> Response:
    """Rows for a labelling tool; what is more than one file comes as a ZIP file."""
    project, form = view.project, view.query("format", "csv")
    if form not in _SUFFIXES:
        raise UsageError("formats.unknown", format=form[:40], options=tuple(_SUFFIXES))
    folder = Path(tempfile.mkdtemp(prefix="export-", dir=view.workspace.store.folder))
    try:
        only = None
        if view.query("suspect") == "yes":
            only = folder / "only.csv"
            only.write_text("\n".join(["row_id", *suspected(project.scope)]), "utf-8")
        out = folder / "rows"
        out.mkdir()
        file = out / f"{project.scope.data().id.replace(':', '-')}{_SUFFIXES[form]}"
        split = view.query("split") or None
        done = project.export_data(file, format=form, split=split, only=only)
        if done.media or done.config:
            file = Path(shutil.make_archive(str(folder / file.stem), "zip", out))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    gone = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
    return FileResponse(file, filename=file.name, background=gone)


def _relabel(view: View) -> Response:
    """The labels of a file that a labelling tool or a spreadsheet gave back."""
    project = view.project
    if not view.files:
        raise InvalidData("console.no_file")
    file = view.files[0].file
    try:
        done = project.clean(relabel=str(file))
    finally:
        shutil.rmtree(file.parent, ignore_errors=True)
    [told] = replace(done, next="").tables()
    return view.go(path("p", project.name, "data"), told.title, *told.notes)


def _diff(view: View) -> Response:
    """What tells a data version from the one before it."""
    project = view.project
    found = project.diff_data(view.part("data"))
    rows = path("p", project.name, "data")
    newest = _all(project)[-1].id == found.version
    counts = [f"{rows}?{urlencode({'split': name})}#rows" for name in found.splits if newest]
    return view.render("data_diff.html", project=project.name, found=found, counts=counts)


def _all(project: Project) -> Sequence[DataVersion]:
    return project.workspace.store.catalog.data_versions(project.name)


def _looked(project: Project) -> dict[str, Any]:
    """The last `look` that was asked for, None before the first, and the `page` of the newest one
    at the data as it is, with its `time` and the `findings`; the `mend` that was asked for last."""
    catalog = project.workspace.store.catalog
    runs, mends = (catalog.runs(project.name, kinds=(kind,), limit=1) for kind in (_LOOK, _MEND))
    version = project.scope.data().id if _has_data(project) else ""
    page = project.file.parent / "audit" / f"{version.replace(':', '-')}.html"
    there = page.is_file()
    return {
        "look": shown(project, runs[0]) if runs else None,
        "mend": shown(project, mends[0]) if mends else None,
        "mended": tables_of(mends[0]) if mends else [],
        "findings": project.findings() if there else (),
        "to_do": to_do,
        "page": page if there else None,
        "time": datetime.fromtimestamp(page.stat().st_mtime, UTC) if there else None,
        "version": version,
    }


def _uploaded(view: View) -> Path:
    token = view.part("token")
    folder = view.workspace.store.folder / "uploads" / token
    files = list(folder.iterdir()) if token.isalnum() and folder.is_dir() else []
    if not files:
        raise NotFound("console.upload_gone")
    return files[0]


def chosen_columns(view: View) -> dict[str, str]:
    """The roles that were chosen by hand: role to column."""
    chosen = view.field("chosen") == "yes"
    given = {name: column for name, column in view.typed.items() if column and chosen}
    return {n.removeprefix("role:"): column for n, column in given.items() if n[:5] == "role:"}


def reading(view: View) -> dict[str, Any]:
    """How the form says that a file is written, as `Project.add` takes it."""
    found: dict[str, Any] = {name: view.field(name) or None for name in _READING}
    if found["header_row"] is not None:
        number = view.number("header_row")
        found["header_row"] = int(number or 0)
    first = view.field("day_first")
    found["day_first"] = first == "day" if first else None
    return found


def _has_data(project: Project) -> bool:
    return project.workspace.store.catalog.latest_data(project.name) is not None


def _check_posted(view: View) -> Response:
    if view.field("do") == "keep":
        return _keep(view)
    return _check(view)


PAGES = (
    Page("GET", "/p/{project}/data", show_data, STAFF),
    Page("POST", "/p/{project}/data", _upload, STAFF, again=show_data),
    Page("GET", "/p/{project}/data/check/{token}", _check, STAFF),
    Page("POST", "/p/{project}/data/check/{token}", _check_posted, STAFF, again=_check),
    Page("GET", "/p/{project}/data/audit", _audit, STAFF),
    Page("POST", "/p/{project}/data/audit", _begin_audit, STAFF, again=_audit),
    Page("POST", "/p/{project}/data/mend", _mend, STAFF, again=_audit),
    Page("POST", "/p/{project}/data/use", _use, STAFF, again=show_data),
    Page("GET", "/p/{project}/data/export", _export, STAFF, again=show_data),
    Page("POST", "/p/{project}/data/relabel", _relabel, STAFF, again=show_data),
    Page("GET", "/p/{project}/data/versions/{data}", _diff, STAFF),
    Page("GET", "/p/{project}/data/audit/live", _audit_live, STAFF, live=True),
    Page("GET", "/p/{project}/data/audit/page", _audit_page, STAFF),
)
