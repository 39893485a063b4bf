"""The verbs of a project that concern runs which somebody else executes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from feilun.errors import Conflict, NotFound
from feilun.messages import language
from feilun.project import looks
from feilun.project.base import ProjectBase
from feilun.project.results import Turned
from feilun.project.runs_beside import flat
from feilun.project.status import run_state
from feilun.store.ids import new_id
from feilun.store.records import RunKind

__all__ = ["QueueVerbs"]


class QueueVerbs(ProjectBase):
    """Queueing a run for ``feilun worker``, what came of it, stopping it."""

    def enqueue(
        self,
        kind: RunKind,
        *,
        method: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        restart: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> str:
        """Queues a turn, or a look (see `feilun.project.queued`) with its `options`, for ``feilun
        worker``; its place's id."""
        changes = dict(overrides or {})
        if method is not None:
            changes["training.method"] = method
        self.config(changes)
        run = self.workspace.store.catalog.add_run(
            new_id(f"{self.name}-queued-"),
            self.name,
            kind,
            # Whoever executes it speaks the language of who asked for it.
            config={**(options or {}), "set": changes, "restart": restart, "lang": language()},
        )
        return run.id

    def go_on(self, run: str) -> str:
        """Queues a turn that failed or was stopped once more, with the settings that it had: it
        goes on after its last finished step, or begins anew where its data or feilun changed since.
        Its place's id. Raises `NotFound`, and `Conflict` for one that cannot go on."""
        from feilun.pipeline.turn import BODIES

        found = self.workspace.store.catalog.run(run)
        if found.project != self.name:
            raise NotFound("store.no_run", id=run)
        state = run_state(self.workspace.store, found)["state"]
        if found.kind not in BODIES or state not in ("failed", "stopped", "interrupted"):
            raise Conflict("project.not_left", run=run)
        now, had = (
            dict(flat(one)) for one in (self.config().model_dump(mode="json"), found.config)
        )
        del had["project.name"]
        changes = {name: value for name, value in had.items() if now.get(name) != value}
        return self.enqueue(found.kind, overrides=changes)

    def turned(self, run: str) -> Turned:
        """What came of a run that has ended. Raises `NotFound`."""
        found = self.workspace.store.catalog.run(run)
        return looks.turned(self.workspace.store, self.file.parent, found, repeated=False)

    def stop(self, run: str) -> None:
        """Takes a run out of the queue, or interrupts the process that executes it; what its
        finished steps made is kept, and the same command goes on from there. Raises `NotFound`,
        and `Conflict` for one that has ended or runs on another machine."""
        from feilun.project.stopping import stop

        stop(self.scope, run)
