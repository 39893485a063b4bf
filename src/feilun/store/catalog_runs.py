"""The catalog's runs, their steps, and the servers that are up."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any, TypedDict, Unpack

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from feilun.errors import NotFound
from feilun.messages.sentences import from_kept, hint_from_kept, to_kept
from feilun.store import tables_catalog as t
from feilun.store.catalog_base import CatalogPart, as_dict, one
from feilun.store.columns import now
from feilun.store.ids import new_id
from feilun.store.records import (
    CurvePoint,
    Executions,
    Json,
    Run,
    RunKind,
    RunState,
    Server,
    StepRun,
    StepState,
)
from feilun.types import Progress

__all__ = ["GOING", "RunChanges", "Runs"]

GOING: tuple[RunState, ...] = ("queued", "running", "failed", "stopped")
"""States of runs that may still go on from where they are."""

_FIRST_SERVED = "first_served"

_ENDED: tuple[RunState, ...] = ("finished", "failed", "refused", "stopped")


class RunChanges(TypedDict, total=False):
    """What of a run changes while it goes on."""

    state: RunState
    plan: Json
    config: Json
    pid: int | None
    result: Json
    error: str | None


class Runs(CatalogPart):
    """Runs, steps, servers."""

    def add_run(
        self,
        id: str,
        project: str,
        kind: RunKind,
        *,
        config: Json | None = None,
        plan: Json | None = None,
        state: RunState = "queued",
    ) -> Run:
        """The run of this workflow id; one that is there already is returned as it is. One that is
        ``running`` from the start runs in this process."""
        with self._db.write() as connection:
            row = one(connection, select(t.runs).where(t.runs.c.id == id))
            if row is None:
                row = {
                    "id": id,
                    "project": project,
                    "kind": kind,
                    "state": state,
                    "plan": dict(plan or {}),
                    "config": dict(config or {}),
                    "pid": os.getpid() if state == "running" else None,
                    "created": now(),
                    "started": None,
                    "heartbeat": None,
                    "finished": None,
                    "result": {},
                    "error": None,
                }
                connection.execute(insert(t.runs).values(row))
        return _run(row)

    def update_run(self, id: str, **changes: Unpack[RunChanges]) -> Run:
        """Sets `changes`, and the times that follow from a new state; an error that is a `Sentence`
        is read in the reader's language. Raises `NotFound`."""
        values: dict[str, Any] = {**changes, "heartbeat": now()}
        if changes.get("error") is not None:
            values["error"] = to_kept(values["error"])
        state = changes.get("state")
        if state == "running":
            values |= {
                "started": func.coalesce(t.runs.c.started, now()),
                "finished": None,
                "error": None,
            }
        elif state in _ENDED:
            values["finished"] = now()
        with self._db.write() as connection:
            connection.execute(update(t.runs).where(t.runs.c.id == id).values(values))
            row = one(connection, select(t.runs).where(t.runs.c.id == id))
        if row is None:
            raise NotFound("store.no_run", id=id)
        return _run(row)

    def heartbeat_run(self, id: str) -> None:
        """Says that the run's process is alive."""
        with self._db.write() as connection:
            connection.execute(update(t.runs).where(t.runs.c.id == id).values(heartbeat=now()))

    def run(self, id: str) -> Run:
        """The run of this id. Raises `NotFound`."""
        with self._db.read() as connection:
            row = one(connection, select(t.runs).where(t.runs.c.id == id))
        if row is None:
            raise NotFound("store.no_run", id=id)
        return _run(row)

    def runs(
        self,
        project: str | None = None,
        *,
        states: Sequence[RunState] | None = None,
        kinds: Sequence[str] | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Run]:
        """Runs, newest first, from the `offset`-th on."""
        query = select(t.runs).order_by(t.runs.c.created.desc(), t.runs.c.id.desc())
        if project is not None:
            query = query.where(t.runs.c.project == project)
        if states is not None:
            query = query.where(t.runs.c.state.in_(states))
        if kinds is not None:
            query = query.where(t.runs.c.kind.in_(kinds))
        if limit is not None:
            query = query.limit(limit).offset(offset)
        with self._db.read() as connection:
            return [_run(as_dict(row)) for row in connection.execute(query)]

    def begin_step(self, run_id: str, step: str) -> StepRun:
        """Notes a new attempt at `step`. An earlier attempt that never ended is ``interrupted``:
        only one process at a time executes a project's runs."""
        table = t.step_runs
        of_step = (table.c.run_id == run_id) & (table.c.step == step)
        moment = now()
        with self._db.write() as connection:
            connection.execute(
                update(table)
                .where(of_step, table.c.state == "running")
                .values(state="interrupted", finished=moment)
            )
            last = connection.scalar(select(func.max(table.c.attempt)).where(of_step)) or 0
            row: dict[str, Any] = {
                "run_id": run_id,
                "step": step,
                "attempt": last + 1,
                "state": "running",
                "started": moment,
                "finished": None,
                "result": {},
                "progress": None,
            }
            connection.execute(insert(table).values(row))
            connection.execute(update(t.runs).where(t.runs.c.id == run_id).values(heartbeat=moment))
        return StepRun(**row)

    def finish_step(
        self,
        run_id: str,
        step: str,
        result: Json | None = None,
        *,
        state: StepState = "finished",
    ) -> StepRun:
        """Ends the running attempt at `step` with its result (references, figures).

        Raises `NotFound` when no attempt is running.
        """
        with self._db.write() as connection:
            found = _running(connection, run_id, step)
            ended = replace(found, state=state, finished=now(), result=dict(result or {}))
            connection.execute(
                update(t.step_runs)
                .where(
                    t.step_runs.c.run_id == run_id,
                    t.step_runs.c.step == step,
                    t.step_runs.c.attempt == found.attempt,
                )
                .values(state=state, finished=ended.finished, result=ended.result)
            )
        return ended

    def step_progress(
        self,
        run_id: str,
        step: str,
        progress: Progress,
        curve: Sequence[CurvePoint] = (),
        notes: Sequence[str] = (),
    ) -> None:
        """Keeps the last sign of life of the running attempt, its figures until now and what it
        said; it counts as the run's heartbeat."""
        table = t.step_runs
        kept = asdict(replace(progress, figures=dict(progress.figures)))
        kept["note"] = to_kept(progress.note)
        if curve:
            kept["curve"] = [[done, dict(figures)] for done, figures in curve]
        if notes:
            kept["notes"] = [to_kept(note) for note in notes]
        with self._db.write() as connection:
            connection.execute(
                update(table)
                .where(table.c.run_id == run_id, table.c.step == step, table.c.state == "running")
                .values(progress=kept)
            )
            connection.execute(update(t.runs).where(t.runs.c.id == run_id).values(heartbeat=now()))

    def finished_step(self, run_id: str, step: str) -> StepRun | None:
        """The attempt that finished `step`, None before. A step asks this first: its process may
        have been killed after the catalog knew the result and before the workflow did."""
        return next(
            (s for s in self.steps(run_id) if s.step == step and s.state == "finished"), None
        )

    def steps(self, run_id: str) -> list[StepRun]:
        """Every attempt at every step of the run, in the order they were begun."""
        table = t.step_runs
        query = (
            select(table)
            .where(table.c.run_id == run_id)
            .order_by(table.c.started, table.c.step, table.c.attempt)
        )
        with self._db.read() as connection:
            return [_step(as_dict(row)) for row in connection.execute(query)]

    def executions(self, run_id: str) -> dict[str, Executions]:
        """For each step, how many attempts were begun and how many finished."""
        counts: dict[str, Executions] = {}
        for attempt in self.steps(run_id):
            before = counts.get(attempt.step, Executions(0, 0))
            finished = before.finished + (attempt.state == "finished")
            counts[attempt.step] = Executions(before.started + 1, finished)
        return counts

    def register_server(self, host: str, port: int, address: str, pid: int | None = None) -> Server:
        """Notes that this process answers under `address`; `pid` is by default its own."""
        moment = now()
        server = Server(
            id=new_id("srv_"),
            pid=os.getpid() if pid is None else pid,
            machine=platform.node(),
            host=host,
            port=port,
            address=address,
            started=moment,
            heartbeat=moment,
        )
        with self._db.write() as connection:
            connection.execute(insert(t.servers).values(asdict(server)))
        if self.first_served() is None:
            first = {"key": _FIRST_SERVED, "value": moment.isoformat()}
            try:
                with self._db.write() as connection:
                    connection.execute(insert(t.settings).values(first))
            except IntegrityError:
                pass  # another server began at the same moment
        return server

    def first_served(self) -> datetime | None:
        """When a server of this workspace began for the first time; None before."""
        query = select(t.settings.c.value).where(t.settings.c.key == _FIRST_SERVED)
        with self._db.read() as connection:
            found = connection.execute(query).scalar()
        return None if found is None else datetime.fromisoformat(found)

    def heartbeat_server(self, server: Server) -> None:
        """Says that `server` is alive; notes it anew where its row is gone."""
        row = asdict(server) | {"heartbeat": now()}
        with self._db.write() as connection:
            connection.execute(delete(t.servers).where(t.servers.c.id == server.id))
            connection.execute(insert(t.servers).values(row))

    def servers(self, max_age: float = 15.0) -> list[Server]:
        """Servers that gave a sign of life within `max_age` seconds, newest first."""
        since = now() - timedelta(seconds=max_age)
        query = (
            select(t.servers)
            .where(t.servers.c.heartbeat >= since)
            .order_by(t.servers.c.started.desc())
        )
        with self._db.read() as connection:
            return [Server(**as_dict(row)) for row in connection.execute(query)]

    def unregister_server(self, id: str) -> None:
        """Forgets the server, and any that has been silent for a day."""
        old = now() - timedelta(days=1)
        with self._db.write() as connection:
            connection.execute(
                delete(t.servers).where((t.servers.c.id == id) | (t.servers.c.heartbeat < old))
            )


def _running(connection: Connection, run_id: str, step: str) -> StepRun:
    row = one(
        connection,
        select(t.step_runs).where(
            t.step_runs.c.run_id == run_id,
            t.step_runs.c.step == step,
            t.step_runs.c.state == "running",
        ),
    )
    if row is None:
        raise NotFound("store.step_not_running", run=run_id, step=step)
    return _step(row)


def _run(row: dict[str, Any]) -> Run:
    error = row.pop("error")
    if error is None:
        return Run(**row, error=None)
    return Run(**row, error=from_kept(error), hint=hint_from_kept(error))


def _step(row: dict[str, Any]) -> StepRun:
    progress = row.pop("progress")
    if progress is None:
        return StepRun(**row, progress=None)
    curve = [(done, figures) for done, figures in progress.pop("curve", ())]
    notes = [from_kept(note) for note in progress.pop("notes", ())]
    progress["note"] = from_kept(progress.get("note", ""))
    return StepRun(**row, progress=Progress(**progress), curve=curve, notes=notes)
