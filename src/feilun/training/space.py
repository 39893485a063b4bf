"""What a search may change: the settings of a method, of the loss, and of how items are read.

Each says its own: a method by `MethodSettings.space`, a family by `Family.losses`, a task by
`TaskBase.space`. Names are those of settings; a method that says nothing takes part with the
settings it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from feilun.tasks.base import TaskBase
from feilun.training.job import Method
from feilun.training.settings import MethodSettings
from feilun.types import OneOf, Range, Real, Whole

__all__ = ["TASK", "changed", "space_of", "with_default"]

TASK = "task."
"""What the names of the task's own settings begin with."""


def space_of(method: Method, task: TaskBase) -> dict[str, Range]:
    """The ranges of the settings that change what `method` learns of `task`, by their names."""
    known = method.Settings.model_fields
    found = {name: one for name, one in task.family.losses.items() if name in known}
    found |= cast("type[MethodSettings]", method.Settings).space(task)
    if method.needs_base:  # what is read of an item; the features of the baseline read all of it
        found |= {TASK + name: one for name, one in task.space().items()}
    return found


def with_default(found: Range, default: Any) -> Range:
    """`found`, widened so that the setting as it stands lies within it."""
    if isinstance(found, OneOf):
        known = default is None or default in found.values
        return found if known else OneOf((default, *found.values))
    if not isinstance(default, (int, float)) or isinstance(default, bool):
        return found
    if isinstance(found, Whole):
        return replace(found, low=min(found.low, int(default)), high=max(found.high, int(default)))
    assert isinstance(found, Real)
    return replace(found, low=min(found.low, default), high=max(found.high, default))


def changed(
    settings: MethodSettings, task_settings: Mapping[str, Any], given: Mapping[str, Any]
) -> tuple[MethodSettings, dict[str, Any]]:
    """Both with the values `given` by the names of `space_of`; the method's are checked again."""
    own = {name: value for name, value in given.items() if not name.startswith(TASK)}
    read = {
        name.removeprefix(TASK): value for name, value in given.items() if name.startswith(TASK)
    }
    checked = type(settings)(**{**settings.model_dump(), **own})
    return checked, {**task_settings, **read}
