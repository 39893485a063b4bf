"""Folders of files, one an example: a sub-folder a class, first folders of parts above them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from feilun.data.litter import count_litter, inside, is_litter, walk
from feilun.data.sources.base import SPLITS, BadRow, Table
from feilun.errors import InvalidData
from feilun.types import Row, Split

__all__ = ["class_folders", "class_table", "kinds", "parts"]

_LOOKED_AT = 5000


def class_folders(folder: Path) -> list[Path]:
    """The sub-folders by name, without what systems leave behind."""
    try:
        with os.scandir(folder) as entries:  # asks the system nothing more about each file
            found = [folder / entry.name for entry in entries if entry.is_dir()]
    except OSError as error:
        raise InvalidData("data.broken", file=folder, reason=error.strerror) from None
    return sorted(path for path in found if not is_litter(path))


def parts(folder: Path, suffixes: Collection[str]) -> dict[Path, Split]:
    """The sub-folders where they are called train, validation, test; none where a sub-folder of
    another name holds files of `suffixes` too, as then they are classes."""
    found: dict[Path, Split] = {}
    for inner in class_folders(folder):
        split = SPLITS.get(inner.name.casefold())
        if split:
            found[inner] = split
        elif any(path.suffix.lower() in suffixes for path in walk(inner)):
            return {}
    return found


def kinds(folder: Path, *groups: Collection[str]) -> list[int]:
    """How many of the first files in sub-folders have a suffix of each group."""
    counts = [0] * len(groups)
    for inner in class_folders(folder):
        for path in islice(walk(inner), _LOOKED_AT):
            for place, suffixes in enumerate(groups):
                counts[place] += path.suffix.lower() in suffixes
    return counts


def class_table(
    folder: Path,
    column: str,
    suffixes: Collection[str],
    take: Callable[[Path], Any],
    *,
    name: str,
    split: Split | None,
    details: dict[str, Any],
) -> Table:
    """The table of a folder with a sub-folder for each class. `take` reads the value of `column`
    from a file, or raises `InvalidData`. Files of `suffixes` beside the sub-folders are bad rows.
    Raises `InvalidData` without sub-folders."""
    classes = class_folders(folder)
    if not classes:
        raise InvalidData("data.no_classes", folder=folder)
    for kind in classes:
        shown = os.fsencode(kind).decode("utf-8", "replace")
        if shown != str(kind):
            raise InvalidData("formats.folder_name", folder=shown)
    left: dict[str, int] = {}
    return Table(
        name,
        (column, "label", "file"),
        _rows(folder, column, suffixes, take, left),
        folder=folder,
        split=split,
        details={**details, "left_out": left},
    )


def _rows(
    folder: Path,
    column: str,
    suffixes: Collection[str],
    take: Callable[[Path], Any],
    left: dict[str, int],
) -> Iterator[Row | BadRow]:
    number = 0
    for kind in class_folders(folder):
        for path in walk(kind, left):
            number += 1
            values = {"file": path.relative_to(folder).as_posix(), "label": kind.name}
            try:
                yield Row(number, {column: take(path), **values})
            except InvalidData as error:
                yield BadRow(number, error.code, error.params, values)
    for path in inside(folder):
        if is_litter(path):
            count_litter(path, left)
        elif path.is_file() and path.suffix.lower() in suffixes:
            number += 1
            yield BadRow(number, "data.no_class_folder", {"file": path.name}, {"file": path.name})
