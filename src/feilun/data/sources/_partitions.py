"""Folders whose names say the value of a column: ``label=praise``."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from feilun.data.litter import walk
from feilun.data.sources._repository import SUFFIXES

__all__ = ["Place", "files_below", "is_hive", "place_of"]

_KEY = re.compile(r"([^=]+)=(.*)", re.DOTALL)
_NONE = "__HIVE_DEFAULT_PARTITION__"

Place = dict[str, str | None]


def is_hive(folder: Path) -> bool:
    """Whether sub-folders are named ``key=value`` and hold files of rows."""
    return any(
        _KEY.fullmatch(p.name) and p.is_dir() and files_below(p, {}) for p in folder.iterdir()
    )


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
