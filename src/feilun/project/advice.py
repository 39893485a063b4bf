"""The command that is most useful now, for the end of what a verb says."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from feilun import messages
from feilun.pipeline.lineage import kept_corrections
from feilun.store import Store
from feilun.store.archived import archived
from feilun.store.records import DataVersion

__all__ = ["after_adding", "after_feedback", "command", "next_turn", "to_name"]


def to_name(store: Store, project: str) -> str | None:
    """What `project` is called, where a command has to name it; None where it is the only one."""
    away = archived(store.catalog)
    called = {one.name: one.called for one in store.catalog.projects() if one.name not in away}
    return called.get(project, project) if set(called) - {project} else None


def command(store: Store, project: str, words: Sequence[str]) -> str:
    """``feilun WORDS``, naming the project where the workspace has several."""
    named = to_name(store, project)
    given = ["--project", named] if named else []
    return messages.completed(shlex.join(["feilun", *words, *given]))


def next_turn(store: Store, project: str, data: DataVersion) -> str:
    """A turn of the wheel, or a look at the versions where only test rows came since the newest
    was judged on all that there is to learn."""
    catalog = store.catalog
    models = [one for one in catalog.model_versions(project) if one.data_version is not None]
    if not models:
        return command(store, project, ["run"])
    learned = catalog.data_version(str(models[-1].data_version))
    same = all(data.counts.get(s) == learned.counts.get(s) for s in ("train", "validation"))
    between = [one for one in catalog.data_versions(project) if one.number > learned.number]
    relabelled = any(_relabelled(one.info) for one in between)
    return command(store, project, ["evaluate" if same and not relabelled else "run"])


def _relabelled(info: Mapping[str, Any]) -> bool:
    """Whether rows that are learned from got other labels, or were mended."""
    return bool(info.get("mended")) or info.get("corrected", 0) > info.get("corrected_test", 0)


def after_adding(store: Store, project: str, data: DataVersion) -> str:
    """A look at the rows before anything has learned from them, then a turn."""
    if not store.catalog.model_versions(project):
        return command(store, project, ["data", "audit"])
    return next_turn(store, project, data)


def after_feedback(store: Store, project: str, need: int) -> str:
    """An update once there are corrections enough; nothing before."""
    have = store.ledger.waiting(project) + kept_corrections(store.catalog, project)
    return command(store, project, ["update"]) if have >= need else ""
