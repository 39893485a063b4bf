"""Looks that somebody asked for and a worker carries out: an audit, a plan, methods side by side;
and what mends the findings of an audit.

    python -m feilun.project.queued RUN FOLDER

A look is a row of the catalog's runs from the moment it is asked for until its result stands there,
as tables in every language. One whose process was killed is ``running`` without a process: the next
worker of that machine carries it out again, as another attempt at its step. What a look keeps of
its own (methods that were compared, say) is found again.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from feilun import messages
from feilun.errors import AlreadyRunning, FeilunError, UsageError
from feilun.messages.sentences import params_to_kept, said_again
from feilun.pipeline.context import Context
from feilun.pipeline.runner import Noted
from feilun.project.project import Project
from feilun.project.scope import Report
from feilun.project.status import run_state
from feilun.project.suspected import reviewed
from feilun.project.workspace import Workspace
from feilun.store.records import LOOK_KINDS, LookKind, Run
from feilun.table import Result, to_jsonable

__all__ = ["LOOKS", "carry_out", "tables_of"]

_Look = Callable[[Project, Mapping[str, Any], Report], Result]


def _plan(project: Project, options: Mapping[str, Any], report: Report) -> Result:
    return project.plan(overrides=options.get("set"), report=report)


def _compare(project: Project, options: Mapping[str, Any], report: Report) -> Result:
    return project.compare(options.get("methods") or "all", report=report)


def _bases(project: Project, options: Mapping[str, Any], report: Report) -> Result:
    return project.bases(options.get("bases", ()), report=report)


def _explore(project: Project, options: Mapping[str, Any], report: Report) -> Result:
    return project.explore(report=report)


def _audit(project: Project, options: Mapping[str, Any], report: Report) -> Result:
    return project.audit(report=report)


def _clean(project: Project, options: Mapping[str, Any], report: Report) -> Result:
    steps = dict(options.get("steps", {}))
    if "suspects" in options:
        steps["relabel"] = str(reviewed(project.scope, options["suspects"]))
    return project.clean(report=report, **steps)


def _judge(project: Project, options: Mapping[str, Any], report: Report) -> Result:
    return project.judge(
        options["address"],
        options.get("version"),
        judge_model=options["judge_model"],
        against=options.get("against"),
        rows=int(options.get("rows", 50)),
        report=report,
    )


def _preference(project: Project, options: Mapping[str, Any], report: Report) -> Result:
    return project.preference.start(
        options.get("version"),
        options.get("against"),
        rows=int(options.get("rows", 100)),
        prompts=options.get("prompts"),
        people=int(options.get("people", 1)),
        report=report,
    )


LOOKS: Mapping[LookKind, _Look] = {
    "data audit": _audit,
    "data clean": _clean,
    "plan": _plan,
    "compare": _compare,
    "bases": _bases,
    "explore": _explore,
    "judge": _judge,
    "preference": _preference,
}
"""What can be asked for, by the kind of its run."""


def carry_out(workspace: Workspace, id: str) -> Result:
    """Carries the look `id` out, in this process, looks of one project one after the other. Its run
    says how far it is, and in the end what was found or why it failed. Raises what the verb raises,
    and `AlreadyRunning` where another worker was faster, also one that has ended it."""
    catalog = workspace.store.catalog
    run = catalog.run(id)
    if run.kind not in LOOK_KINDS:
        raise UsageError("project.no_look", kind=run.kind, options=list(LOOK_KINDS))
    with workspace.store.lock(f"{run.project} looks"):
        return _carry_out(workspace, id, run.kind)


def _carry_out(workspace: Workspace, id: str, kind: LookKind) -> Result:
    catalog = workspace.store.catalog
    run = catalog.run(id)
    state = run_state(workspace.store, run)["state"]
    if state not in ("queued", "interrupted"):
        raise AlreadyRunning("store.already_running", project=run.project, pid=run.pid)
    project = workspace.project(run.project)
    here = {**run.config, "machine": platform.node()}
    catalog.update_run(id, state="running", pid=os.getpid(), config=here)
    context: Context = replace(project.scope.context(), run_id=id)
    step = run.kind.replace(" ", "_")
    catalog.begin_step(id, step)
    report = Noted(context, step)
    try:
        with messages.knowing():
            found = LOOKS[kind](project, run.config, report)
            tables = _tables(found)
    except AlreadyRunning:  # somebody was faster: it waits
        catalog.finish_step(id, step, state="interrupted")
        catalog.update_run(id, state="queued", pid=None)
        raise
    except FeilunError as error:
        catalog.finish_step(id, step, state="failed")
        catalog.update_run(id, state="failed", error=error.sentence())
        raise
    except KeyboardInterrupt:
        catalog.finish_step(id, step, state="interrupted")
        catalog.update_run(id, state="stopped")
        raise
    except BaseException as error:
        catalog.finish_step(id, step, state="failed")
        catalog.update_run(id, state="failed", error=type(error).__name__)
        raise
    report.close()
    catalog.finish_step(id, step)
    catalog.update_run(id, state="finished", result={"tables": tables})
    return found


def tables_of(run: Run) -> list[Mapping[str, Any]]:
    """What the finished look `run` found, as the tables that people of the language in force see;
    nothing before."""
    kept: Mapping[str, list[Mapping[str, Any]]] = run.result.get("tables", {})
    return kept.get(messages.language(), [])


def _tables(found: Result) -> Mapping[messages.Language, Any]:
    """The tables of a result in every language, also of sentences that were made with it."""
    return messages.in_each(lambda: said_again(to_jsonable(list(found.tables()))))


def main() -> int:
    """Carries out the look that the arguments name, and prints its failure as commands do."""
    id, folder = sys.argv[1:]
    with Workspace(folder) as workspace:
        try:
            carry_out(workspace, id)
        except FeilunError as error:
            params = params_to_kept(error.params)
            said = {"code": error.code, "message": error.message(), "params": params}
            sys.stdout.write(json.dumps({"error": said}, ensure_ascii=False))
            return error.exit_code
        except KeyboardInterrupt:
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
