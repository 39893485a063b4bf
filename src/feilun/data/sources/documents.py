"""Documents: texts, Markdown, pages, PDF, Word files and tables, as sections under headings.

A table has a row for each section: ``text``, ``document`` (its file, in a folder the path below
it), ``revision`` (eight digits of the file's hash), ``heading`` (``Returns > Refunds``) and
``page``. A file that cannot be read, and a page without text, is a bad row that says why.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

from feilun.data.litter import walk
from feilun.data.sources._blocks import Unread, page_blocks, pdf_blocks, word_blocks
from feilun.data.sources._sections import Block, record, sections, text_blocks
from feilun.data.sources._text import MAX_CELL, find_encoding
from feilun.data.sources.base import BadRow, Options, Table
from feilun.errors import FeilunError, InvalidData
from feilun.types import Row

__all__ = ["COLUMNS", "as_document", "is_documents", "open_tables"]

COLUMNS = ("text", "document", "revision", "heading", "page")

_PLAIN = {".txt": False, ".text": False, ".rst": False, ".md": True, ".markdown": True}
_OTHERS: dict[str, Callable[[Path, str | None], Iterator[Block | Unread]]] = {
    ".html": page_blocks,
    ".htm": page_blocks,
    ".xhtml": page_blocks,
    ".pdf": pdf_blocks,
    ".docx": word_blocks,
}
_TABLES = frozenset({".csv", ".tsv", ".xlsx", ".xls", ".ods"})


def is_documents(location: Path | str) -> bool:
    """Whether a file or a folder is read as documents where a task reads such: a folder with a file
    of theirs, and a file that is no table of questions by its kind."""
    path = Path(location)
    if path.is_dir():
        known = {*_PLAIN, *_OTHERS}
        return any(one.suffix.lower() in known for one in walk(path))
    return path.suffix.lower() in _PLAIN or path.suffix.lower() in _OTHERS


def open_tables(location: Path | str, options: Options, known: Collection[str] = ()) -> list[Table]:
    """One table of a file or of all files in a folder. Files of other kinds are counted as left
    out. Raises `InvalidData` for a folder without a document."""
    path = Path(location)
    if not path.exists():
        raise InvalidData("data.no_file", file=path)
    files = list(walk(path)) if path.is_dir() else [path]
    read = [one for one in files if one.suffix.lower() in {*_PLAIN, *_OTHERS, *_TABLES}]
    if not read:
        raise InvalidData("documents.none", folder=path, options=sorted([*_PLAIN, *_OTHERS]))
    folder = path if path.is_dir() else path.parent
    details: dict[str, Any] = {"format": "documents", "documents": len(read)}
    if others := len(files) - len(read):
        details["left_out"] = {"documents.other_files": others}
    done = [0]

    def rows() -> Iterator[Row | BadRow]:
        number = 0
        for file in read:
            done[0] += 1
            for row in _rows(file, file.relative_to(folder).as_posix(), options, known):
                number += 1
                yield _numbered(row, number)

    return [
        Table(
            path.name,
            COLUMNS,
            rows(),
            folder=folder,
            details=details,
            total=len(read),
            unit="files",
            position=lambda: float(done[0]),
        )
    ]


def as_document(table: Table, location: Path | str) -> Table:
    """A table that asks nothing as a document with a section for each row."""
    path = Path(str(location))
    revision = _revision(path) if path.is_file() else ""

    def rows() -> Iterator[Row | BadRow]:
        for row in table.rows():
            if isinstance(row, BadRow):
                yield row
                continue
            text = record(list(row.values), list(row.values.values()))
            yield Row(row.number, _values(text, table.name, revision))

    return table.over(COLUMNS, rows(), details={"format": "documents"})


def _rows(
    file: Path, name: str, options: Options, known: Collection[str]
) -> Iterator[Row | BadRow]:
    """The sections of one file, and what of it cannot be read."""
    suffix = file.suffix.lower()
    found = 0
    try:
        if file.stat().st_size > MAX_CELL:
            raise InvalidData("formats.text_too_large", file=name, limit=MAX_CELL)
        revision = _revision(file)
        if suffix in _TABLES:
            yield from _table(file, name, options, known)
            return
        unread: list[Unread] = []

        def blocks() -> Iterator[Block]:
            for one in _blocks(file, suffix, options.encoding):
                if isinstance(one, Unread):
                    unread.append(one)
                else:
                    yield one

        for section in sections(blocks()):
            found += 1
            yield Row(0, _values(section.text, name, revision, section.heading, section.page))
        for missing in unread:
            params = {"file": name, "page": missing.page}
            yield BadRow(0, "documents.no_text", params, {"document": name, "page": missing.page})
        if not found and not unread:
            raise InvalidData("formats.empty_text_file", file=name)
    except FeilunError as error:
        yield BadRow(0, error.code, error.params, {"document": name})
    except OSError as error:
        params = {"file": name, "reason": error.strerror}
        yield BadRow(0, "data.broken", params, {"document": name})


def _blocks(file: Path, suffix: str, encoding: str | None) -> Iterator[Block | Unread]:
    if suffix in _OTHERS:
        return _OTHERS[suffix](file, encoding)
    text = file.read_bytes().decode(encoding or find_encoding(file).encoding, "replace")
    return text_blocks(text.removeprefix("\ufeff"), marked=_PLAIN[suffix])


def _table(
    file: Path, name: str, options: Options, known: Collection[str]
) -> Iterator[Row | BadRow]:
    from feilun.data.sources import Source, as_written

    for table in as_written(Source(file, Options(encoding=options.encoding, header=True)), known):
        for row in as_document(table, file).rows():
            if isinstance(row, BadRow):
                yield row
            else:
                yield Row(row.number, {**row.values, "document": name})


def _values(
    text: str, document: str, revision: str, heading: str = "", page: int | None = None
) -> dict[str, Any]:
    return dict(zip(COLUMNS, (text, document, revision, heading, page), strict=True))


def _numbered(row: Row | BadRow, number: int) -> Row | BadRow:
    if isinstance(row, BadRow):
        return BadRow(number, row.code, row.params, row.values)
    return Row(number, row.values)


def _revision(file: Path) -> str:
    return blake2b(file.read_bytes(), digest_size=4).hexdigest()
