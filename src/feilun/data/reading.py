"""Rows of any source in the task's own form: checked items, labels as text."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from feilun.data.content import content_key, label_text, row_key, sound
from feilun.data.roles import joined, opened, resolve
from feilun.data.sources import BadRow, LeftOut, Source, Table
from feilun.data.sources.images import read_image
from feilun.errors import InvalidData
from feilun.modalities.table.described import columns_of
from feilun.modalities.times import moment
from feilun.numerals import Convention, convention, parse
from feilun.tasks.base import RowReader, TaskBase
from feilun.types import Example, Item, Roles, Row, Scalar

__all__ = ["Reading", "content_keys", "is_empty", "open_readings", "read", "row_id"]


@dataclass(frozen=True, slots=True)
class Reading:
    """One table with its columns' roles; iterate it once for `Example` and `BadRow`.

    Examples have the user's id, of pictures else the file, or ``""``, and the split that the table
    says it is, else ``train``.
    With `need_label` a row without a label, or with nothing in its input, is a bad row, and rows
    that are no examples are counted in the table's details as ``left_out``; when `timed`, a row
    whose time cannot be read is a bad one. Times are not looked at otherwise.
    """

    table: Table
    roles: Roles
    task: TaskBase
    need_label: bool = True
    timed: bool = False

    def __iter__(self) -> Iterator[Example | BadRow]:
        roles, check = self.roles, self.task.check
        written = self._conventions()
        take = self._taker(written)
        how = written.get(roles.label) if roles.label is not None else None
        name, split = self.table.name, self.table.split or "train"
        timed = roles.time if self.timed else None
        need_label = self.need_label
        named = self._file_names()
        labels: dict[str, str] = {}
        several = self._reader()
        for row in self.table.rows():
            if isinstance(row, BadRow):
                yield row
                continue
            values = row.values
            if need_label and isinstance(row, LeftOut):
                left = self.table.details.setdefault("left_out", {})
                left[row.code] = left.get(row.code, 0) + 1
                continue
            try:
                item = take(values)
                raw = None if roles.label is None else _rewritten(values.get(roles.label), how)
                found = [(item, raw)] if several is None else several(item, raw, values)
                if not found or isinstance(found, str):
                    why = found if isinstance(found, str) else "data.says_nothing"
                    left = self.table.details.setdefault("left_out", {})
                    left[why] = left.get(why, 0) + 1
                    continue
                read = []
                for item, raw in found:
                    if need_label and is_empty(item):
                        names = ", ".join(roles.inputs.values())
                        raise InvalidData("data.empty_input", column=names)
                    item = check(item)
                    label = self._target(raw, labels)
                    if label is not None:
                        self.task.agree(item, label)
                    elif need_label:
                        raise InvalidData("data.empty_label", column=roles.label)
                    read.append((item, label, self.task.ordered(item)))
                when = moment(values.get(timed), timed) if timed else None
            except InvalidData as error:
                yield BadRow(row.number, error.code, error.params, values)
                continue
            own = _text(values.get(roles.id)) if roles.id else named(values)
            group = _text(values.get(roles.group)) if roles.group else ""
            if len(read) > 1 and self.task.undivided:
                group = group or f"{name}:{row.number}"
            for item, label, place in read:
                yield Example(
                    own,
                    item,
                    label,
                    split,
                    place[0] if place else group,
                    _text(values.get(roles.subject)) if roles.subject else "",
                    name,
                    place[1] if place else when,
                )
                own = ""  # of several rows the first has the user's id

    def _reader(self) -> RowReader | None:
        """See `TaskBase.reader`; what describes is read as it was made."""
        if not self.need_label or "describes" in self.table.details:
            return None
        return self.task.reader(self.table.samples())

    def _target(self, raw: Any, labels: dict[str, str]) -> str | None:
        """What the label's cell says, None where no column is the label."""
        if self.roles.label is None:
            return None
        known = labels.get(raw) if isinstance(raw, str) else None
        return _label(self.task, raw, self.roles.label, labels) if known is None else known

    def _file_names(self) -> Callable[[Mapping[str, Scalar]], str]:
        """The id of a row of pictures without one of its own: its file, ``photos/cat/1.jpg``."""
        inputs = [self.roles.inputs[c.name] for c in self.task.columns if c.kind == "image"]
        folder = self.table.folder
        if not inputs or folder is None:
            return lambda values: ""
        found = "file" if self.table.details.get("format") == "images" else inputs[0]
        begin = f"{folder.name}/" if folder.name else ""

        def name(values: Mapping[str, Scalar]) -> str:
            file = values.get(found)
            if not isinstance(file, str) or not file or file.startswith("data:"):
                return ""
            file = sound(file.strip()).replace("\\", "/")
            return file.rpartition("/")[2] if file.startswith("/") else begin + file

        return name

    def _conventions(self) -> dict[str, Convention]:
        """How the columns of numbers are written, by the first rows; told in the table's details
        where that is not plain."""
        inputs = self.roles.inputs
        numbers = [c.name for c in self.task.columns if c.kind == "number"]
        names = [inputs[name] for name in numbers if name in inputs]
        if self.task.family.numeric and self.roles.label is not None:
            names.append(self.roles.label)
        if not names:
            return {}
        samples = {sample.name: sample.values for sample in self.table.samples()}
        looks = {name: convention(samples.get(name, ())) for name in names}
        found = {name: one for name, one in looks.items() if one is not None}
        if found:
            self.table.details["numbers"] = [[name, *astuple(one)] for name, one in found.items()]
        return found

    def _taker(self, written: Mapping[str, Convention]) -> Callable[[Mapping[str, Scalar]], Item]:
        """Takes the item out of a row's values."""
        inputs = self.roles.inputs
        columns = [(c.name, inputs[c.name], c.kind) for c in self.task.columns if c.name in inputs]
        folder = self.table.folder

        def value(values: Mapping[str, Scalar], column: str, kind: str) -> Scalar:
            raw = values.get(column)
            if kind == "image":
                raw = _image(raw, folder)
            elif kind == "number":
                raw = _rewritten(raw, written.get(column))
                if not self.task.open_columns:  # which reads its cells itself
                    raw = _number(raw, column)
            elif not self.task.nested and type(raw) is not str and isinstance(raw, (dict, list)):
                raise InvalidData("data.nested", column=column)
            return raw

        if len(columns) == 1 and len(self.task.columns) == 1:
            _, only, only_kind = columns[0]
            return lambda values: value(values, only, only_kind)
        return lambda values: {name: value(values, c, kind) for name, c, kind in columns}


def _label(task: TaskBase, raw: Any, column: str, known: dict[str, str]) -> str | None:
    """The label as text. Labels repeat, so each is put into its form once; `known` does not grow
    for ever where a column of free texts was taken for the label."""
    if task.family.structured and isinstance(raw, dict | list):
        return task.family.target(raw)
    if isinstance(raw, list) and all(isinstance(one, str | int | float) for one in raw):
        if len(raw) > 1:
            raise InvalidData("formats.several_labels", column=column, labels=raw[:5])
        raw = raw[0] if raw else None  # labelling tools write a list also of one
    if isinstance(raw, dict | list):
        raise InvalidData("data.nested", column=column)
    label = label_text(task, raw)
    if isinstance(raw, str) and label is not None and len(known) < 10_000:
        known[raw] = label
    return label


def is_empty(value: Any) -> bool:
    """Whether there is nothing in an item: no text but space, no bytes, no number; of an item of
    several columns, nothing in any."""
    if isinstance(value, Mapping):
        return all(map(is_empty, value.values()))
    if isinstance(value, str):
        return not value or value.isspace()
    return value is None or value == b"" or (isinstance(value, float) and math.isnan(value))


def _text(value: Scalar) -> str:
    """An id, group or subject as text; empty when there is none."""
    if type(value) is str:
        return sound(value).strip()
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _rewritten(value: Any, how: Convention | None) -> Any:
    """A cell as the number that its column's convention makes of it; as it is where it makes none:
    whoever takes it says what is wrong with it."""
    if how is None or not isinstance(value, str):
        return value
    try:
        return parse(value, how.decimal)
    except ValueError:
        return value


def _number(value: Any, column: str) -> float | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        return parse(value) if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        raise InvalidData("data.not_a_number", column=column, given=str(value)[:40]) from None


def _image(value: Any, folder: Path | None) -> bytes | None:
    """The bytes of an image given as bytes, as base64 (``data:image/png;base64,…``), or as the
    path of a file, relative to the folder of the file that names it."""
    if value is None or isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise InvalidData("data.not_an_image", file=type(value).__name__)
    text = value.strip()
    if text.startswith("data:image/") and ";base64," in text[:64]:
        try:
            return base64.b64decode(text.partition(",")[2], validate=True)
        except (binascii.Error, ValueError):
            raise InvalidData("data.not_an_image", file=text[:24]) from None
    if not text:
        return None
    if "://" in text:
        raise InvalidData("data.image_address", file=text[:200])
    return read_image((folder or Path()) / text.replace("\\", "/"))


def row_id(example: Example, task: TaskBase) -> str:
    """The user's id of a row, else one made of what tells it from others: 20 hexadecimal digits."""
    if example.row_id:
        return example.row_id
    return row_key(task.family, content_key(example.item), example.label).hex()[:20]


def open_readings(
    source: Source,
    task: TaskBase,
    columns: Mapping[str, str] | None = None,
    need_label: bool = True,
    timed: bool = False,
) -> list[Reading]:
    """The tables of `source` with their roles: guessed by the task, overridden by `columns` and by
    the source's own. With `timed` each must have a column of times."""
    given = {**(columns or {}), **source.columns}
    tables = opened(source, task, given)
    with ExitStack() as stack:
        for table in tables:
            stack.callback(table.close)
        readings = []
        for one in tables:
            about = task.describes(one.samples(), given) if need_label else None
            if about is not None:
                readings.append(_description(one, task, *about))
                continue
            table, own = joined(one, task, given)
            roles = resolve(table, task, own, need_label, timed)
            readings.append(Reading(table, roles, task, need_label, timed))
        stack.pop_all()
    return readings


def _description(table: Table, task: TaskBase, kind: str, named: str) -> Reading:
    """A table that says what users or items are like, each row as one of the task's own."""
    column = task.columns[0].name

    def rows() -> Iterator[Row | BadRow]:
        for row in table.rows():
            if isinstance(row, BadRow):
                yield row
                continue
            try:
                cells = columns_of(row.values, named)
                if not cells:
                    raise InvalidData("data.describes_nothing", column=named)
                item, target = task.description(kind, row.values.get(named), cells)
            except InvalidData as error:
                yield BadRow(row.number, error.code, error.params, row.values)
                continue
            yield Row(row.number, {column: item, "label": target})  # type: ignore[dict-item]

    details = {"describes": kind, "named": named}
    made = table.over([column, "label"], rows(), details=details)
    return Reading(made, Roles({column: column}, "label"), task)


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
    for reading in open_readings(source, task, columns, need_label):
        for example in reading:
            if isinstance(example, BadRow):
                if bad is None:
                    raise InvalidData(
                        "data.bad_row",
                        file=reading.table.name,
                        row=example.number,
                        reason=example.reason(),
                    )
                bad(example)
                continue
            yield Example(
                row_id(example, task),
                example.item,
                example.label,
                example.split,
                example.group,
                example.subject,
                example.source,
            )


def content_keys(
    sources: Iterable[Source], task: TaskBase, columns: Mapping[str, str] | None = None
) -> frozenset[bytes]:
    """The keys of all usable rows of `sources`, for `build(exclude=…)`."""
    return frozenset(
        row_key(task.family, content_key(example.item), example.label)
        for source in sources
        for example in read(source, task, columns, need_label=False, bad=lambda _: None)
    )
