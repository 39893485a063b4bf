"""Dumps of a MediaWiki such as Wikipedia: ``pages-articles.xml``, plain, bzip2 or gzip.

Articles alone (namespace 0), of each the last revision that the dump has; redirects and pages that
are no wikitext are passed by. The file is read as a stream: memory is that of one page.
"""

from __future__ import annotations

import bz2
import gzip
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import IO, Any
from xml.parsers import expat

from feilun.data.sources._wikitext import plain
from feilun.data.sources.base import BadRow, Options, Table
from feilun.errors import InvalidData
from feilun.types import Row

__all__ = ["MAX_PAGE", "is_dump", "open_tables"]

MAX_PAGE = 16 << 20
"""Characters that one page may have; MediaWiki itself allows 2 MiB."""

_CHUNK = 1 << 16
_OPENERS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"BZh": lambda raw: bz2.BZ2File(raw),
    b"\x1f\x8b": lambda raw: gzip.GzipFile(fileobj=raw),
}
_KEPT = frozenset({"title", "ns", "id", "model", "text"})


def is_dump(file: Path) -> bool:
    """Whether the file, unpacked where it is packed, begins as a dump does."""
    raw, stream = _open(file)
    try:
        return b"<mediawiki" in stream.read(4096)
    except (OSError, EOFError, zlib.error):
        return False
    finally:
        stream.close()
        raw.close()


def open_tables(location: Path | str, options: Options, known: Collection[str] = ()) -> list[Table]:
    """The one table: ``id`` and ``title`` of the page, and its words as ``text``."""
    path = Path(location)
    raw, stream = _open(path)

    def close() -> None:
        stream.close()
        raw.close()

    return [
        Table(
            path.name,
            ("id", "title", "text"),
            _rows(path, stream),
            folder=path.parent,
            details={"format": "MediaWiki"},
            total=path.stat().st_size,
            unit="bytes",
            position=lambda: 0.0 if raw.closed else float(raw.tell()),
            close=close,
        )
    ]


def _open(path: Path) -> tuple[IO[bytes], IO[bytes]]:
    """The file, and what it holds when it is unpacked."""
    raw = path.open("rb")
    head = raw.read(4)
    raw.seek(0)
    for magic, opener in _OPENERS.items():
        if head.startswith(magic):
            return raw, opener(raw)
    return raw, raw


def _rows(path: Path, stream: IO[bytes]) -> Iterator[Row | BadRow]:
    pages = _Pages(path)
    number = 0
    for page in pages.read(stream):
        if page.get("ns", "0").strip() != "0" or "redirect" in page:
            continue
        if page.get("model", "wikitext") != "wikitext":
            continue
        number += 1
        title = page.get("title", "")
        values: dict[str, Any] = {"id": page.get("id", ""), "title": title}
        if "long" in page:
            yield BadRow(number, "wiki.long", {"title": title, "limit": MAX_PAGE}, values)
        elif text := plain(page.get("text", "")):
            yield Row(number, {**values, "text": text})


class _Pages:
    """Pages out of XML that comes in pieces. A dump never has a document type, and whoever gives
    one could make a small file endless by entities: it is refused before anything is expanded."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.StartElementHandler = self._begin
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._page: dict[str, str] | None = None
        self._open: list[str] = []
        self._text: list[str] = []
        self._length = 0
        self._done: list[dict[str, str]] = []

    def read(self, stream: IO[bytes]) -> Iterator[dict[str, str]]:
        """Every page: its elements by name, ``redirect`` where it is one."""
        try:
            while chunk := stream.read(_CHUNK):
                self._parser.Parse(chunk, False)
                yield from self._done
                self._done.clear()
            self._parser.Parse(b"", True)
        except (expat.ExpatError, OSError, EOFError, zlib.error) as error:
            raise InvalidData(
                "data.damaged", file=self._path, format="MediaWiki XML", reason=str(error)
            ) from None

    def _refuse(self, *_: Any) -> None:
        raise InvalidData("wiki.doctype", file=self._path)

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        self._open.append(name)
        self._text.clear()
        self._length = 0
        if name == "page":
            self._page = {}
        elif name == "redirect" and self._page is not None:
            self._page["redirect"] = attributes.get("title", "")

    def _characters(self, text: str) -> None:
        if self._page is None or self._open[-1] not in _KEPT:
            return
        self._length += len(text)
        if self._length > MAX_PAGE:
            self._page["long"] = ""
            self._text.clear()
        else:
            self._text.append(text)

    def _end(self, name: str) -> None:
        self._open.pop()
        if self._page is None:
            return
        if name == "page":
            self._done.append(self._page)
            self._page = None
        elif name in _KEPT and (name != "id" or self._open[-1] == "page"):
            # Of several revisions the last one stands; the ids of revisions are not the page's.
            self._page[name] = "".join(self._text)
        self._text.clear()
