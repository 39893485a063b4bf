"""Texts as people write them: a file, or a folder of them, read as documents, not as a table.

Where a file has blank lines they part its paragraphs, and consecutive paragraphs make a document
of about `DOCUMENT` characters; where it has none, each line is a document, as corpora of sentences
and reviews are written. Files are read as streams: memory is that of one document.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

from feilun.data.litter import walk
from feilun.data.sources._text import DAMAGE, TextFile, open_found
from feilun.data.sources.base import BadRow, Options, Source, Table
from feilun.errors import InvalidData
from feilun.types import Row

__all__ = ["DOCUMENT", "SUFFIXES", "open_tables", "prose"]

SUFFIXES = frozenset({".txt", ".text", ".md"})
DOCUMENT = 4000
"""Characters of a document after which it ends with its paragraph."""

_LOOKED = 1000
_FILES = 50


def prose(source: Source) -> Source:
    """`source`, to be read as plain text where it is a text file or a folder that has such files:
    for tasks that read documents."""
    place, options = source.location, source.options
    if options.format is not None or not isinstance(place, str | Path) or "://" in str(place):
        return source
    path = Path(place)
    if path.is_dir():
        found = [one.suffix.lower() for one in islice(walk(path), _FILES)]
        wanted = sum(one in SUFFIXES for one in found) * 2 > len(found)
    else:
        wanted = path.suffix.lower() in SUFFIXES
    if not wanted:
        return source
    return replace(source, options=replace(options, format="plain"))


def open_tables(location: Path | str, options: Options, known: Collection[str] = ()) -> list[Table]:
    """The one table: ``text``, and the ``file`` that it stands in."""
    path = Path(location)
    if path.is_dir():
        return [Table(path.name, ("text", "file"), _folder(path, options), folder=path)]
    if not path.exists():
        raise InvalidData("data.no_file", file=path)
    stream, details = open_found(path, options.encoding)
    return [
        Table(
            path.name,
            ("text", "file"),
            _rows(stream, path.name, 0),
            folder=path.parent,
            details={"format": "text", **details},
            total=stream.size,
            unit="bytes",
            position=stream.position,
            close=stream.close,
        )
    ]


def _folder(folder: Path, options: Options) -> Iterator[Row | BadRow]:
    number = 0
    for path in walk(folder):
        if path.suffix.lower() not in SUFFIXES:
            continue
        name = path.relative_to(folder).as_posix()
        try:
            stream, _ = open_found(path, options.encoding)
        except (InvalidData, OSError) as error:
            number += 1
            broken = InvalidData("data.broken", file=name, reason=str(error))
            told = error if isinstance(error, InvalidData) else broken
            yield BadRow(number, told.code, told.params, {"file": name})
            continue
        try:
            for row in _rows(stream, name, number):
                number = row.number
                yield row
        finally:
            stream.close()


def _rows(stream: TextFile, name: str, number: int) -> Iterator[Row | BadRow]:
    for text in _documents(line.rstrip("\r\n") for line in stream.lines()):
        number += 1
        if DAMAGE in text:
            params = {"file": name, "encoding": stream.encoding, "place": text.index(DAMAGE)}
            values = {"text": text.replace(DAMAGE, "\ufffd"), "file": name}
            yield BadRow(number, "formats.undecodable_file", params, values)
        else:
            yield Row(number, {"text": text, "file": name})


def _documents(lines: Iterator[str]) -> Iterator[str]:
    """See the module."""
    head = [line.removeprefix("\ufeff") for line in islice(lines, _LOOKED)]
    while head and not head[-1].strip():
        head.pop()  # a last blank line parts nothing
    if all(line.strip() for line in head):
        yield from (line.strip() for line in chain(head, lines) if line.strip())
        return
    held: list[str] = []
    size = 0
    for line in chain(head, lines):
        if not line.strip() and size >= DOCUMENT:
            yield "\n".join(held).strip()
            held, size = [], 0
        elif line.strip() or held:
            held.append(line.rstrip())
            size += len(line) + 1
    if text := "\n".join(held).strip():
        yield text
