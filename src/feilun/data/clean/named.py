"""Rows that a person names in a file: relabelled, or dropped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from feilun.data.content import label_text
from feilun.data.sources import BadRow, Source, Table, open_tables
from feilun.errors import InvalidData
from feilun.tasks.base import TaskBase

__all__ = ["NOTHING", "Named", "read_ids", "read_named"]

_NAMES = ("row_id", "label", "keep", "id")
_YES = frozenset({"", "1", "1.0", "y", "yes", "true", "keep", "是", "保留"})
_NO = frozenset({"0", "0.0", "n", "no", "false", "drop", "否", "不保留", "删", "删除"})


@dataclass(frozen=True, slots=True)
class Named:
    """New `labels` by row id, and `dropped` rows by id with the step that drops them."""

    labels: Mapping[str, str] = field(default_factory=dict)
    dropped: Mapping[str, str] = field(default_factory=dict)

    @property
    def ids(self) -> frozenset[str]:
        """All rows that are named."""
        return frozenset({*self.labels, *self.dropped})


NOTHING = Named()


def read_named(task: TaskBase, relabel: str | None, drop_rows: str | None) -> Named:
    """What the files name. Any format that rows are read from will do, so also what a labelling
    tool exports. Raises `InvalidData` for a file without the column row_id, a row that can mean
    nothing, a row that is named twice with different labels, and a file that says nothing yet."""
    labels: dict[str, str] = {}
    dropped: dict[str, str] = {}
    if relabel is not None:
        for number, row_id, values in _rows(Path(relabel), need="label"):
            keep = str(values.get("keep", "") if values.get("keep") is not None else "")
            if keep.strip().casefold() in _NO:
                dropped[row_id] = "relabel"
                continue
            if keep.strip().casefold() not in _YES:
                raise InvalidData("clean.bad_keep", file=relabel, row=number, given=keep[:40])
            label = _label(task, values.get("label"))
            if label is None:
                continue  # looked at, and left as it is
            if labels.setdefault(row_id, label) != label:
                both = [labels[row_id], label]
                raise InvalidData("clean.named_twice", file=relabel, row_id=row_id, labels=both)
        if not labels and not dropped:
            raise InvalidData("clean.nothing_said", file=relabel)
    if drop_rows is not None:
        dropped |= {row_id: "drop_rows" for _, row_id, _ in _rows(Path(drop_rows))}
    return Named({i: label for i, label in labels.items() if i not in dropped}, dropped)


def read_ids(file: Path) -> frozenset[str]:
    """The row ids that a file names."""
    return frozenset(row_id for _, row_id, _ in _rows(file))


def _label(task: TaskBase, value: Any) -> str | None:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return label_text(task, value)


def _rows(file: Path, need: str | None = None) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    for table in open_tables(Source(file), frozenset(_NAMES)):
        columns = {name.strip().casefold(): name for name in table.columns}
        own = columns.get("row_id") or columns.get("id")
        if own is None or (need is not None and need not in columns):
            table.close()
            missing = "row_id" if own is None else need
            raise InvalidData(
                "clean.file_lacks", file=file, column=missing, columns=table.columns or "-"
            )
        yield from _named_rows(file, table, columns, own)


def _named_rows(
    file: Path, table: Table, columns: Mapping[str, str], own: str
) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    for row in table.rows():
        if isinstance(row, BadRow):
            raise InvalidData("data.bad_row", file=file, row=row.number, reason=row.reason())
        row_id = row.values.get(own)
        if row_id is None or not str(row_id).strip():
            continue
        if isinstance(row_id, float) and row_id.is_integer():
            row_id = int(row_id)
        values = {name: row.values.get(column) for name, column in columns.items()}
        yield row.number, str(row_id).strip(), values
