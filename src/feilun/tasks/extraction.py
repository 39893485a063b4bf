"""Reads named fields out of a text: number, date and total of an invoice, the goods of an order."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from feilun.errors import InvalidData
from feilun.families.records import RECORDS
from feilun.modalities import recognise
from feilun.modalities.text.task import TextSettings, TextTask
from feilun.numerals import convention, parse
from feilun.types import ColumnSample, Example, Roles, Scalar

__all__ = ["Settings", "Task"]

_NAMES: tuple[str, ...] = (
    "record", "json", "fields", "extraction", "extracted", "object", "label", "output", "answer",
    "completion", "target", "记录", "字段", "抽取", "结果", "标注", "标签", "答案",
)  # fmt: skip
_BESIDE = ("id", "row_id", "uuid", "guid", *recognise.GROUP)
"""Columns that are no fields. A number or a date may be one."""

_IS_CODE = re.compile(r"0\d|\d{16}")


class Settings(TextSettings):
    """The ``[task]`` table of a project that reads fields out of texts."""


class Task(TextTask):
    """Named fields of a text as a JSON object: number, date and total of an invoice, name and
    address of who writes, what kind of request it is.

    The input is one text of any language. What is right for a row is an object in one column
    (``{"number": "A-7", "total": 12.5}``), or a column for each field beside the text. Fields whose
    values stand in the text are looked for there, also as numbers and dates that are written
    otherwise; fields with few different values are chosen.
    """

    summary = "tasks.extraction"
    family = RECORDS
    Settings = Settings
    encodes = False
    label_aliases = _NAMES
    examples = (
        Example("1", "Invoice A-7 of 3 March 2024: 2 lamps, total 59.80 EUR",
                '{"date":"2024-03-03","number":"A-7","total":59.8}'),
        Example("2", "Thank you, all is fine.", "{}"),
        Example("3", "发票 B-12，2024年5月6日，合计 120 元",
                '{"date":"2024-05-06","number":"B-12","total":120}'),
    )  # fmt: skip

    def recognise(self, columns: Sequence[ColumnSample]) -> Roles:
        """The label holds objects, or has a usual name; the input has a usual name or the longest
        texts."""
        label = _label(columns)
        rest = [column for column in columns if column.name != label]
        return replace(recognise.roles(rest, self.columns[0], ()), label=label)

    def label_columns(self, columns: Sequence[ColumnSample]) -> Mapping[str, Scalar]:
        """Where no column holds objects, every column beside the text that is no id or group:
        an empty cell says that the text has no such field."""
        if _label(columns) is not None:
            return {}
        try:
            roles = recognise.roles(columns, self.columns[0], ())
        except InvalidData:
            return {}
        text = set(roles.inputs.values())
        fields = [one.name for one in columns if one.name not in text and not _is_beside(one.name)]
        return dict.fromkeys(fields) if len(fields) > 1 else {}

    def label_cells(
        self, columns: Sequence[ColumnSample]
    ) -> Mapping[str, Callable[[Scalar], Scalar]]:
        """A column of numbers holds numbers."""
        readers = {one.name: _number_reader(one) for one in columns}
        return {name: one for name, one in readers.items() if one is not None}


def _number_reader(column: ColumnSample) -> Callable[[Scalar], Scalar] | None:
    """How cells of a column of numbers are read; None where some say something else, or begin with
    a 0 that would be lost."""
    cells = [one.strip() for one in column.values if isinstance(one, str) and one.strip()]
    if not cells or any(_IS_CODE.match(one) for one in cells):
        return None
    found = convention(cells)
    decimal = found.decimal if found is not None else None

    def read(cell: Scalar) -> Scalar:
        try:
            number = parse(cell, decimal) if isinstance(cell, str) else cell
        except ValueError:
            return cell
        return number

    return read if all(isinstance(read(one), float) for one in cells) else None


def _label(columns: Sequence[ColumnSample]) -> str | None:
    objects = [one for one in columns if _holds_objects(one)]
    named = recognise.named(objects, _NAMES) or (objects[0].name if objects else None)
    return named or recognise.named(columns, _NAMES)


def _holds_objects(column: ColumnSample) -> bool:
    """Whether most cells with something in them are objects, or begin like one."""
    values = [one for one in column.values if one is not None and one != ""]
    found = [
        one
        for one in values
        if isinstance(one, Mapping) or (isinstance(one, str) and one.lstrip().startswith("{"))
    ]
    return bool(values) and 2 * len(found) > len(values)


def _is_beside(name: str) -> bool:
    return name.strip().casefold() in _BESIDE
