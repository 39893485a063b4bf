"""Tasks by their names. Each file of this package is one task; the file's name is the task's name.

What a task is stands in `feilun.modalities.base`, and can be imported from here.
"""

from __future__ import annotations

from functools import cache

from feilun import registry
from feilun.modalities.base import (
    Arrays,
    Column,
    Encoded,
    Features,
    Fitted,
    Lessons,
    Processor,
    RowReader,
    TaskBase,
    TaskSettings,
    fit_features,
)
from feilun.types import Schema

__all__ = [
    "Arrays",
    "Column",
    "Encoded",
    "Features",
    "Fitted",
    "Lessons",
    "Processor",
    "RowReader",
    "TaskBase",
    "TaskSettings",
    "fit_features",
    "get",
    "names",
    "of",
]


def of(schema: Schema) -> TaskBase:
    """The task that answers `schema`, bound to its columns."""
    return get(schema.task).bound(schema.settings)


def names() -> list[str]:
    """The names of all tasks, sorted."""
    return registry.names("tasks")


@cache
def get(name: str) -> TaskBase:
    """The task `name`. Raises `UsageError` listing the options for an unknown one."""
    task: TaskBase = registry.load("tasks", name).Task(name)
    return task
