"""Runs one turn: takes the project's lock, names the run, executes its steps once each.

The run's id derives from the kind, the project, what it learns from and the resolved
configuration, so the same command after a kill finds the same run and goes on; ``restart`` adds a
number and begins anew. The catalog counts every execution of every step.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from feilun import messages
from feilun.config import ProjectConfig, Settings
from feilun.engines.upstream import METHOD as UPSTREAM
from feilun.errors import FeilunError, Refused
from feilun.pipeline import durable
from feilun.pipeline.context import Context
from feilun.pipeline.steps import STEPS
from feilun.pipeline.turn import BODIES
from feilun.store import Store
from feilun.store.records import CurvePoint, Run, RunKind
from feilun.types import Progress

__all__ = ["Noted", "Turn", "identity", "turn"]


class Turn(NamedTuple):
    """A finished run, and whether it had finished before: then nothing was executed."""

    run: Run
    repeated: bool


_EVERY = 0.5  # seconds between progress rows in the catalog: each is a commit
_POINTS = 200  # of a curve: more cannot be told apart on a screen
_NOTES = 50


def turn(
    store: Store,
    settings: Settings,
    kind: RunKind,
    config: ProjectConfig,
    method_settings: Mapping[str, Mapping[str, Any]],
    *,
    restart: bool = False,
    report: Callable[[Progress], None] | None = None,
) -> Turn:
    """Executes the turn to its end. One that finished before is returned as it is.

    Raises `AlreadyRunning` while another process executes this project, and what a step raised;
    the next call then goes on at that step.
    """
    project = store.catalog.known(config.project.name)
    with store.lock(project):
        config_json = config.model_dump(mode="json")
        config_json["project"]["name"] = project  # a renamed one goes on where it was
        run_id = identity(store, kind, project, config_json, restart=restart)
        known = store.catalog.add_run(run_id, project, kind, config=config_json, state="running")
        if known.state == "finished":
            return Turn(known, repeated=True)
        for other in store.catalog.runs(project, states=("running",)):
            if other.id != run_id and other.kind in BODIES:  # its process is gone: we hold the lock
                store.catalog.update_run(other.id, state="stopped")
        store.catalog.update_run(run_id, state="running", pid=os.getpid())
        context = Context(
            store=store,
            settings=settings,
            project=project,
            run_id=run_id,
            config=config,
            method_settings=method_settings,
            report=report or (lambda progress: None),
        )
        try:
            result = durable.execute(run_id, project, store.dbos_url, BODIES[kind], _Steps(context))
        except Refused as error:
            store.catalog.update_run(run_id, state="refused", error=error.sentence())
            raise
        except FeilunError as error:
            store.catalog.update_run(run_id, state="failed", error=error.sentence())
            raise
        except KeyboardInterrupt:
            store.catalog.update_run(run_id, state="stopped")
            raise
        except BaseException as error:
            store.catalog.update_run(run_id, state="failed", error=type(error).__name__)
            raise
        run = store.catalog.update_run(run_id, state="finished", result=result)
        return Turn(run, repeated=False)


def identity(
    store: Store,
    kind: RunKind,
    project: str,
    config: Mapping[str, Any],
    *,
    restart: bool = False,
) -> str:
    """The run's id. With `restart` one that no run has had yet."""
    data = store.catalog.latest_data(project)
    learns: list[Any] = [data.artifact if data else None]
    if kind == "update":
        live = store.catalog.live(store.catalog.project(project).endpoint)
        unused = sorted(f.feedback.id for f in store.ledger.feedback(project, unused_only=True))
        learns += [live.version if live else None, unused]
        if any(one.method == UPSTREAM for one in store.catalog.model_versions(project)):
            learns += [
                one.prediction_id for one in store.ledger.recent_predictions(project, limit=1)
            ]
    if before := store.catalog.setting(f"deleted:{project}"):
        learns.append(before)
    what = json.dumps([kind, project, learns, config], sort_keys=True, default=str)
    base = f"{project}-{kind}-{hashlib.sha256(what.encode()).hexdigest()[:12]}"
    taken = {r.id for r in store.catalog.runs(project) if r.id == base or r.id.startswith(base)}
    # A turn of corrections changes what the next one would learn from, so an unfinished update
    # is found by its state, not by the corrections it has already collected.
    if kind == "update" and not restart:
        open_runs = store.catalog.runs(project, states=("running", "failed", "stopped"))
        for run in open_runs:
            if run.kind == kind and run.config == config and store.catalog.steps(run.id):
                return run.id
    if not taken:
        return base
    newest = max(taken, key=lambda name: int(name.rpartition(".")[2]) if "." in name else 1)
    if not restart:
        return newest
    number = int(newest.rpartition(".")[2]) + 1 if "." in newest else 2
    return f"{base}.{number}"


class _Steps:
    """Executes named steps and keeps count in the catalog."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __call__(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        context, catalog = self._context, self._context.store.catalog
        done = catalog.finished_step(context.run_id, name)
        if done is not None:
            return dict(done.result)
        catalog.begin_step(context.run_id, name)
        report = Noted(context, name)
        report(Progress(name, 0, 0), force=True)
        try:
            with messages.knowing():
                result = STEPS[name.partition(":")[0]](replace(context, report=report), **arguments)
        except BaseException:
            catalog.finish_step(context.run_id, name, state="failed")
            raise
        report.close()
        catalog.finish_step(context.run_id, name, result)
        return result


class Noted:
    """Passes the progress of `step` on to who watches, and now and then to the catalog for others,
    with the figures on the way, at most `_POINTS` evenly, and the last `_NOTES` sentences."""

    def __init__(self, context: Context, step: str) -> None:
        self._context, self._step, self._last = context, step, 0.0
        self._curve: list[CurvePoint] = []
        self._notes: list[str] = []
        self._every = self._seen = 0
        self._unsaved: Progress | None = None

    def __call__(self, progress: Progress, *, force: bool = False) -> None:
        durable.check()
        progress = replace(progress, step=self._step)
        self._context.report(progress)
        if progress.figures:
            self._remember(progress)
        if progress.note and progress.note not in self._notes:
            self._notes = [*self._notes[1 - _NOTES :], progress.note]
        self._unsaved = progress
        now = time.monotonic()
        if force or now - self._last >= _EVERY:
            self._last = now
            self.close()

    def close(self) -> None:
        """Keeps what was reported last."""
        if self._unsaved is not None:
            keep = self._context.store.catalog.step_progress
            keep(self._context.run_id, self._step, self._unsaved, self._curve, self._notes)
            self._unsaved = None

    def _remember(self, progress: Progress) -> None:
        point = (progress.done, dict(progress.figures))
        if self._curve and self._curve[-1][1] == point[1]:
            return  # the figures of the moment are those of before
        self._seen += 1
        if self._every and self._seen % self._every:
            return
        self._curve.append(point)
        if len(self._curve) > _POINTS:
            self._curve = self._curve[::2]
            self._every = 2 * max(1, self._every)
