"""Dates with the year at the end, such as 13/04/2026: which day they are, by their whole column."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import astuple, replace

from feilun.data.sources.base import BadRow, Table
from feilun.errors import InvalidData
from feilun.modalities.times import DayOrder, day_order, written_out
from feilun.types import Row, Scalar

__all__ = ["by_column"]


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
    strict = day_first is None

    def changed() -> Iterator[Row | BadRow]:
        for row in table.rows():
            if not isinstance(row, BadRow):
                cells = {
                    name: _read(row.values.get(name), how, strict, name, row.number)
                    for name, how in found.items()
                }
                row = replace(row, values={**row.values, **cells})
            yield row

    told = [[name, *astuple(one)] for name, one in found.items()]
    return table.over(table.columns, changed(), details={"dates": told})


def _read(value: Scalar, how: DayOrder, strict: bool, column: str, number: int) -> Scalar:
    if not isinstance(value, str) or how.day_first is None:
        return value
    if strict:
        cell = day_order([value])
        if cell is not None and not cell.assumed and cell.day_first is not how.day_first:
            example = {"given": value.strip(), "row": number, "example": how.example}
            raise InvalidData("data.dates_turn", column=column, **example)
    try:
        return written_out(value, how.day_first)
    except ValueError:
        return value  # whoever takes it says what is wrong with it
