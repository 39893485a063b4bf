"""JSON: an array of objects or of arrays, bare or inside an object (``{"data": [...]}``), read as
it streams; and an object that holds a whole table, as pandas writes it, which is held in memory.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from feilun.data.sources._layouts import from_cells, from_layout
from feilun.data.sources._records import object_row, peek_columns
from feilun.data.sources._text import DAMAGE, MAX_CELL, TextFile, open_found
from feilun.data.sources.base import SPLITS, BadRow, Options, Table
from feilun.errors import InvalidData
from feilun.types import Row

__all__ = ["open_tables"]

_CHUNK = 1 << 16
_MAX_WHOLE = 512 << 20
_SPACE = re.compile(r"[ \t\r\n]*")


def open_tables(location: Path | str, options: Options, known: Collection[str] = ()) -> list[Table]:
    """The file's one table, or one a part where its arrays are called train, validation, test.
    Raises `InvalidData` naming the row at which the JSON breaks."""
    path = Path(location)
    stream, told = open_found(path, options.encoding)
    try:
        scanner = _Scanner(path, stream)
        inside = scanner.find_array()
        parts = _parts(path, stream.encoding) if _is_part(scanner.name) else []
        details = {"format": "JSON", **told, "other_arrays": scanner.others}
        if not parts:
            return [_table(path, stream, _open(scanner, inside, known), details)]
    except BaseException:
        stream.close()
        raise
    stream.close()
    tables = []
    for part in parts:
        stream, _ = open_found(path, options.encoding)
        scanner = _Scanner(path, stream)
        inside = scanner.find_array(part)
        scanner.others.clear()
        table = _table(path, stream, _open(scanner, inside, known, alone=False), details)
        tables.append(
            table.over(
                table.columns,
                table.rows(),
                name=f"{path.name}:{part}",
                split=SPLITS[part.casefold()],
            )
        )
    return tables


_Found = tuple[Sequence[str], Iterator[Row | BadRow]]


def _table(file: Path, stream: TextFile, found: _Found, details: Mapping[str, Any]) -> Table:
    columns, rows = found
    return Table(
        file.name,
        columns,
        rows,
        folder=file.parent,
        details=details,
        total=stream.size,
        unit="bytes",
        position=stream.position,
        close=stream.close,
    )


def _is_part(name: str | None) -> bool:
    return name is not None and name.casefold() in SPLITS


def _parts(file: Path, encoding: str) -> list[str]:
    """The names of the file's arrays of rows where all are names of parts."""
    stream, _ = open_found(file, encoding)
    try:
        scanner = _Scanner(file, stream)
        scanner.find_array()
        for _ in scanner.elements():
            pass
        names = [str(scanner.name), *scanner.others]
    finally:
        stream.close()
    return names if all(map(_is_part, names)) else []


def _open(
    scanner: _Scanner, inside: str | None, known: Collection[str], *, alone: bool = True
) -> _Found:
    elements = scanner.elements(to_end=alone)
    if inside == "[":
        columns, rows = from_cells(elements, scanner.columns, known)
    elif inside is None:
        columns, rows = from_layout(scanner.file.name, _whole(scanner.file, scanner.stream), known)
    else:
        numbered = enumerate(elements, 1)
        columns, rows = peek_columns(object_row(number, value) for number, value in numbered)
    return columns, _sound(rows, scanner, scanner.stream.encoding)


def _sound(
    rows: Iterator[Row | BadRow], scanner: _Scanner, encoding: str
) -> Iterator[Row | BadRow]:
    """`rows`, those with bytes that could not be decoded as bad ones."""
    for row in rows:
        damaged = scanner.damage and isinstance(row, Row)
        if damaged and DAMAGE in json.dumps(row.values, ensure_ascii=False, default=str):
            yield BadRow(row.number, "data.bad_bytes", {"encoding": encoding}, row.values)
        else:
            yield row


def _whole(file: Path, stream: TextFile) -> Any:
    """Everything that a file holds; its columns lie one after the other, so none can stream."""
    if stream.size > _MAX_WHOLE:
        raise InvalidData("formats.json_too_large", file=file, limit=_MAX_WHOLE >> 20)
    stream.text.seek(0)
    try:
        return json.loads(stream.text.read())
    except (ValueError, RecursionError) as error:
        raise InvalidData("data.json_broken", file=file, row=1, reason=error) from None


class _Scanner:
    """Values out of a long JSON text, of which only a window is held."""

    def __init__(self, file: Path, stream: TextFile) -> None:
        self.file = file
        self.stream = stream
        self._decode = json.JSONDecoder().raw_decode
        self._window = ""
        self._place = 0
        self._number = 0
        self._end = False
        self.damage = False
        self.columns: list[str] | None = None
        self.name: str | None = None
        self.others: dict[str, int] = {}

    def find_array(self, wanted: str | None = None) -> str | None:
        """Moves to the first element of the array of rows (of the one called `wanted`) and returns
        the character it begins with, None where there is no such array. `name` is what the array
        is called, `columns` are those that were named before it."""
        mark = self._take()
        if mark == "[":
            return self._peek()
        if mark != "{":
            raise InvalidData("data.json_shape", file=self.file)
        return self._next_array(wanted)

    def _next_array(self, wanted: str | None = None) -> str | None:
        while True:
            mark = self._peek()
            if mark == "}":
                self._take()
                return None
            name = self._value()
            if self._take() != ":":
                raise self._broken(":")
            if self._peek() == "[":
                self._place += 1
                mark = self._peek()
                rows = mark in ("{", "]") or (mark == "[" and name not in ("columns", "index"))
                if rows and wanted in (None, name):
                    self.name = name
                    return mark
                # Spaces were passed and the window may have moved on: the bracket is put back.
                self._window, self._place = "[" + self._window[self._place :], 0
            value = self._value()
            if name == "columns" and isinstance(value, list):
                self.columns = [str(one) for one in value]
            if self._peek() == ",":
                self._place += 1

    def elements(self, *, to_end: bool = True) -> Iterator[Any]:
        """The array's elements up to its end. With `to_end` the rest of the file is looked at:
        `others` are further arrays of objects with their sizes, and nothing may follow."""
        yield from self._inside()
        if not to_end:
            return
        if self.name is not None:
            first = self.name
            self._pass_comma()
            while (mark := self._next_array()) is not None:
                name, number = str(self.name), self._number
                count = sum(1 for _ in self._inside())
                if mark == "{":
                    self.others[name] = count
                self._number = number
                self._pass_comma()
            self.name = first
        while not self._end and not self._window[self._place :].strip():
            self._place = len(self._window)
            self._more(_CHUNK)
        if self._window[self._place :].strip():
            raise self._broken("extra data after the end")

    def _pass_comma(self) -> None:
        if self._peek() == ",":
            self._place += 1

    def _inside(self) -> Iterator[Any]:
        if self._peek() == "]":
            self._place += 1
            return
        while True:
            self._number += 1
            yield self._value()
            mark = self._take()
            if mark == "]":
                return
            if mark != ",":
                raise self._broken(", ]")

    def _value(self) -> Any:
        """The value that begins here; reads on until it is whole."""
        self._peek()
        chunk = _CHUNK
        while True:
            try:
                value, end = self._decode(self._window, self._place)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated") or error.pos > len(self._window) - 16
                if self._end or not cut or len(self._window) - self._place > MAX_CELL:
                    raise self._broken(error.msg) from None
            except RecursionError as error:
                raise self._broken(error) from None
            else:
                # A number at the window's end may go on; everything else is whole.
                if end < len(self._window) or self._end or isinstance(value, dict | list | str):
                    self._place = end
                    return value
            self._more(chunk)
            chunk *= 2

    def _peek(self) -> str:
        """The next character that is not space; stays before it."""
        while True:
            self._place = _SPACE.match(self._window, self._place).end()  # type: ignore[union-attr]
            if self._place < len(self._window):
                return self._window[self._place]
            if self._end:
                raise self._broken("…")
            self._more(_CHUNK)

    def _take(self) -> str:
        mark = self._peek()
        self._place += 1
        return mark

    def _more(self, size: int) -> None:
        text = self.stream.text.read(size)
        self._end = not text
        self.damage = self.damage or DAMAGE in text
        self._window = self._window[self._place :] + text
        self._place = 0

    def _broken(self, reason: object) -> InvalidData:
        return InvalidData(
            "data.json_broken", file=self.file, row=max(self._number, 1), reason=reason
        )
