"""Rows of any source in the task's own form: checked items, labels as text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from feilun.data.sources.base import BadRow, Source, Table
from feilun.tasks.base import TaskBase
from feilun.types import Example, Roles

__all__ = ["Reading", "open_readings", "read"]


@dataclass(frozen=True, slots=True)
class Reading:
    """One table with its columns' roles; iterate it once for `Example` and `BadRow`."""

    table: Table
    roles: Roles
    task: TaskBase

    def __iter__(self) -> Iterator[Example | BadRow]:
        raise NotImplementedError


def open_readings(
    source: Source,
    task: TaskBase,
    columns: Mapping[str, str] | None = None,
    need_label: bool = True,
) -> list[Reading]:
    """The tables of `source` with their roles: guessed by the task, overridden by `columns` and by
    the source's own."""
    raise NotImplementedError


def read(
    source: Source,
    task: TaskBase,
    columns: Mapping[str, str] | None = None,
    need_label: bool = True,
    bad: Callable[[BadRow], None] | None = None,
) -> Iterator[Example]:
    """The usable rows of `source` one by one; unusable ones go to `bad`, or raise without it.

    For files to predict or evaluate on. Rows keep the user's id, else get one from their content;
    duplicates stay.
    """
    raise NotImplementedError
