"""Which column of the user's file plays which role."""

from __future__ import annotations

from collections.abc import Mapping

from feilun.data.sources.base import Table
from feilun.tasks.base import TaskBase
from feilun.types import Roles

__all__ = ["resolve"]


def resolve(
    table: Table, task: TaskBase, columns: Mapping[str, str], need_label: bool = True
) -> Roles:
    """The roles of `table`: what `columns` says (role → column), the rest guessed by the task.

    Roles are the task's input columns, ``label``, ``id``, ``group`` and ``subject``. Raises
    `UsageError` for an unknown role, `InvalidData` for an unknown column, a missing input or,
    with `need_label`, a missing label; each names what there is.
    """
    raise NotImplementedError
