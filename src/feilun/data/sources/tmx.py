"""Translation memories in the exchange format TMX 1.4 (Localization Industry Standards Association,
2005): a row a unit, a column a language, that of the originals first.

Codes inside a text (``bpt``, ``ph``, …) stand for what they hold in the original format; one that
holds nothing is kept as it is written, so that it can be put back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from feilun.data.sources._records import peek_columns
from feilun.data.sources._text import DAMAGE, MAX_CELL, TextFile, open_found
from feilun.data.sources.base import BadRow, Options, Table
from feilun.errors import InvalidData
from feilun.types import Row

__all__ = ["is_tmx", "open_tables"]

_CHUNK = 1 << 16
_MARKS = frozenset({"bpt", "ept", "it", "ph", "ut"})
"""Elements whose text is a code of the original format."""


def is_tmx(head: str) -> bool:
    """Whether a text that begins with `head` is a translation memory."""
    return "<tmx" in head[:4096]


def open_tables(location: Path | str, options: Options, known: Collection[str] = ()) -> list[Table]:
    """The file's one table. Raises `InvalidData` for broken XML, naming the line."""
    path = Path(location)
    stream, told = open_found(path, options.encoding)
    units = _Units(path)
    try:
        columns, rows = peek_columns(units.read(stream))
    except BaseException:
        stream.close()
        raise
    first = [name for name in columns if units.is_original(name)]
    return [
        Table(
            path.name,
            [*first, *(name for name in columns if name not in first)],
            rows,
            folder=path.parent,
            details={"format": "TMX", **told},
            total=stream.size,
            unit="bytes",
            position=stream.position,
            close=stream.close,
        )
    ]


class _Units:
    """Units out of XML that comes in pieces. A document type may be named, as many programs do;
    nothing is fetched for it, and entities of its own are refused before they are expanded."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._parser = expat.ParserCreate("utf-8")
        self._parser.buffer_text = True
        self._parser.EntityDeclHandler = self._refuse
        self._parser.StartElementHandler = self._begin
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._original = ""
        self._unit: dict[str, Any] | None = None
        self._language = ""
        self._text: list[str] | None = None
        self._length = 0
        self._mark: tuple[str, dict[str, str], int] | None = None
        self._number = 0
        self._done: list[Row | BadRow] = []

    def is_original(self, language: str) -> bool:
        """Whether the file says that its texts were written in `language`."""
        return bool(self._original) and language.casefold() == self._original.casefold()

    def read(self, stream: TextFile) -> Iterator[Row | BadRow]:
        """A row a unit, numbered from 1."""
        try:
            while chunk := stream.text.read(_CHUNK):
                self._parser.Parse(chunk.replace(DAMAGE, "\ufffd").encode(), False)
                yield from self._done
                self._done.clear()
            self._parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise InvalidData(
                "data.damaged", file=self._path, format="TMX", reason=str(error)
            ) from None

    def _refuse(self, *_: Any) -> None:
        raise InvalidData("formats.xml_entities", file=self._path)

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        if name == "header":
            self._original = attributes.get("srclang", "")
        elif name == "tu":
            self._unit = {}
        elif name == "tuv":
            self._language = attributes.get("xml:lang", attributes.get("lang", "")).strip()
        elif name == "seg" and self._unit is not None:
            self._text, self._length = [], 0
        elif self._text is not None and name in _MARKS and self._mark is None:
            self._mark = name, attributes, self._length

    def _characters(self, text: str) -> None:
        if self._text is None:
            return
        self._length += len(text)
        if self._length > MAX_CELL:
            raise InvalidData("data.line_too_long", file=self._path, limit=MAX_CELL)
        self._text.append(text)

    def _end(self, name: str) -> None:
        if name == "seg" and self._text is not None and self._unit is not None:
            if self._language:
                self._unit.setdefault(self._language, "".join(self._text))
            self._text = None
        elif self._mark is not None and name == self._mark[0] and self._text is not None:
            _, attributes, before = self._mark
            if self._length == before:
                said = "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items())
                self._characters(f"<{name}{said}/>")
            self._mark = None
        elif name == "tu" and self._unit is not None:
            self._number += 1
            self._done.append(Row(self._number, self._unit))
            self._unit = None
