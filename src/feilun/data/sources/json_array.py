"""JSON: an array of objects, bare or inside an object (``{"data": [...]}``), read as it streams."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from feilun.data.sources._records import object_row, peek_columns
from feilun.data.sources._text import DAMAGE, MAX_CELL, TextFile, open_text
from feilun.data.sources.base import BadRow, Options, Table
from feilun.errors import InvalidData
from feilun.types import Row

__all__ = ["open_tables"]

_CHUNK = 1 << 16
_SPACE = re.compile(r"[ \t\r\n]*")


def open_tables(location: Path | str, options: Options, known: Collection[str] = ()) -> list[Table]:
    """The file's one table. Raises `InvalidData` naming the row at which the JSON breaks."""
    path = Path(location)
    stream, encoding = open_text(path, options.encoding)
    try:
        columns, rows = peek_columns(_rows(path, stream))
    except BaseException:
        stream.close()
        raise
    return [
        Table(
            path.name,
            columns,
            rows,
            folder=path.parent,
            details={"format": "JSON", "encoding": encoding},
            total=stream.size,
            unit="bytes",
            position=stream.position,
            close=stream.close,
        )
    ]


def _rows(file: Path, stream: TextFile) -> Iterator[Row | BadRow]:
    scanner = _Scanner(file, stream)
    scanner.find_array()
    for number, value in enumerate(scanner.elements(), 1):
        if scanner.damage and DAMAGE in json.dumps(value, ensure_ascii=False):
            yield BadRow(number, "data.bad_bytes", {"encoding": stream.encoding}, {"": value})
        else:
            yield object_row(number, value)


class _Scanner:
    """Values out of a long JSON text, of which only a window is held."""

    def __init__(self, file: Path, stream: TextFile) -> None:
        self._file = file
        self._stream = stream
        self._decode = json.JSONDecoder().raw_decode
        self._window = ""
        self._place = 0
        self._number = 0
        self._end = False
        self.damage = False

    def find_array(self) -> None:
        """Moves to the first element of the array of rows."""
        mark = self._take()
        if mark == "[":
            return
        if mark != "{":
            raise InvalidData("data.json_shape", file=self._file)
        while True:
            mark = self._peek()
            if mark == "}":
                raise InvalidData("data.json_shape", file=self._file)
            self._value()  # a name
            if self._take() != ":":
                raise self._broken(":")
            if self._peek() == "[":
                self._place += 1
                if self._peek() in ("{", "]"):
                    return
                self._place -= 1
            self._value()
            if self._peek() == ",":
                self._place += 1

    def elements(self) -> Iterator[Any]:
        """The array's elements up to its end."""
        if self._peek() == "]":
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
        text = self._stream.text.read(size)
        self._end = not text
        self.damage = self.damage or DAMAGE in text
        self._window = self._window[self._place :] + text
        self._place = 0

    def _broken(self, reason: object) -> InvalidData:
        return InvalidData(
            "data.json_broken", file=self._file, row=max(self._number, 1), reason=reason
        )
