"""CSV, TSV and their kin: cells between delimiters, a row a line unless quotes say otherwise."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Iterator
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any

from feilun.data.sources._around import Ahead, Below, joined_header, titles_above, without_totals
from feilun.data.sources._dialect import (
    Dialect,
    column_names,
    declared_delimiter,
    has_header,
    parse,
    sniff,
)
from feilun.data.sources._encodings import Found
from feilun.data.sources._text import DAMAGE, MAX_CELL, TextFile, damaged, find_encoding, open_text
from feilun.data.sources.base import BadRow, Options, Table
from feilun.errors import InvalidData
from feilun.types import Row

__all__ = ["open_tables"]

_SAMPLE = 1 << 18
_ABOVE = 12
_LOOKED = 300


def open_tables(location: Path | str, options: Options, known: Collection[str] = ()) -> list[Table]:
    """The file's one table. Rows are numbered from 1 below the header; blank lines do not count."""
    path = Path(location)
    found = Found(options.encoding) if options.encoding else find_encoding(path)
    stream, encoding = open_text(path, found.encoding)
    sample = stream.text.read(_SAMPLE)
    stream.close()
    if not sample.strip():
        raise InvalidData("data.empty_file", file=path)
    whole, lines = len(sample) < _SAMPLE, StringIO(sample, newline="").readlines()
    said = declared_delimiter(lines[0])
    skip = 1 if said else 0
    if options.header_row is not None:
        skip = options.header_row - 1
        if skip >= len(lines):
            raise InvalidData(
                "formats.no_header_row", file=path, given=options.header_row, lines=len(lines)
            )
    if options.delimiter is not None and len(options.delimiter) != 1:
        raise InvalidData("data.bad_delimiter", delimiter=options.delimiter)
    told: dict[str, Any] = {
        "known": known,
        "delimiter": options.delimiter or said,
        "quote": options.quote,
    }
    dialect, rows = sniff("".join(lines[skip:]), whole=whole, **told)
    if options.header_row is None and options.header is None:
        above = _lines_above(lines[skip:], dialect, rows, known)
        if above:
            skip += above
            dialect, rows = sniff("".join(lines[skip:]), whole=whole, **told)
    header = options.header
    if header is None:
        header = options.header_row is not None or has_header(rows, known)
    names, heads = _names(rows, header), int(header)
    if header and options.header_row is None and (joined := joined_header(rows, known)):
        names, heads = column_names(joined, len(joined)), 2
    skipped = [line.strip()[:60] for line in lines[1 if said else 0 : skip] if line.strip()]
    if heads == 2:
        skipped.append(dialect.delimiter.join(rows[0])[:60])
    below = Below(names, known)
    stream, _ = open_text(path, encoding)
    return [
        Table(
            path.name,
            names,
            without_totals(_rows(path, stream, dialect, names, heads, skip, below)),
            folder=path.parent,
            details={
                "format": "TSV" if dialect.delimiter == "\t" else "CSV",
                "encoding": encoding,
                "delimiter": dialect.delimiter,
                "quote": dialect.quote or "",
                "header": header,
            }
            | ({"skipped": skipped} if skipped else {})
            | ({"guessed": list(found.examples)} if found.examples else {}),
            total=stream.size,
            unit="bytes",
            position=stream.position,
            close=stream.close,
        )
    ]


def _lines_above(
    lines: list[str], dialect: Dialect, rows: list[list[str]], known: Collection[str]
) -> int:
    """How many lines stand above the header: titles and comments."""
    widths = Counter(map(len, rows))
    width = max(widths, key=lambda w: (widths[w], w), default=1)
    if width < 2 or widths[width] * 2 < len(rows):
        return 0
    first = []
    for line in lines[:_ABOVE]:
        try:
            cells = next(dialect.reader([line]), [])
        except csv.Error:
            return 0
        comment = line.startswith("#") and len(cells) != width
        first.append([] if comment else cells)

    def below(count: int) -> list[list[str]]:
        if all(not line.strip() for line in lines[:count]):
            return []
        return parse("".join(lines[count : count + _LOOKED]), dialect, True)[0]

    return titles_above(first, width, below, known)


def _names(rows: list[list[str]], header: bool) -> list[str]:
    """The columns' names. Where rows have one cell more than the header, as R writes them, the
    first cell is the row's name."""
    first = rows[0] if rows else [""]
    widths = Counter(map(len, rows[1:] if header and len(rows) > 1 else rows))
    width = max(widths, key=lambda w: (widths[w], w), default=1)
    if not header:
        return column_names(None, width)
    longer = [row for row in rows[1:] if len(row) == len(first) + 1]
    named = len({row[0] for row in longer}) == len(longer) and any(row[-1] for row in longer)
    if named and len(longer) > 0.9 * len(rows[1:]):
        return column_names(["row_name", *first], width)
    return column_names(first, len(first))


def _rows(
    file: Path,
    stream: TextFile,
    dialect: Dialect,
    names: list[str],
    heads: int,
    skip: int,
    below: Below,
) -> Iterator[Row | BadRow]:
    csv.field_size_limit(MAX_CELL)  # of the whole process; the default refuses honest long texts
    undamaged = damaged()
    reader = Ahead(dialect.reader(islice(stream.lines(), skip, None)))
    width, number = len(names), 0
    while True:
        try:
            for cells in reader:
                if not cells:
                    below.blank()
                    continue
                if heads:
                    heads -= 1
                    continue
                number += 1
                if wrong := below.check(cells, reader.peek):
                    yield BadRow(number, *wrong, dict(zip(names, cells, strict=False)))
                    continue
                if len(cells) != width:
                    if len(cells) < width or any(cells[width:]):
                        yield _ragged(number, cells, names)
                        continue
                    del cells[width:]
                values = dict(zip(names, cells, strict=True))
                if undamaged != damaged() and any(DAMAGE in cell for cell in cells):
                    yield BadRow(number, "data.bad_bytes", {"encoding": stream.encoding}, values)
                else:
                    yield Row(number, values)
        except csv.Error as error:
            heads = max(0, heads - 1)
            number += 1
            yield BadRow(number, "data.bad_quoting", {"reason": str(error)}, {})
            continue
        except OSError as error:
            raise InvalidData("data.broken", file=file, reason=error.strerror) from None
        return


def _ragged(number: int, cells: list[str], names: list[str]) -> BadRow:
    extra = {f"column{i + 1}": cell for i, cell in enumerate(cells) if i >= len(names)}
    return BadRow(
        number,
        "data.ragged",
        {"given": len(cells), "expected": len(names)},
        dict(zip(names, cells, strict=False)) | extra,
    )
