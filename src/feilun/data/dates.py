"""Dates with the year at the end, such as 13/04/2026: which day they are, by their whole column."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import astuple, replace
from functools import lru_cache, partial

from feilun.data.sources.base import BadRow, Table
from feilun.errors import InvalidData
from feilun.modalities.times import DayOrder, day_order, is_clock, written_out
from feilun.types import Row, Scalar

__all__ = ["by_column"]

_DAYS = 1 << 15
"""Days that are remembered of a column: some ninety years of them."""


def by_column(table: Table, columns: Container[str], day_first: bool | None) -> Table:
    """`table` with the dates of `columns` written with the year first; itself where none of them
    has dates with the year at the end. How they were read is told in its details. `day_first` is
    what the user says of those that could be either.

    Reading it raises `InvalidData` where the user says nothing and a row beyond the first ones
    shows another order than these."""
    samples = [one for one in table.samples() if one.name in columns]
    looks = {one.name: day_order(one.values, day_first) for one in samples}
    found = {name: one for name, one in looks.items() if one is not None}
    if not found:
        return table
    read = {name: _reader(name, how, day_first is None) for name, how in found.items()}

    def changed() -> Iterator[Row | BadRow]:
        for row in table.rows():
            if isinstance(row, BadRow):
                yield row
                continue
            values = dict(row.values)
            for name, cell in read.items():
                values[name] = cell(values.get(name), row.number)
            # Made anew where it is a plain row, as nearly all are: `replace` costs as much again.
            yield Row(row.number, values) if type(row) is Row else replace(row, values=values)

    told = [[name, *astuple(one)] for name, one in found.items()]
    return table.over(table.columns, changed(), details={"dates": told})


def _reader(column: str, how: DayOrder, strict: bool) -> Callable[[Scalar, int], Scalar]:
    """What reads a cell of `column`, given with its row. Days are looked up: a column has few of
    them, and the time of day behind one stays as it is."""
    order = how.day_first
    if order is None:
        return lambda value, number: value
    day_of = lru_cache(_DAYS)(partial(_look, order=order))

    def read(value: Scalar, number: int) -> Scalar:
        if not isinstance(value, str):
            return value
        day, clock = _parts(value)
        if clock is None:
            written, turns = day_of(day)
        else:
            written, turns = day_of(day) if is_clock(clock) else (None, False)
            written = written and f"{written} {clock}"
        if strict and turns:
            example = {"given": value.strip(), "row": number, "example": how.example}
            raise InvalidData("data.dates_turn", column=column, **example)
        return value if written is None else written

    return read


def _parts(text: str) -> tuple[str, str | None]:
    """The day of a cell such as ``13/04/2026, 9:05 PM``, and its time of day; the whole cell where
    they are not as plainly apart."""
    whole = text.strip()
    day, _, clock = whole.partition(" ")
    clock = clock.strip()
    if not clock or "." in day or not (whole.isascii() and whole.isprintable()):
        return whole, None
    return day.removesuffix(","), clock


def _look(text: str, order: bool) -> tuple[str | None, bool]:
    """A cell with the year first, None for what is no such date (whoever takes it says what is
    wrong with it); and whether it shows the other order."""
    try:
        written = written_out(text, order)
    except ValueError:
        return None, False
    cell = day_order([text])
    return written, cell is not None and not cell.assumed and cell.day_first is not order
