"""How a delimited file is written: delimiter, quoting, header. Found by trying, not by guessing.

Every candidate parses the same sample; the one under which rows have equal width wins.
"""

from __future__ import annotations

import csv
import io
import re
import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

__all__ = [
    "NUMBER",
    "Dialect",
    "column_names",
    "declared_delimiter",
    "has_header",
    "parse",
    "sniff",
]

_DELIMITERS = (",", "\t", ";", "|")
NUMBER = re.compile(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?%?")
"""What a cell that holds nothing but a number looks like."""
_PARSED_ROWS = 300
_NEVER = "\x1f"
"""A delimiter that stands in no text."""
_ROWS_IN_QUOTES = re.compile(r'("[^\r\n]*"[\r\n]+){2}')
_DECLARED = re.compile(r'"?sep=(\t|[^\w\s"])"?\s*', re.I)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How cells are divided. `quote` is None where quotes are ordinary characters; with `escape` a
    backslash stands before quotes inside, else they are doubled. `twice` is a file whose rows each
    stand in one quoted cell: it was opened as a single column and saved."""

    delimiter: str = ","
    quote: str | None = '"'
    escape: bool = False
    twice: bool = False

    def reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """A `csv.reader` of `lines`. Strict: sloppy quoting is told, not swallowed."""
        if self.twice:
            lines = map(_alone, csv.reader(lines, delimiter=_NEVER, strict=True))
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quotechar=self.quote,
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            doublequote=not self.escape,
            escapechar="\\" if self.escape else None,
            strict=True,
        )


def _alone(cells: Sequence[str]) -> str:
    return cells[0] if cells else ""


def sniff(
    sample: str,
    *,
    whole: bool,
    known: Collection[str] = (),
    delimiter: str | None = None,
    quote: str | None = None,
) -> tuple[Dialect, list[list[str]]]:
    """The dialect of `sample` and the sample's rows under it.

    `whole` says that the sample is the whole file; otherwise its last row is cut and left out.
    `known` are names that headers often have. `delimiter` and `quote` (``""`` for none) are kept
    where they are given.
    """
    best: tuple[float, Dialect, list[list[str]]] | None = None
    for candidate in _candidates(sample, delimiter, quote):
        rows, errors = parse(sample, candidate, whole)
        score = _score(rows, errors, known)
        if best is None or score > best[0] + 1e-9:
            best = (score, candidate, rows)
    assert best is not None
    return best[1], best[2]


def _candidates(sample: str, delimiter: str | None, quote: str | None) -> list[Dialect]:
    """The more usual first: a later one must be better to be chosen."""
    found = [d for d in _DELIMITERS if d in sample] or [","]
    candidates = []
    for mark in [delimiter] if delimiter else found:
        if quote is not None:
            candidates.append(Dialect(mark, quote or None))
            if quote and "\\" + quote in sample:
                candidates.append(Dialect(mark, quote, escape=True))
            continue
        candidates.append(Dialect(mark))
        if '"' not in sample:
            if re.search(rf"(?m)(^|{re.escape(mark)})'[^'\n]*'(\r|$|{re.escape(mark)})", sample):
                candidates.append(Dialect(mark, "'"))
            continue
        if '\\"' in sample:
            pair = [Dialect(mark), Dialect(mark, escape=True)]
            candidates[-1:] = sorted(pair, key=lambda one: _unlike(sample, one))
        if _ROWS_IN_QUOTES.match(sample):
            candidates.append(Dialect(mark, twice=True))
        candidates.append(Dialect(mark, None))
    return candidates


def _unlike(sample: str, dialect: Dialect) -> int:
    """How many cells are written as no program writes them in this dialect: with quotes that stand
    for themselves in the middle of a cell."""
    mark = re.escape(dialect.delimiter)
    inside, plain = r'(?:[^"\\]|\\.)*', rf'(?:\\.|[^{mark}"\r\n\\])*'
    if not dialect.escape:
        inside, plain = '(?:[^"]|"")*', rf'[^{mark}"\r\n]*'
    cell = re.compile(rf'(?:"{inside}"|{plain})(?:{mark}|[\r\n]+|$)', re.S)
    end = re.compile(rf"(?:{mark}|[\r\n]+|$)")
    count = place = 0
    while place < len(sample):
        found = cell.match(sample, place)
        if found is None:
            count += 1
            found = end.search(sample, place)
        place = found.end() if found else len(sample)
    return count


def parse(sample: str, dialect: Dialect, whole: bool) -> tuple[list[list[str]], int]:
    """The first rows of `sample`, and how many could not be read."""
    reader = dialect.reader(io.StringIO(sample, newline=""))
    rows: list[list[str]] = []
    errors = 0
    while len(rows) + errors < _PARSED_ROWS:
        try:
            cells = next(reader)
        except StopIteration:
            if not whole and len(rows) > 1:
                rows.pop()
            break
        except csv.Error:
            errors += 1
            continue
        if cells:
            rows.append(cells)
    return rows, errors


def _score(rows: list[list[str]], errors: int, known: Collection[str]) -> float:
    """1 and a little for rows of equal width above one; less for uneven ones and for errors."""
    if not rows:
        return -1.0
    widths = Counter(map(len, rows))
    width, often = max(widths.items(), key=lambda pair: (pair[1], pair[0]))
    header = len(rows[0])
    named = not {cell.strip().casefold() for cell in rows[0]}.isdisjoint(known)
    if named and header > 1:
        width, often = header, widths[header] + len(rows)  # a header that speaks for itself
    if named and len(widths) == header == 1 and len(rows) > 1:
        return 1.0 - errors / (len(rows) + errors)  # one column, whatever stands in its quotes
    if width == 1:
        return 0.3 - errors / (len(rows) + errors)
    even = often / len(rows)
    return even + min(width, 50) * 1e-4 - errors / (len(rows) + errors)


def has_header(rows: Sequence[Sequence[str]], known: Collection[str] = ()) -> bool:
    """Whether the first of `rows` names the columns.

    It does when a cell is a usual name, and never when a cell is a number. Otherwise the columns
    speak: numbers, repeated values or much longer texts below a cell that is none of these.
    """
    if not rows:
        return False
    first, rest = [cell.strip() for cell in rows[0]], rows[1:]
    filled = [cell for cell in first if cell]
    if not filled or any(NUMBER.fullmatch(cell) for cell in filled):
        return False
    if any(cell.casefold() in known for cell in filled):
        return True
    if any(len(cell) > 60 for cell in filled) or len(set(filled)) < len(filled):
        return False
    if not rest:
        return len(filled) > 1
    return sum(_evidence(cell, _column(rest, i)) for i, cell in enumerate(first)) > 0


def declared_delimiter(line: str) -> str | None:
    """The delimiter that a first line ``sep=;`` names, as Excel takes it."""
    found = _DECLARED.fullmatch(line.lstrip("\ufeff"))
    return found[1] if found else None


def _column(rows: Sequence[Sequence[str]], place: int) -> list[str]:
    return [row[place].strip() for row in rows if place < len(row) and row[place].strip()]


def _evidence(cell: str, values: list[str]) -> float:
    """Above 0 when `cell` looks like the name of `values`, below when it looks like one of them."""
    if not cell or not values:
        return 0.0
    if all(NUMBER.fullmatch(value) for value in values):
        return 1.0
    distinct = set(values)
    if cell in distinct:
        return -1.0
    if len(values) >= 5 and len(distinct) * 2 <= len(values):
        return 1.0
    if len(cell) * 3 <= statistics.median(map(len, values)):
        return 0.5
    return 0.0


def column_names(first: Sequence[str] | None, width: int) -> list[str]:
    """Names of `width` columns: the header's cells, numbered where it is silent or repeats itself,
    ``column1``, ``column2``, … without a header."""
    names: list[str] = []
    for place in range(width):
        name = first[place].strip() if first and place < len(first) else ""
        name = name or f"column{place + 1}"
        unique, copy = name, 1
        while unique in names:
            copy += 1
            unique = f"{name}_{copy}"
        names.append(unique)
    return names
