"""Results that people look at: a table that shows itself in a terminal, a notebook and as JSON.

Every verb of `feilun.project` returns a `Result`: data for programs (`to_json`), tables for people.
"""

from __future__ import annotations

import dataclasses
import html
import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Protocol

__all__ = ["Moment", "Result", "Table", "to_jsonable"]


class Moment(str):
    """A time as it stands in a cell, said in UTC. Who shows it in the reader's zone has the time
    itself, `at`, and how it is written, `form`."""

    at: datetime
    form: str

    def __new__(cls, at: datetime, form: str = "%Y-%m-%d %H:%M") -> Moment:
        made = super().__new__(cls, f"{at:{form}} UTC")
        made.at, made.form = at, form
        return made


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """A titled table of words. `notes` are sentences below it; a column of numbers aligns right."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(c)}</th>" for c in self.columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(str(v))}</td>" for v in row) + "</tr>"
            for row in self.rows
        )
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        caption = f"<caption>{html.escape(self.title)}</caption>" if self.title else ""
        table = f"<table>{caption}<tr>{head}</tr>{body}</table>" if self.columns else ""
        if self.title and not self.columns:
            table = f"<p><b>{html.escape(self.title)}</b></p>"
        return table + notes


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


class Result:
    """Base of what verbs return: a dataclass that also answers `tables` and `to_json`."""

    def tables(self) -> Sequence[Table]:
        """The tables a person would look at, in order."""
        return ()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values of every field."""
        value = to_jsonable(self)
        assert isinstance(value, dict)
        return value

    def _repr_html_(self) -> str:
        return "".join(table._repr_html_() for table in self.tables())


def to_jsonable(value: Any) -> Any:
    """Dataclasses, paths, times and mappings as what `json` can write."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: to_jsonable(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if not field.name.startswith("_")
        }
    if isinstance(value, Mapping):
        return {str(key): to_jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_jsonable(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float):
        return value if math.isfinite(value) else None  # JSON knows no other numbers
    if isinstance(value, (str, int, bool)) or value is None:
        return value
    if hasattr(value, "tolist"):
        return to_jsonable(value.tolist())
    return json.loads(json.dumps(value, default=str))
