"""Runs: started here, executed by a worker, watched live, stopped and gone on with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast
from urllib.parse import urlencode

from starlette.responses import Response

from feilun import messages
from feilun.errors import Conflict, InvalidData, NotFound
from feilun.messages.words import step_words, unit_words
from feilun.project import Project
from feilun.project.planning import planned_table
from feilun.project.queued import tables_of
from feilun.project.quick import ROWS
from feilun.project.runs_beside import pinned
from feilun.project.status import run_state
from feilun.store.records import LOOK_KINDS, Run, RunKind, StepRun
from feilun.web.access import STAFF
from feilun.web.curves import curves
from feilun.web.paths import path
from feilun.web.quick import quick
from feilun.web.view import Page, View

__all__ = ["PAGES", "methods_of", "shown"]

_SHOWN = 50
_MOST = 1 << 40  # that a database counts
_QUEUED = "-queued-"
_KINDS = ("run", "update", "train", "tune")
_LEFT = ("failed", "stopped", "interrupted")


def _runs(view: View) -> Response:
    project, offset = view.project, _offset(view)
    found = _list(project, offset)
    return view.render(
        "runs.html",
        project=project.name,
        ready=project.workspace.store.catalog.latest_data(project.name) is not None,
        live_version=project.live,
        list=found,
        newest=offset == 0,
        pages=_pages(project, offset),
        methods=methods_of(project),
    )


def _live(view: View) -> tuple[str, bool]:
    """The list of runs, until nothing moves."""
    found = _list(view.project)
    html = view.html("runs_list.html", project=view.project.name, list=found)
    return html, not any(one["moves"] for one in found)


def _start(view: View) -> Response:
    project = view.project
    kind = view.field("kind", "run")
    if kind not in _KINDS:
        raise InvalidData("console.bad_kind", kind=kind[:40], options=_KINDS)
    minutes, method = view.number("minutes"), view.field("method") or None
    searches = kind == "tune"
    changes: dict[str, Any] = {}
    if view.field("quick") == "yes":
        found = quick(project)
        if found is None or not found["ready"]:
            raise Conflict("console.nothing_quick", project=project.called, need=ROWS)
        changes |= project.hastened()
    if minutes is not None:
        changes["tune.minutes" if searches else "training.time_limit"] = minutes
    if method and searches:
        changes["tune.methods"] = [method]
    project.enqueue(
        cast("RunKind", kind),
        method=None if searches else method,
        overrides=changes or None,
        restart=view.field("restart") == "yes",
    )
    return view.go(path("p", project.name, "runs"), messages.t("console.queued", view.lang))


def _run(view: View) -> Response:
    return view.render("run.html", **_run_state(view))


def _run_live(view: View) -> tuple[str, bool]:
    """The state of one run with its curves, until it has ended."""
    found = _run_state(view)
    return view.html("run_state.html", **found), not found["one"]["moves"]


def _run_state(view: View) -> dict[str, Any]:
    project = view.project
    catalog = project.workspace.store.catalog
    run = catalog.run(view.part("run"))
    if run.project != project.name:
        raise NotFound("store.no_run", id=run.id)
    looks, steps = run.kind in LOOK_KINDS, catalog.steps(run.id)
    turned = project.turned(run.id) if run.result and not looks else None
    return {
        "project": project.name,
        "one": shown(project, run),
        "steps": [
            {
                "name": step_words(step.step),
                "state": step.state,
                "attempt": step.attempt,
                "started": step.started,
                "took": step.finished and (step.finished - step.started).total_seconds(),
                "notes": [*step.notes, *_golden(step)],
            }
            for step in steps
        ],
        "curves": curves(steps),
        "plan": planned_table(run.plan),
        # Where to go on is what the page itself offers.
        "result": replace(turned, next="", report=None) if turned else None,
        "tables_found": tables_of(run) if looks else [],
    }


def _golden(step: StepRun) -> list[str]:
    """What the golden requests proved, where the step asked them."""
    found = step.result.get("golden")
    return [messages.t("project.golden", **found)] if found and found.get("total") else []


def _compare(view: View) -> Response:
    """Runs that have ended, and those that are chosen side by side."""
    project = view.project
    chosen = view.request.query_params.getlist("run")
    baseline = view.query("baseline") or pinned(project.scope)
    offset = _offset(view)
    ended = [one for one in _list(project, offset) if not one["moves"] and not one["queued"]]
    return view.render(
        "compare.html",
        project=project.name,
        list=ended,
        pages=_pages(project, offset),
        chosen=chosen,
        elsewhere=[run for run in chosen if run not in {one["run"] for one in ended}],
        query="".join(f"{urlencode({'run': run})}&" for run in chosen),
        baseline=baseline,
        found=project.compare_runs(*chosen, baseline=baseline) if chosen else None,
    )


def _pin(view: View) -> Response:
    project, baseline = view.project, view.field("baseline")
    project.pin_run(baseline or None)
    target = path("p", project.name, "runs", "compare")
    chosen = urlencode([("run", one) for one in view.many.get("run", [])])
    return view.go(f"{target}?{chosen}" if chosen else target, messages.t("console.pinned"))


def _stop(view: View) -> Response:
    project = view.project
    project.stop(view.part("run"))
    return view.go(path("p", project.name, "runs"), messages.t("console.stopping", view.lang))


def _go_on(view: View) -> Response:
    project = view.project
    project.go_on(view.part("run"))
    return view.go(path("p", project.name, "runs"), messages.t("console.queued", view.lang))


def _offset(view: View) -> int:
    return int(view.query("offset")) if view.query("offset").isdecimal() else 0


def _pages(project: Project, offset: int) -> dict[str, int | None]:
    """Where the page of the runs before and that of those after begins."""
    follows = project.workspace.store.catalog.runs(
        project.name, limit=1, offset=min(offset + _SHOWN, _MOST)
    )
    return {
        "newer": max(0, offset - _SHOWN) if offset else None,
        "older": offset + _SHOWN if follows else None,
    }


def _list(project: Project, offset: int = 0) -> list[Mapping[str, Any]]:
    """The newest runs, or those from the `offset`-th on. A place in the queue is a run of its own
    only until it has begun."""
    runs = project.workspace.store.catalog.runs(
        project.name, limit=_SHOWN, offset=min(offset, _MOST)
    )
    begun = sorted((run.created for run in runs if _QUEUED not in run.id), reverse=True)
    listed = []
    for run in reversed(runs):
        if _QUEUED in run.id and run.kind in _KINDS:
            # The oldest place is the first to begin.
            taken = next((at for at in reversed(begun) if at > run.created), None)
            if taken is not None:
                begun.remove(taken)
                continue
            if run.state == "finished":
                continue
        listed.append(shown(project, run))
    return listed[::-1]


def shown(project: Project, run: Run) -> Mapping[str, Any]:
    """`run` as pages show it: its state, how far it is, whether it `moves`."""
    one = run_state(project.workspace.store, run)
    progress = one["progress"]
    # A look whose process is gone is begun again by the worker of this console.
    again = run.kind in LOOK_KINDS and one["state"] == "interrupted"
    return {
        **one,
        "look": run.kind in LOOK_KINDS,
        "again": again or (run.kind in LOOK_KINDS and (one["attempt"] or 1) > 1),
        "moves": one["state"] in ("queued", "running") or again,
        "queued": _QUEUED in run.id and run.kind in _KINDS,
        "goes_on": _QUEUED not in run.id and run.kind in _KINDS and one["state"] in _LEFT,
        "words": step_words(one["step"]) if one["step"] else "",
        "done": progress.done if progress else 0,
        "total": progress.total if progress and progress.total else 0,
        "figures": "  ".join(
            f"{unit_words(name)} {value:.4g}" for name, value in progress.figures.items()
        )
        if progress
        else "",
        "created": run.created,
    }


def methods_of(project: Project) -> list[tuple[str, str]]:
    """The methods that can learn the project's task, to choose from; first none."""
    from feilun.training.settings import methods_for

    auto = messages.t("console.method_auto")
    return [("", auto), *((name, name) for name in methods_for(project.task))]


PAGES = (
    Page("GET", "/p/{project}/runs", _runs, STAFF),
    Page("GET", "/p/{project}/runs/live", _live, STAFF, live=True),
    Page("POST", "/p/{project}/runs", _start, STAFF, again=_runs),
    Page("GET", "/p/{project}/runs/compare", _compare, STAFF),
    Page("POST", "/p/{project}/runs/compare", _pin, STAFF, again=_compare),
    Page("GET", "/p/{project}/runs/{run}", _run, STAFF),
    Page("GET", "/p/{project}/runs/{run}/live", _run_live, STAFF, live=True),
    Page("POST", "/p/{project}/runs/{run}/stop", _stop, STAFF, again=_runs),
    Page("POST", "/p/{project}/runs/{run}/go-on", _go_on, STAFF, again=_run),
)
