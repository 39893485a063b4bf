"""Wide tables of series: a column for each time, or one for each series. They are read as if each
value stood in a row of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from feilun.errors import InvalidData
from feilun.modalities import recognise
from feilun.modalities.series.times import dated, when
from feilun.modalities.table import column_kinds
from feilun.types import ColumnSample, Item

__all__ = ["Wide", "by_series", "by_times"]

_TIMES = 3  # columns named by times from which on a table is wide


@dataclass(frozen=True, slots=True)
class Wide:
    """The columns that hold `values`: each at the time that it is called, of the series that the
    cells of `series` name; or, where there is a column of `time`, each of the series that it is
    called."""

    values: tuple[str, ...]
    series: tuple[str, ...] = ()
    time: str | None = None

    def rows(self, cells: Mapping[str, Any]) -> list[tuple[Item, Any]]:
        """The items of one row of the table with their values; empty cells are none."""
        given = [(name, cells.get(name)) for name in self.values]
        filled = [(name, value) for name, value in given if not column_kinds.missing(value)]
        if self.time is not None:
            time = cells.get(self.time)
            return [({"series": name, "time": time}, value) for name, value in filled]
        parts = [cells.get(name) for name in self.series]
        words = [column_kinds.word(part) for part in parts if not column_kinds.missing(part)]
        series = " / ".join(words) or None
        return [({"series": series, "time": name}, value) for name, value in filled]


def by_times(columns: Sequence[ColumnSample]) -> Wide | None:
    """A table with a column for each time: at least three, and most of all."""
    named = [column.name for column in columns if _is_time(column.name)]
    if len(named) < _TIMES or 2 * len(named) <= len(columns) or not dated(named):
        return None
    rest = [column for column in columns if column.name not in named]
    words = [column.name for column in rest if not _numeric(column)]
    series = words or [column.name for column in rest[:1]]
    return Wide(tuple(named), tuple(series))


def by_series(columns: Sequence[ColumnSample], time: str) -> Wide | None:
    """A table with a column for each series beside one of times, no two of them equal: at least two
    columns, all of numbers."""
    times = next((column.values for column in columns if column.name == time), ())
    if len({str(value) for value in times}) < len(times):
        return None
    rest = [
        column
        for column in columns
        if column.name != time and not recognise.is_named(column.name, recognise.ID)
    ]
    values = [column.name for column in rest if _numeric(column)]
    return Wide(tuple(values), time=time) if len(values) == len(rest) > 1 else None


def _is_time(name: str) -> bool:
    try:
        when(name, name)
    except InvalidData:
        return False
    return not name.strip().isdecimal() or len(name.strip()) in (6, 8)


def _numeric(column: ColumnSample) -> bool:
    filled = [value for value in column.values if not column_kinds.missing(value)]
    return bool(filled) and all(column_kinds.number(value) is not None for value in filled)
