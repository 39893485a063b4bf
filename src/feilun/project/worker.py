"""What a worker runs: queued turns, files that came into watched folders, scheduled updates.

Each turn runs in a process of its own, the same command a person would type, because only the
holder of a project's lock may execute it and a worker serves every project. A place in the queue
and a scheduled time are struck off when the turn has ended: a worker that is killed in between
leaves them, and the next one goes on with the same run.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from feilun import messages
from feilun.errors import AlreadyRunning, FeilunError
from feilun.messages import speaking_of, t
from feilun.messages.sentences import from_kept
from feilun.project.advice import to_name
from feilun.project.drift import look, sentence
from feilun.project.erasing import pending
from feilun.project.scope import Scope, WorkspaceScope
from feilun.project.status import run_state
from feilun.project.watch import unknown_files
from feilun.store.records import LOOK_KINDS, Run, RunState

__all__ = ["Due", "due", "execute"]

_LOOK = 60.0
_BUSY = "store.already_running"
_STATES: Mapping[int, RunState] = {0: "finished", 1: "refused"}
_DONE: tuple[RunState, ...] = ("finished", "refused")
_RECENT = 20


@dataclass(frozen=True, slots=True)
class Due:
    """A turn to run now: queued under `run` with its `options`, or scheduled for `moment`; or a
    watched folder, named by the `options`, to take files from."""

    project: str
    kind: str
    run: str | None = None
    moment: datetime | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def due(scope: WorkspaceScope, say: Callable[[str], None]) -> list[Due]:
    """What is to be erased, then queued turns, oldest first, then files that came into a watched
    folder, then updates that a drift calls for or whose schedule (in UTC) has come since the last.
    A project whose settings do not fit is left out, and said so."""
    catalog = scope.store.catalog
    queued = reversed(catalog.runs(states=("queued",)))
    found = [
        Due(one["projects"][0], "erase", options={"words": ("--go-on", token)})
        for token, one in pending(scope).items()
        if one["projects"]
    ]
    found += [Due(r.project, r.kind, run=r.id, options=r.config) for r in queued]
    found += [
        Due(r.project, r.kind, run=r.id, options=r.config)
        for r in catalog.runs(states=("running",))
        if _left(scope, r)
    ]
    now = datetime.now(UTC)
    for project in scope.projects():
        try:
            config = project.config()
        except FeilunError as error:
            say(t("project.worker_skips", project=project.called, reason=error.message()))
            continue
        found += _arrived(project, config.data.watch, now, say)
        if _drifted(project, config.update.on_drift, say):
            found.append(Due(project.name, "update"))
        schedule = config.update.schedule
        if schedule is None:
            continue
        moment = _last_time(schedule, now)
        fired = catalog.setting(_key(project.name))
        if fired is None:  # the schedule is new: it begins with its next time
            catalog.set_setting(_key(project.name), now.isoformat())
        elif moment > datetime.fromisoformat(fired):
            found.append(Due(project.name, "update", moment=moment))
    return found


def _left(scope: WorkspaceScope, run: Run) -> bool:
    """Whether `run` is a look whose process on this machine is gone."""
    mine = run.kind in LOOK_KINDS and run.config.get("machine") == platform.node()
    return mine and run_state(scope.store, run)["state"] == "interrupted"


def _arrived(
    project: Scope, folders: Sequence[str], now: datetime, say: Callable[[str], None]
) -> list[Due]:
    """The watched folders that hold something new, at most once a minute: a file that is still
    written, or waits for others, is there at every look."""
    found: list[Due] = []
    for name in folders:
        folder = project.folder / name
        if not folder.is_dir():
            reason = t("watch.no_folder", folder=folder)
            say(t("project.worker_skips", project=project.called, reason=reason))
            continue
        catalog = project.store.catalog
        key = f"watch-look:{project.name}:{name}"
        last = catalog.setting(key)
        if last is not None and (now - datetime.fromisoformat(last)).total_seconds() < _LOOK:
            continue
        if unknown_files(project, folder):
            catalog.set_setting(key, now.isoformat())
            words = (str(folder), "--once")
            found.append(Due(project.name, "data watch", options={"words": words}))
    return found


def _drifted(project: Scope, wanted: str, say: Callable[[str], None]) -> bool:
    """Looks at drift where the project wants it to matter and enough is new, and says an alarm.
    Whether an update is to follow."""
    if wanted == "none":
        return False
    try:
        view = look(project)
    except FeilunError as error:
        say(t("project.worker_skips", project=project.called, reason=error.message()))
        return False
    if not view.fresh or view.found is None or not view.found.alarm:
        return False
    with speaking_of(to_name(project.store, project.name)):
        found = sentence(view.found)
        if wanted == "review":
            say(t("drift.worker_review", sentence=found))
            return False
    say(t("drift.worker_update", sentence=found))
    return True


def execute(
    scope: WorkspaceScope,
    task: Due,
    say: Callable[[str], None],
    wait: Callable[[str], None],
) -> int | None:
    """Runs one due turn to its end, says how it ended and returns its exit code. While another
    process executes the project it tells `wait`, does nothing, and returns None."""
    busy = t("project.worker_busy", project=task.project, kind=task.kind)
    try:
        with scope.store.lock(task.project):
            pass
    except AlreadyRunning:
        wait(busy)
        return None
    if task.run is not None and task.kind not in LOOK_KINDS:
        with messages.knowing():
            task, before = _taken_up(scope, task, task.run)
        if before is not None and before.state in _DONE:
            scope.store.catalog.update_run(task.run or "", state=before.state, error=before.error)
            return 0 if before.state == "finished" else 1
    say(t("project.worker_begins", project=task.project, kind=task.kind))
    # Its bars and words are for whoever watches the worker; its result is for us.
    done = subprocess.run(
        _command(scope, task),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=_environment(scope, task),
        check=False,
    )
    failure = _failure(done.stdout)
    if failure.get("code") == _BUSY:  # somebody was faster
        wait(busy)
        return None
    catalog = scope.store.catalog
    if task.run is not None and catalog.run(task.run).state in ("queued", "running"):
        state = _STATES.get(done.returncode, "failed")
        catalog.update_run(task.run, state=state, error=_sentence(failure))
    if task.moment is not None:
        catalog.set_setting(_key(task.project), task.moment.isoformat())
    if failure:
        say(failure["message"])
    say(t("project.worker_ends", project=task.project, kind=task.kind, code=done.returncode))
    return done.returncode


def _taken_up(scope: WorkspaceScope, task: Due, place: str) -> tuple[Due, Run | None]:
    """The turn at this `place` of the queue as it is to be run now, and the run that it has become
    under a worker that was killed meanwhile: that one goes on, even where it was to begin anew."""
    catalog, begun = scope.store.catalog, task.options.get("begun")
    if begun is None:
        options = {**task.options, "begun": datetime.now(UTC).isoformat()}
        catalog.update_run(place, config=options)
        return replace(task, options=options), None
    since = datetime.fromisoformat(begun)
    for run in catalog.runs(task.project, limit=_RECENT):
        mine = run.kind == task.kind and run.id != place and run.state != "queued"
        if mine and run.heartbeat is not None and run.heartbeat >= since:
            return replace(task, options={**task.options, "restart": False}), run
    return task, None


def _command(scope: WorkspaceScope, task: Due) -> list[str]:
    if task.run is not None and task.kind in LOOK_KINDS:
        return [sys.executable, "-m", "feilun.project.queued", task.run, str(scope.folder)]
    words = [sys.executable, "-m", "feilun", *task.kind.split(), "--json"]
    words += ["--project", task.project]
    words += ["--workspace", str(scope.folder)]
    for name, value in task.options.get("set", {}).items():
        words += ["--set", f"{name}={json.dumps(value)}"]
    words += task.options.get("words", ())
    return [*words, "--restart"] if task.options.get("restart") else words


def _environment(scope: WorkspaceScope, task: Due) -> dict[str, str]:
    """What a workspace that was opened from Python was told beside the environment."""
    settings = scope.settings
    told = {"DATABASE": settings.database, "ARTIFACTS": settings.artifacts}
    told["LANG"] = task.options.get("lang") or messages.language()
    return {**os.environ, **{f"FEILUN_{name}": value for name, value in told.items() if value}}


def _failure(printed: bytes) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(printed).get("error", {})
    except (ValueError, AttributeError):
        return {}
    return found


def _sentence(failure: Mapping[str, Any]) -> str | None:
    """What the command said of its `failure`, as a sentence where it told what that is made of."""
    if not failure:
        return None
    code, text = failure["code"], failure["message"]
    with messages.knowing():
        return from_kept({"sentence": code, "params": failure.get("params", {}), "text": text})


def _last_time(schedule: str, now: datetime) -> datetime:
    from croniter import croniter

    moment: datetime = croniter(schedule, now).get_prev(datetime)
    return moment


def _key(project: str) -> str:
    return f"schedule:{project}"
