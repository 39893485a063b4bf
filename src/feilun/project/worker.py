"""What a worker runs: turns that were queued, and updates whose schedule has come.

Each turn runs in a process of its own, the same command a person would type, because only the
holder of a project's lock may execute it and a worker serves every project.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from feilun.messages import t
from feilun.project.resolve import resolve

if TYPE_CHECKING:
    from feilun.project.workspace import Workspace

__all__ = ["Due", "due", "execute"]


@dataclass(frozen=True, slots=True)
class Due:
    """A turn to run now: queued under `run`, or scheduled for `moment`."""

    project: str
    kind: str
    run: str | None = None
    moment: datetime | None = None


def due(workspace: Workspace) -> list[Due]:
    """Queued turns first, oldest first, then updates whose schedule has come since the last."""
    catalog = workspace.store.catalog
    found = [Due(r.project, r.kind, run=r.id) for r in reversed(catalog.runs(states=("queued",)))]
    now = datetime.now(UTC)
    for project in workspace.projects():
        config, _ = resolve(project.file)
        if config.update.schedule is None:
            continue
        moment = _last_time(config.update.schedule, now)
        fired = catalog.setting(_key(project.name))
        if fired is None:  # the schedule is new: it begins with its next time
            catalog.set_setting(_key(project.name), now.isoformat())
        elif moment > datetime.fromisoformat(fired):
            found.append(Due(project.name, "update", moment=moment))
    return found


def execute(workspace: Workspace, task: Due, say: Callable[[str], None]) -> None:
    """Runs one due turn to its end and says how it ended."""
    catalog = workspace.store.catalog
    if task.run is not None:
        catalog.update_run(task.run, state="stopped")
    if task.moment is not None:
        catalog.set_setting(_key(task.project), task.moment.isoformat())
    say(t("project.worker_begins", project=task.project, kind=task.kind))
    command = [sys.executable, "-m", "feilun", task.kind, "--project", task.project]
    command += ["--workspace", str(workspace.folder)]
    code = subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode
    say(t("project.worker_ends", project=task.project, kind=task.kind, code=code))


def _last_time(schedule: str, now: datetime) -> datetime:
    from croniter import croniter

    moment: datetime = croniter(schedule, now).get_prev(datetime)
    return moment


def _key(project: str) -> str:
    return f"schedule:{project}"
