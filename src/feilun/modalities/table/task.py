"""Tables: rows of any columns. What is an input and of which kind is found from the data once, with
the first data version, and holds for all that follow."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field

from feilun.errors import InvalidData
from feilun.modalities import pieces
from feilun.modalities.base import Column, Features, Processor, TaskBase, TaskSettings
from feilun.modalities.image import decoding
from feilun.modalities.noise import Disturbance
from feilun.modalities.pieces import Pieces
from feilun.modalities.table import column_kinds, noise
from feilun.modalities.table.cells import CellsProcessor
from feilun.modalities.table.features import TableFeatures
from feilun.modalities.times import moment
from feilun.types import ColumnSample, Item, Roles, Scalar, Schema

if TYPE_CHECKING:
    import torch

__all__ = ["MAX_COLUMNS", "MAX_TEXT", "Table", "TableSettings"]

MAX_COLUMNS = 2000
"""Inputs of one table."""
MAX_TEXT = 100_000
"""Characters of one cell."""

_SHOWN = 20  # columns that an error names


class TableSettings(TaskSettings):
    """What the ``[task]`` tables of tasks on tables have in common."""

    columns: dict[str, Literal["number", "category", "text", "image", "date", "ignore"]] = Field(
        default_factory=dict,
        description="kinds of columns that should not be told by their values; ignore leaves a "
        "column out. Counts when the first data is added",
    )


class Table(TaskBase):
    """The input side of a task on tables. Until it is `bound` it has no columns."""

    columns: tuple[Column, ...] = ()
    open_columns = True
    observations = True

    @property
    def modality(self) -> str:
        """``table``, however many columns there are."""
        return "table"

    def bound(self, settings: Mapping[str, Any]) -> Self:
        """With the columns that ``settings["inputs"]`` lists, each with its kind."""
        task = copy.copy(self)
        task.columns = tuple(Column(name, kind) for name, kind in settings.get("inputs", ()))
        return task

    def find_columns(
        self,
        columns: Sequence[ColumnSample],
        settings: Mapping[str, Any],
        roles: Roles | None = None,
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """Kinds by `column_kinds.find`. Raises `InvalidData` when nothing is left."""
        given = dict(settings.get("columns") or {})
        kinds, out = column_kinds.find(columns, given)
        if not kinds:
            raise InvalidData("tables.no_columns", columns=[c.name for c in columns][:_SHOWN])
        if len(kinds) > MAX_COLUMNS:
            raise InvalidData("tables.too_many_columns", columns=len(kinds), limit=MAX_COLUMNS)
        return {**settings, "inputs": [list(one) for one in kinds.items()]}, out

    def recognise(self, columns: Sequence[ColumnSample]) -> Roles:
        """The label by its usual names, id, group and subject by theirs; every other column is an
        input of its own name, of a bound task those that it has."""
        roles = column_kinds.roles(columns, self.label_aliases)
        if self.columns:
            there = {column.name for column in columns}
            inputs = {c.name: c.name for c in self.columns if c.name in there}
            if not inputs:
                given = [column.name for column in columns][:_SHOWN]
                raise InvalidData("tables.no_known_column", given=given, columns=self._names())
            return Roles(inputs, roles.label, roles.id, roles.group, roles.subject, roles.time)
        return roles

    def check(self, item: Item) -> Item:
        """A value for each column, None where it is missing; other columns are dropped. Of a table
        of one column the value alone.

        Raises `InvalidData` for a row with none of the columns, and for a value that is not of its
        column's kind, naming both.
        """
        if not isinstance(item, Mapping):
            if len(self.columns) != 1:
                raise InvalidData("tables.not_a_row", columns=self._names())
            item = {self.columns[0].name: item}
        if not any(column.name in item for column in self.columns):
            given = [str(name)[:40] for name in item][:_SHOWN]
            raise InvalidData("tables.no_known_column", given=given or ["-"], columns=self._names())
        row = {c.name: cell(item.get(c.name), c) for c in self.columns}
        return next(iter(row.values())) if len(row) == 1 else row

    def _names(self) -> list[str]:
        return [column.name for column in self.columns][:_SHOWN]

    def input_schema(self) -> dict[str, Any]:
        """An object with the columns, each of its kind; all may be missing or null."""
        kinds = [{"type": kind} for kind in ("string", "number", "boolean", "null")]

        def cells(column: Column) -> dict[str, Any]:
            if column.kind == "image":
                picture = decoding.input_schema(column.name)["anyOf"][0]
                return {"anyOf": [picture, {"type": "null"}], "description": column.kind}
            return {"anyOf": kinds, "description": column.kind}

        return {
            "type": "object",
            "properties": {column.name: cells(column) for column in self.columns},
            "additionalProperties": True if self.columns else {"anyOf": kinds},
        }

    def called(self) -> Mapping[str, str | None]:
        """What the data calls each column; None for one that it does not have."""
        return {one.name: one.name for one in self.columns}

    def understood(self) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """Of which kind each column is."""
        called = [(self.called()[one.name], one.kind) for one in self.columns]
        named = {
            kind: [name for name, its in called if name is not None and its == kind]
            for kind in ("number", "category", "date", "text", "image")
        }
        return [
            (f"tables.read_{kind}", {"columns": names[:_SHOWN], "count": len(names)})
            for kind, names in named.items()
            if names
        ]

    def modalities(self) -> Mapping[str, tuple[str, ...]]:
        """Texts, pictures, and all else."""
        called = {"text": "text", "image": "image"}
        found: dict[str, tuple[str, ...]] = {}
        for column in self.columns:
            kind = called.get(column.kind, "values")
            found[kind] = (*found.get(kind, ()), column.name)
        return found

    def processor(self, folder: Path | str | None, settings: Mapping[str, Any]) -> Processor:
        """The tokenizer of `folder`, for the columns of texts. Raises `InvalidData` where there is
        none."""
        names = [column.name for column in self.columns if column.kind == "text"]
        if not names:
            raise InvalidData("tables.no_base", task=self.name)
        return CellsProcessor.of_columns(folder, names)

    def load(self, base: Path | str | None, schema: Schema) -> torch.nn.Module:
        """There is none."""
        raise InvalidData("tables.no_base", task=self.name)

    def encoder(self, base: Path) -> torch.nn.Module:
        """There is none."""
        raise InvalidData("tables.no_base", task=self.name)

    def features(
        self, settings: Mapping[str, Any], state: Mapping[str, Any] | None = None
    ) -> Features:
        """Numbers in units of their spread, one column for each category, marks for what is
        missing, n-grams of texts, colours and edges of pictures. They are fitted (see `Fitted`)."""
        columns = self.columns or self.bound(settings).columns
        return TableFeatures(tuple((c.name, c.kind) for c in columns), state)

    def pieces(self, item: Item) -> Pieces | None:
        """The columns that have a value."""
        names = [column.name for column in self.columns]
        row = dict(item) if isinstance(item, Mapping) else {names[0]: item}
        return pieces.of_row(row, names)

    def disturbances(self) -> Mapping[str, Disturbance]:
        """A missing value, a category never seen, an extreme number."""
        return noise.disturbances(self.columns) if self.columns else {}

    def example_items(self) -> list[Item]:
        """The items of the inline examples, of a bound task an empty row and a plain one."""
        own = super().example_items()
        names = {column.name for column in self.columns}
        if not names or any(isinstance(item, Mapping) and set(item) == names for item in own):
            return own
        plain: dict[str, Scalar] = {
            c.name: 1.0 if c.kind == "number" else None for c in self.columns
        }
        return [self.check({c.name: None for c in self.columns}), self.check(plain)]


def cell(value: Any, column: Column) -> Scalar:
    """`value` as `column` holds it: a float, a trimmed text, a picture's bytes, or None for
    nothing. Raises `InvalidData` naming the column for what it cannot hold."""
    if column.kind == "image" and isinstance(value, bytes) and value:
        try:
            return decoding.check(value, column.name)
        except InvalidData as error:
            reason = error.message()
            raise InvalidData("tables.no_picture", column=column.name, reason=reason) from None
    if isinstance(value, (dict, list)) or (isinstance(value, bytes) and value):
        raise InvalidData("tables.not_a_cell", column=column.name, given=type(value).__name__)
    if column_kinds.missing(value):
        return None
    if column.kind == "image":
        given = str(value)[:40]
        raise InvalidData("tables.not_a_picture", column=column.name, given=given)
    if column.kind == "number":
        found = column_kinds.number(value)
        if found is None or not math.isfinite(found):
            raise InvalidData("tables.not_a_number", column=column.name, given=str(value)[:40])
        return found
    if column.kind == "date":
        try:
            moment(value, column.name)
        except InvalidData:
            raise InvalidData(
                "tables.not_a_date", column=column.name, given=str(value)[:40]
            ) from None
    text = column_kinds.word(value)
    if len(text) > MAX_TEXT:
        raise InvalidData(
            "tables.cell_too_long", column=column.name, length=len(text), limit=MAX_TEXT
        )
    return text
