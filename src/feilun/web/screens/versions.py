"""Versions: what each scores and why it went live or did not; promote, share, roll back."""

from __future__ import annotations

from starlette.responses import HTMLResponse, Response

from feilun.errors import NotFound
from feilun.project import Model, Project
from feilun.project.results import scored
from feilun.render.wording import metric_name
from feilun.web.access import STAFF
from feilun.web.guard import DOCUMENT_POLICY
from feilun.web.paths import path
from feilun.web.quick import quick
from feilun.web.view import Page, View

__all__ = ["PAGES"]

# A report is a page of its own, with its style inside; it may do nothing but be looked at.


def _versions(view: View) -> Response:
    project = view.project
    listed = project.versions()
    links = {
        row["version"]: path("p", project.name, "versions", row["version"]) for row in listed.rows
    }
    return view.render(
        "versions.html",
        project=project.name,
        listed=listed,
        links=links,
        live=project.live,
        releases=project.releases(),
        beside=project.beside(),
        quick=quick(project),
    )


def _live(view: View) -> tuple[str, bool]:
    """What stands beside the live version, for as long as something does."""
    found = view.project.beside()
    return view.html("beside.html", beside=found), not found.rows


def _version(view: View) -> Response:
    project = view.project
    model = project.model(view.part("version"))
    scores = [
        (metric_name(name), scored(name, score))
        for name, score in model.metrics.get("test", {}).items()
        if score
    ]
    live = project.live
    return view.render(
        "version.html",
        project=project.name,
        model=model,
        scores=scores,
        is_live=live is not None and live.id == model.id,
        reports=len(_reports(model)),
        decisions=model.decisions(),
        golden=model.golden(),
        run=model.record.run_id,
    )


def _report(view: View) -> Response:
    model = view.project.model(view.part("version"))
    reports = _reports(model)
    part = view.part("number")
    number = int(part) if part.isdecimal() else 0
    if not 0 < number <= len(reports):
        raise NotFound("console.no_report", version=model.id)
    folder = view.workspace.store.artifacts.path(reports[number - 1])
    page = (folder / "report.html").read_text("utf-8")
    return HTMLResponse(page, headers={"content-security-policy": DOCUMENT_POLICY})


def _reports(model: Model) -> list[str]:
    """The reports of its decisions, oldest first, then that of the last look."""
    found = [one["report"] for one in model.metrics.get("decisions", ())]
    return list(dict.fromkeys([*found, *([model.record.report] if model.record.report else [])]))


def _deploy(view: View) -> Response:
    project = view.project
    version = view.part("version")
    how = view.field("how", "live")
    share = view.number("share")
    done = project.deploy(
        version,
        canary=share or 10.0 if how == "canary" else None,
        shadow=how == "shadow",
        force=view.field("force") == "yes",
        reason=view.field("reason") or None,
    )
    return _told(view, project, [note for table in done.tables() for note in table.notes])


def _rollback(view: View) -> Response:
    project = view.project
    done = project.rollback(
        shadow=view.field("shadow") == "yes", reason=view.field("reason") or None
    )
    return _told(view, project, [note for table in done.tables() for note in table.notes])


def _told(view: View, project: Project, said: list[str]) -> Response:
    return view.go(path("p", project.name, "versions"), *said)


PAGES = (
    Page("GET", "/p/{project}/versions", _versions, STAFF),
    Page("GET", "/p/{project}/versions/live", _live, STAFF, live=True),
    Page("POST", "/p/{project}/rollback", _rollback, STAFF, again=_versions),
    Page("GET", "/p/{project}/versions/{version}", _version, STAFF),
    Page("GET", "/p/{project}/versions/{version}/report/{number}", _report, STAFF),
    Page("POST", "/p/{project}/versions/{version}", _deploy, STAFF, again=_version),
)
