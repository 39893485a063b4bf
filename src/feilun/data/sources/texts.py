"""Folders of texts: a file an example, a sub-folder a class."""

from __future__ import annotations

import codecs
from collections.abc import Collection
from itertools import islice
from pathlib import Path
from typing import Any

from feilun.data.litter import walk
from feilun.data.sources._encodings import Found, encoding_in
from feilun.data.sources._folders import class_table, parts
from feilun.data.sources._text import MAX_CELL, find_encoding
from feilun.data.sources.base import Options, Table
from feilun.errors import InvalidData
from feilun.types import Split

__all__ = ["SUFFIXES", "open_tables"]

SUFFIXES = frozenset({".txt", ".text", ".md", ""})
"""Names without a suffix are those of mails and of posts in groups."""

_FILES = 20_000
_BYTES = 64 << 20
_SAMPLE = 2 << 20
_SURE = 3
_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def open_tables(location: Path | str, options: Options, known: Collection[str] = ()) -> list[Table]:
    """One table, or one a part where the sub-folders are called train, validation, test.

    Columns are ``text``, ``label`` (the sub-folder's name; folders below it belong to the same
    class) and ``file``. The files are of one encoding, but for those that say theirs by a mark and
    those that are UTF-8.
    """
    folder = Path(location)
    found = Found(options.encoding) if options.encoding else _encoding(folder)
    try:
        codecs.lookup(found.encoding)
    except LookupError:
        raise InvalidData("data.no_such_encoding", file=folder, encoding=found.encoding) from None
    details: dict[str, Any] = {"format": "texts", "encoding": found.encoding}
    if found.examples:
        details["guessed"] = list(found.examples)

    def take(path: Path) -> str:
        return _text(path, found.encoding, told=options.encoding is not None)

    def table(place: Path, name: str, split: Split | None) -> Table:
        return class_table(place, "text", SUFFIXES, take, name=name, split=split, details=details)

    divided = parts(folder, SUFFIXES)
    if not divided:
        return [table(folder, folder.name, None)]
    return [table(part, f"{folder.name}/{part.name}", split) for part, split in divided.items()]


def _text(path: Path, encoding: str, *, told: bool) -> str:
    """What a file says. Raises `InvalidData` when it is empty, too large or no text."""
    if path.suffix.lower() not in SUFFIXES:
        raise InvalidData("formats.not_a_text_file", file=path.name)
    data = _read(path)
    if not data.strip():
        raise InvalidData("formats.empty_text_file", file=path.name)
    if not told and (data.startswith(_MARKS) or b"\0" in data):
        encoding = find_encoding(path).encoding
    elif not told and encoding != "utf-8" and _utf8(data) >= _SURE:
        encoding = "utf-8"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise InvalidData(
            "formats.undecodable_file", file=path.name, encoding=encoding, place=error.start
        ) from None
    return text.removeprefix("\ufeff").strip()


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_CELL:
            raise InvalidData("formats.text_too_large", file=path.name, limit=MAX_CELL)
        return path.read_bytes()
    except OSError as error:
        raise InvalidData("data.broken", file=path.name, reason=error.strerror) from None


def _utf8(data: bytes) -> int:
    """How many characters beyond ASCII there are where everything is UTF-8, else -1."""
    try:
        return sum(character > "\x7f" for character in data.decode("utf-8"))
    except UnicodeDecodeError:
        return -1


def _encoding(folder: Path) -> Found:
    """UTF-8, unless more of the files with anything beyond ASCII are not; then those decide,
    together, as each alone is too short to tell."""
    sure, seen, sample = 0, 0, bytearray()
    others = 0
    for path in islice(walk(folder), _FILES):
        if path.suffix.lower() not in SUFFIXES or seen > _BYTES:
            continue
        try:
            data = path.read_bytes()[:_SAMPLE]
        except OSError:
            continue
        seen += len(data)
        if data.isascii() or b"\0" in data or data.startswith(_MARKS):
            continue
        if _utf8(data) >= 0:
            sure += 1
        else:
            others += 1
            if len(sample) < _SAMPLE:
                sample += data + b"\n"
    found = encoding_in(bytes(sample)) if others > sure else None
    return found or Found("utf-8")
