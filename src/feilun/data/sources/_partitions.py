"""Folders whose names say the value of a column: ``label=praise``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from feilun.data.litter import walk
from feilun.data.sources._folders import class_folders
from feilun.data.sources._repository import SUFFIXES
from feilun.data.sources.base import BadRow, Table
from feilun.types import Row

__all__ = ["Place", "files_below", "is_hive", "place_of", "placed", "versioned_table"]

_KEY = re.compile(r"([^=]+)=(.*)", re.DOTALL)
_NONE = "__HIVE_DEFAULT_PARTITION__"

Place = dict[str, str | None]


def is_hive(folder: Path, depth: int = 3) -> bool:
    """Whether sub-folders, a few folders deep, are named ``key=value`` and hold files of rows."""
    for inner in class_folders(folder):
        if _KEY.fullmatch(inner.name):
            if files_below(inner, {}):
                return True
        elif depth > 1 and is_hive(inner, depth - 1):
            return True
    return False


def versioned_table(folder: Path) -> str:
    """The name of the format where a log says which files of the folder still hold rows; empty
    for other folders."""
    if (folder / "_delta_log").is_dir():
        return "Delta Lake"
    if (folder / ".hoodie").is_dir():
        return "Hudi"
    return "Iceberg" if next((folder / "metadata").glob("*.metadata.json"), None) else ""


def files_below(folder: Path, left: dict[str, int]) -> list[Path]:
    """Files of rows; those named like notes to a program (``_SUCCESS``) are none."""
    return [
        path
        for path in walk(folder, left)
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("_")
    ]


def place_of(folder: Path, file: Path) -> Place:
    """What the folders above a file say."""
    found: Place = {}
    for part in file.relative_to(folder).parts[:-1]:
        key = _KEY.fullmatch(part)
        if key:
            value = unquote(key[2])
            found[unquote(key[1])] = None if value == _NONE else value
    return found


def placed(table: Table, location: object) -> Table:
    """The table of a file that was named itself, with what the folders above it say."""
    path = Path(str(location))
    if path.suffix.lower() not in SUFFIXES:
        return table
    above = path.absolute()
    while _KEY.fullmatch(above.parent.name):
        above = above.parent
    place = place_of(above.parent, path.absolute())
    if not place:
        return table
    columns = dict.fromkeys((*table.columns, *place))
    return table.over(columns, _with(table.rows(), place))


def _with(rows: Iterator[Row | BadRow], place: Place) -> Iterator[Row | BadRow]:
    for row in rows:
        yield replace(row, values={**row.values, **place})
