"""What every kind of source gives: a `Table`, read once from its beginning to its end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import chain, islice
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from feilun import messages
from feilun.errors import InvalidData, UsageError
from feilun.store.sql_since import Since
from feilun.types import ColumnSample, Example, Row, Scalar, Split

__all__ = [
    "AS_FOUND",
    "SPLITS",
    "AnySource",
    "BadRow",
    "ExampleSource",
    "Held",
    "LeftOut",
    "Options",
    "ReadOptions",
    "Source",
    "Table",
    "hold_out",
]

SPLITS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
"""What people call the parts of a divided dataset."""

_SAMPLE_ROWS = 1000
_SAMPLE_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What a user says of how files are written; None means: found out from the content.

    `delimiter` is one character or ``tab``. `header_row` is the line of a file, or the row of a
    sheet, counted from 1, in which the columns' names stand. `sheet` is a sheet's name, or its
    number counted from 1. `day_first` tells 01/02/2026, which is two different days.
    """

    encoding: str | None = None
    delimiter: str | None = None
    header_row: int | None = None
    sheet: str | None = None
    day_first: bool | None = None

    def __post_init__(self) -> None:
        """Raises `UsageError` for what no file can be."""
        if self.header_row is not None and self.header_row < 1:
            raise UsageError("formats.bad_header_row", given=self.header_row)
        if self.delimiter in ("tab", "\\t"):
            object.__setattr__(self, "delimiter", "\t")

    def options(self, query: str | None = None, since: Since | None = None) -> Options:
        """These together with what is asked of a database."""
        return Options(query=query, since=since, **asdict(self))


AS_FOUND = ReadOptions()
"""Everything is found out from the content."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a source is read; None means: found out from the content.

    `format` names a file of this package (``delimited``, ``excel``, …). `encoding`, `delimiter`,
    `quote` (one character, ``""`` for none), `header` and `header_row` (the line of the columns'
    names, counted from 1; lines above it are skipped) are for CSV, TSV and Excel, `sheet` for
    Excel (a name, or a number counted from 1), `query` for databases and `since`, the mark after
    which their rows are new. `day_first` is for dates such as 01/02/2026.
    """

    format: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    quote: str | None = None
    header: bool | None = None
    sheet: str | None = None
    query: str | None = None
    since: Since | None = None
    header_row: int | None = None
    day_first: bool | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """Rows that a Python program has at hand: a list of dictionaries or tuples, whatever gives an
    Arrow stream, a dataset of Hugging Face. `name` stands in the rows' `source`."""

    rows: Any
    name: str = "rows"

    @classmethod
    def place(cls, given: Any) -> str | Held:
        """Where the rows of `given` are: the text of a path or URL, and anything else as held."""
        if isinstance(given, str | PathLike):
            return fspath(given)
        name = type(given).__name__
        return cls(given, "rows" if name in ("list", "tuple", "generator", "dict") else name)

    @staticmethod
    def is_table(value: Any) -> bool:
        """Whether `value` itself names its columns: an Arrow stream or a dataset."""
        return hasattr(value, "__arrow_c_stream__") or hasattr(value, "with_format")

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Source:
    """Rows that lie somewhere: `location` is a file, a folder, the URL of a database, or what a
    program holds.

    `columns` maps roles to columns (``{"text": "review", "label": "score"}``). `split` sends all
    rows there; None leaves it to the build, and to the source's own division where it has one.
    `drop_last` leaves out that many rows at the end; `keep_last` reads only those.
    """

    location: str | Path | Held
    options: Options = Options()
    columns: Mapping[str, str] = field(default_factory=dict)
    split: Split | None = None
    drop_last: int = 0
    keep_last: int = 0


@dataclass(frozen=True, slots=True)
class ExampleSource:
    """Rows that the caller has at hand, such as feedback: `name` stands in the rows' `source`.

    With `corrects` a label given here replaces the label that the same content had before, and the
    rows train: who is corrected was wrong, so such rows must not judge. `split` ``test`` says that
    these were drawn at random.
    """

    name: str
    examples: Iterable[Example]
    corrects: bool = True
    split: Split | None = None


AnySource = Source | ExampleSource


def hold_out(source: Source, last: int) -> tuple[Source, Source]:
    """`source` without its last rows, and those last rows alone: tomorrow's traffic."""
    return replace(source, drop_last=last), replace(source, keep_last=last)


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used: the sentence `code` with `params` says why."""

    number: int
    code: str
    params: Mapping[str, Any]
    values: Mapping[str, Any]

    def reason(self, lang: messages.Language | None = None) -> str:
        """Why, in words."""
        return messages.t(self.code, lang, **self.params)


@dataclass(frozen=True, slots=True)
class LeftOut(Row):
    """A sound row that is no example: the sentence `code` says why, for all such rows of a table
    together. Where no label is asked for it is a row like any other."""

    code: str = ""


class Table:
    """Rows with named columns, read once. Memory does not grow with the source.

    `name` is what rows keep as their `source`. `columns` are the names of the columns in their
    order. `folder` is where relative paths of media begin. `split` is the part that the source
    itself says it is. `details` tells what was found out: encoding, delimiter, header, sheet.
    `total` is the size in `unit` when it is known, else 0; `position` says how much was read.
    """

    def __init__(
        self,
        name: str,
        columns: Iterable[str],
        rows: Iterator[Row | BadRow],
        *,
        folder: Path | None = None,
        split: Split | None = None,
        details: Mapping[str, Any] | None = None,
        total: float = 0,
        unit: str = "rows",
        position: Callable[[], float] | None = None,
        close: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self.columns = tuple(columns)
        self.folder = folder
        self.split = split
        self.details = dict(details or {})
        self.total = total
        self.unit = unit
        self.position = position or (lambda: 0.0)
        self._close = close
        self._rows = rows
        self._begun = False
        self.head: tuple[Row | BadRow, ...] = ()

    def samples(self) -> list[ColumnSample]:
        """Each column with the values of the first rows: up to 1,000, fewer where they are large.
        Those rows still come from `rows`; good and bad ones stand in `head`."""
        seen, held = [], 0
        for row in islice(self._rows, _SAMPLE_ROWS):
            seen.append(row)
            held += sum(len(v) for v in row.values.values() if isinstance(v, str | bytes))
            if held > _SAMPLE_BYTES:
                break
        self._rows = chain(seen, self._rows)
        self.head = tuple(seen)
        good = [row for row in seen if isinstance(row, Row)]
        return [ColumnSample(c, [row.values.get(c) for row in good]) for c in self.columns]

    def rows(self) -> Iterator[Row | BadRow]:
        """All rows, good and bad, in order. Raises `InvalidData` where the source itself breaks,
        and `RuntimeError` the second time: open the source again instead."""
        if self._begun:
            raise RuntimeError(f"{self.name} has been read already")
        self._begun = True
        try:
            yield from self._rows
        finally:
            self.close()

    def close(self) -> None:
        """Lets go of the file; needed only when `rows` was not read to its end."""
        if self._close is not None:
            self._close()
            self._close = None

    def over(
        self,
        columns: Iterable[str],
        rows: Iterator[Row | BadRow],
        *,
        name: str | None = None,
        split: Split | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> Table:
        """The same file with other `columns`, whose `rows` were made of this table's `rows`."""
        return Table(
            name or self.name,
            columns,
            rows,
            folder=self.folder,
            split=split or self.split,
            details={**self.details, **(details or {})},
            total=self.total,
            unit=self.unit,
            position=self.position,
            close=self.close,
        )

    def cut(self, drop_last: int = 0, keep_last: int = 0) -> Table:
        """This table without its last rows, or with nothing but them."""
        if drop_last:
            self._rows = _without_last(self._rows, drop_last)
        if keep_last:
            self._rows = iter_last(self._rows, keep_last)
        return self


def _without_last(rows: Iterator[Row | BadRow], count: int) -> Iterator[Row | BadRow]:
    held: deque[Row | BadRow] = deque()
    for row in rows:
        held.append(row)
        if len(held) > count:
            yield held.popleft()


def iter_last(rows: Iterator[Row | BadRow], count: int) -> Iterator[Row | BadRow]:
    """The last `count` rows; reads everything when the first of them is asked for."""
    yield from deque(rows, maxlen=count)


def first_values(rows: Iterable[Mapping[str, Scalar]]) -> tuple[str, ...]:
    """The names that some mappings use, in the order in which they first appear."""
    return tuple(dict.fromkeys(name for row in rows for name in row))


def broken(file: Path | str, reason: object) -> InvalidData:
    """The error for a source that stops being readable: names the file and says why."""
    return InvalidData("data.broken", file=file, reason=reason)
