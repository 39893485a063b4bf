"""What the columns of a table hold, told by the first rows: numbers, categories, texts, pictures,
dates; and which are no inputs: row numbers, identifiers, columns that never change."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from feilun.errors import InvalidData
from feilun.modalities import recognise
from feilun.modalities.times import moment
from feilun.numerals import parse
from feilun.types import ColumnSample, Roles, Scalar

__all__ = ["find", "missing", "number", "roles", "word"]

_MISSING = frozenset(
    {"", "na", "n/a", "nan", "null", "none", "nil", "#n/a", "?", "-", "--", ".", "missing"}
    | {"unknown value", "无", "空", "缺失", "未填"}
)
_ENOUGH = 20  # rows from which on it says something that values never repeat
_WORDS = 3.0  # of a cell, from which on it is a text
_HAN = re.compile(r"[\u3400-\u9fff]")  # written without spaces; a word has about two
_ROW_NAMES = ("rownames", "row_names", "row_number", "index", "unnamed: 0", "", "序号", "行号")


def missing(value: Any) -> bool:
    """Whether a cell says that there is nothing: empty, NaN, NA, ``?``, ``-``."""
    if value is None or value == b"" or value != value:
        return True
    return isinstance(value, str) and value.strip().casefold() in _MISSING


def number(value: Any) -> float | None:
    """The number in a cell, also written as text (see `numerals.parse`); None for what is none."""
    if isinstance(value, (bool, int, float)):
        return float(value)
    try:
        return parse(str(value))
    except ValueError:
        return None


def word(value: Any) -> str:
    """A category as text: trimmed, ``2.0`` as ``2``, truth values in lower case."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    text = str(value).encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()
    return text.replace("\0", "")


def roles(columns: Sequence[ColumnSample], label_names: Sequence[str]) -> Roles:
    """The label, id, group and subject by their usual names; all others are inputs."""
    label = recognise.named(columns, label_names)
    rest = [column for column in columns if column.name != label]
    unique = [c for c in rest if len({str(v) for v in c.values}) == len(c.values)]
    named = (c.name for c in unique if recognise.is_named(c.name, recognise.ID))
    row_id = recognise.named(unique, recognise.ID) or next(named, None)
    group = recognise.named(rest, recognise.GROUP)
    others = [c for c in rest if c.name not in (row_id, group)]
    subject = recognise.named(others, recognise.SUBJECT)
    inputs = {c.name: c.name for c in others if c.name != subject}
    return Roles(inputs, label, row_id, group, subject)


def find(
    columns: Sequence[ColumnSample], given: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """The kind of each input, and the columns that are none with why (a key of messages). What is
    `given` counts; ``ignore`` leaves a column out. Raises `InvalidData` for given names that are
    no columns."""
    names = {column.name for column in columns}
    if unknown := sorted(set(given) - names):
        raise InvalidData("tables.unknown_kind", column=unknown[0], options=sorted(names)[:20])
    kinds: dict[str, str] = {}
    out: dict[str, str] = {}
    for column in columns:
        kind = given.get(column.name)
        if kind == "ignore":
            out[column.name] = "tables.out_ignored"
            continue
        why = None if kind else _no_input(column)
        if why:
            out[column.name] = why
        else:
            kinds[column.name] = kind or _kind(_filled(column))
    return kinds, out


def _filled(column: ColumnSample) -> list[Scalar]:
    return [value for value in column.values if not missing(value)]


def _no_input(column: ColumnSample) -> str | None:
    values = _filled(column)
    if not values:
        return "tables.out_empty"
    if any(isinstance(value, bytes) for value in values):
        return None
    distinct = {word(value) for value in values}
    if len(distinct) == 1 and len(values) == len(column.values) >= _ENOUGH:
        return "tables.out_constant"
    if len(values) < _ENOUGH or len(distinct) < len(values):
        return None
    numbers = [number(value) for value in values]
    if all(one is not None for one in numbers):
        steps = {b - a for a, b in pairwise(numbers)}  # type: ignore[operator]
        by_name = recognise.is_named(column.name, (*recognise.ID, *_ROW_NAMES))
        whole = all(one.is_integer() for one in numbers if one is not None)
        return "tables.out_id" if steps == {1.0} or (by_name and whole) else None
    return "tables.out_id" if _kind(values) == "category" else None


def _kind(values: Sequence[Scalar]) -> str:
    if values and all(map(_is_picture, values)):
        return "image"
    numbers = [number(value) for value in values]
    if all(one is not None and math.isfinite(one) for one in numbers):
        return "number"
    if all(_is_date(value) for value in values):
        return "date"
    texts = [word(value) for value in values]
    words = sum(len(text.split()) + len(_HAN.findall(text)) / 2 for text in texts) / len(texts)
    long = sum(map(len, texts)) / len(texts) > 30
    return "text" if len(set(texts)) > len(texts) / 2 and (words >= _WORDS or long) else "category"


def _is_picture(value: Scalar) -> bool:
    if isinstance(value, str) and value.lstrip()[:11] == "data:image/":
        return True
    return recognise.is_image(value)


def _is_date(value: Scalar) -> bool:
    if not isinstance(value, str):
        return False
    try:
        return moment(value, "") is not None
    except InvalidData:
        return False
