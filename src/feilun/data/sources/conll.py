"""Tagged words in lines, as CoNLL's shared tasks write them: a word and its tag (BIO, BIOES, BMES),
other columns between them or none, and an empty line after each sentence."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from feilun.data.sources._tagged import SPANS, TEXT, tagged_row
from feilun.data.sources._text import TextFile, open_found
from feilun.data.sources.base import BadRow, Options, Table
from feilun.modalities.text.sequence import is_tag
from feilun.types import Row

__all__ = ["SUFFIXES", "is_tagged", "open_tables"]

SUFFIXES = frozenset({".conll", ".bio", ".bioes", ".bmes", ".iob", ".iob2", ".ner"})
_DOCUMENT = "-DOCSTART-"
_LOOK = 200


def is_tagged(head: str, suffix: str) -> bool:
    """Whether a file that begins with `head` holds a word and its tag in every line."""
    lines = head.splitlines()[:-1] if len(head) > 10_000 else head.splitlines()
    fields = [_fields(line) for line in lines[:_LOOK] if not _is_apart(line)]
    if not fields or not all(len(one) > 1 and is_tag(one[-1]) for one in fields):
        return False
    tags = {one[-1] for one in fields}
    return suffix in SUFFIXES or ("O" in tags and len(tags) > 1)


def open_tables(location: Path | str, options: Options, known: Collection[str] = ()) -> list[Table]:
    """The file's one table, a row a sentence; it is numbered as its first line is."""
    path = Path(location)
    stream, told = open_found(path, options.encoding)
    return [
        Table(
            path.name,
            (TEXT, SPANS),
            _rows(stream),
            folder=path.parent,
            details={"format": "CoNLL", **told},
            total=stream.size,
            unit="bytes",
            position=stream.position,
            close=stream.close,
        )
    ]


def _rows(stream: TextFile) -> Iterator[Row | BadRow]:
    begin, words, tags = 0, [], []
    for number, line in enumerate(stream.lines(), 1):
        if not _is_apart(line):
            fields = _fields(line)
            begin = begin or number
            words.append(fields[0])
            tags.append(fields[-1] if len(fields) > 1 else "")
        elif words and not line.startswith("# "):
            yield tagged_row(begin, words, tags, {})
            begin, words, tags = 0, [], []
    if words:
        yield tagged_row(begin, words, tags, {})


def _is_apart(line: str) -> bool:
    """Whether a line holds no word: it is empty, begins a document, or is a comment."""
    if line.startswith("# "):
        return not is_tag(_fields(line)[-1])
    return not line.strip() or line.startswith(_DOCUMENT)


def _fields(line: str) -> list[str]:
    line = line.strip("\r\n")
    return line.split("\t") if "\t" in line else line.split()
