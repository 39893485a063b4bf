"""Files divided by the names of their folders, ``label=praise/part-0.parquet``, as Hive, Spark,
pyarrow and pandas write them: what a folder's name says is a column."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from feilun.data.sources import open_tables as open_source
from feilun.data.sources._partitions import Place, files_below, place_of
from feilun.data.sources.base import SPLITS, BadRow, Options, Source, Table
from feilun.errors import InvalidData
from feilun.types import Row, Split

__all__ = ["open_tables"]

_SPLIT_KEYS = frozenset({"split", "part", "subset"})


def open_tables(location: Path | str, options: Options, known: Collection[str] = ()) -> list[Table]:
    """One table of all files; one a part where a key ``split`` names parts. Files that are named
    like notes to the program (``_SUCCESS``) hold no rows."""
    folder = Path(location)
    left: dict[str, int] = {}
    files = files_below(folder, left)
    if not files:
        raise InvalidData("data.unknown_folder", folder=folder)
    places = {file: place_of(folder, file) for file in files}
    key = next((k for k in places[files[0]] if k.casefold() in _SPLIT_KEYS), None)
    said = {
        file: SPLITS.get(str(place.get(key or "")).casefold()) for file, place in places.items()
    }
    if not all(said.values()):
        return [_table(folder, folder.name, None, places, options, known, left)]
    tables: list[Table] = []
    for split in dict.fromkeys(said.values()):
        own = {file: place for file, place in places.items() if said[file] == split}
        name = f"{folder.name}/{split}"
        tables.append(_table(folder, name, split, own, options, known, {} if tables else left))
    return tables


def _table(
    folder: Path,
    name: str,
    split: Split | None,
    places: dict[Path, Place],
    options: Options,
    known: Collection[str],
    left: dict[str, int],
) -> Table:
    first = next(iter(places))

    def opened(file: Path) -> list[Table]:
        return open_source(Source(file, options), known)

    tables = opened(first)
    columns = dict.fromkeys(column for table in tables for column in table.columns)
    details = {"format": tables[0].details.get("format", "")}
    for table in tables:
        table.close()
    for place in places.values():
        columns |= dict.fromkeys(place)
    return Table(
        name,
        columns,
        _rows(folder, places, opened),
        folder=folder,
        split=split,
        details={**details, "files": len(places), "left_out": left},
    )


def _rows(
    folder: Path, places: dict[Path, Place], opened: Callable[[Path], list[Table]]
) -> Iterator[Row | BadRow]:
    number = 0
    for file, place in places.items():
        for table in opened(file):
            with closing(table):
                for row in table.rows():
                    number += 1
                    values = {**row.values, **place}
                    if isinstance(row, BadRow):
                        values["file"] = file.relative_to(folder).as_posix()
                        yield BadRow(number, row.code, row.params, values)
                    else:
                        yield replace(row, number=number, values=values)
