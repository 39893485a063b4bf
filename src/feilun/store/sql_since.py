"""A high-water mark: the newest value of one column, so that the next reading asks for no more.

Rows are asked for with ``>=``, not ``>``: rows that share the mark's value and came later must not
be lost. Those that were read before come again and are equal contents, which become one row.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from feilun.errors import InvalidData, UsageError

__all__ = ["Since"]

_PLACES = {
    "qmark": "?",
    "format": "%s",
    "pyformat": "%s",
    "numeric": ":1",
    "numeric_dollar": "$1",
    "named": ":1",
}
"""How a driver writes the place of its first value."""

_TIME = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?P<zone>Z|[+-]\d\d(?::?\d\d)?)?)?"
)


class Since:
    """The mark on `column`. `after` is what `to_json` gave at an earlier reading, None at the
    first. While rows are read the mark moves; whoever asked keeps it once the rows stand."""

    def __init__(self, column: str, after: Mapping[str, Any] | None = None) -> None:
        self.column = column
        self._kind: str = after["kind"] if after else ""
        self._value: Any = _from_json(after["kind"], after["value"]) if after else None
        self._from = self._value

    @property
    def value(self) -> str:
        """The mark as text, empty before there is one."""
        return "" if self._value is None else str(self._value)

    def to_json(self) -> dict[str, Any] | None:
        """The mark as JSON values, None when no row was ever read."""
        if self._value is None:
            return None
        return {"kind": self._kind, "value": _to_json(self._value)}

    def asked(self, query: str, quoted: str, paramstyle: str) -> tuple[str, tuple[Any, ...] | None]:
        """The query for rows at or after the mark, and its one value; the query itself, without
        values, where there is no mark yet. `quoted` is the column as the database quotes it."""
        if self._from is None:
            return query, None
        place = _PLACES[paramstyle]
        # Where values are marked by %, a % that is meant must be doubled.
        inner = query.replace("%", "%%") if "%" in place else query
        inner = inner.strip().rstrip(";")
        # The line break ends a comment at the query's end. Rows without a value are asked for too:
        # they would never be newer than anything, and `see` says so.
        text = (
            f"SELECT * FROM (\n{inner}\n) AS feilun_rows"
            f" WHERE {quoted} >= {place} OR {quoted} IS NULL"
        )
        return text, (self._from,)

    def place(self, columns: list[str]) -> int:
        """Where the column stands among `columns`. Raises `UsageError` when it does not."""
        if self.column in columns:
            return columns.index(self.column)
        raise UsageError("sources.since_no_column", column=self.column, options=columns)

    def see(self, value: Any, row: int) -> None:
        """The column's value in one more row. Raises `InvalidData` for what cannot be a mark."""
        if value is None:
            raise InvalidData("sources.since_empty", column=self.column, row=row)
        kind = _kind_of(value)
        if kind is None:
            raise InvalidData(
                "sources.since_kind",
                column=self.column,
                row=row,
                given=str(value)[:40],
                kind=type(value).__name__,
            )
        if not self._kind:
            self._kind, self._value = kind, value
        elif kind != self._kind:
            raise InvalidData(
                "sources.since_mixed",
                column=self.column,
                row=row,
                given=str(value)[:40],
                before=self.value[:40],
            )
        elif value > self._value:
            self._value = value


def _kind_of(value: Any) -> str | None:
    """What kind of mark a value can be, None when its order says nothing of its age. Texts must be
    dates or times, all written alike: only then their order is that of time."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return "int"
    if isinstance(value, Decimal):
        return "decimal" if value.is_finite() else None
    if isinstance(value, dt.datetime):
        return "datetime" if value.tzinfo is None else "datetime with zone"
    if isinstance(value, dt.date):
        return "date"
    if isinstance(value, str) and (found := _TIME.fullmatch(value)):
        zone = found["zone"] or ""
        return "text " + re.sub(r"\d", "0", value.removesuffix(zone)) + zone
    return None


def _to_json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    return value.isoformat() if isinstance(value, dt.date) else value


def _from_json(kind: str, value: Any) -> Any:
    if kind == "decimal":
        return Decimal(value)
    if kind.startswith("datetime"):
        return dt.datetime.fromisoformat(value)
    return dt.date.fromisoformat(value) if kind == "date" else value
