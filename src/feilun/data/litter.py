"""What systems and programs leave beside files: thumbnails, locks, unfinished downloads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from feilun.errors import InvalidData

__all__ = ["LITTER", "count_litter", "inside", "is_litter", "walk"]

LITTER = "formats.litter"
"""Key of the sentence that says how many such files were passed by."""

_NAMES = frozenset(
    {
        "@eadir",  # Synology, thumbnails
        "#recycle",
        "#snapshot",
        "@recycle",  # QNAP
        "@recently-snapshot",
        ".@__thumb",
        "__macosx",  # archives that macOS made
        "$recycle.bin",
        "system volume information",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "icon\r",
        "lost+found",
        "__pycache__",
    }
)
_BEGINNINGS = (".", "~$", "synofile_thumb", "synophoto_")
_ENDS = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".download", ".swp", "~")


def is_litter(path: Path) -> bool:
    """Whether a file or folder has the name of one that nobody means when they say their data:
    hidden ones, locks of open documents, thumbnails, wastebaskets, unfinished downloads."""
    name = path.name.casefold()
    return name in _NAMES or name.startswith(_BEGINNINGS) or name.endswith(_ENDS)


def walk(folder: Path, left: dict[str, int] | None = None) -> Iterator[Path]:
    """The files below `folder` in the order of their names, litter passed by and counted in
    `left`. Raises `InvalidData` for a folder that must not be read."""
    for path in inside(folder):
        if is_litter(path):
            if left is not None:
                count_litter(path, left)
        elif path.is_dir():
            # A link to a folder above would go round and round.
            if not path.is_symlink() or not folder.resolve().is_relative_to(path.resolve()):
                yield from walk(path, left)
        else:
            yield path


def inside(folder: Path) -> list[Path]:
    """What lies in a folder, by name. Raises `InvalidData` where that cannot be read."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise InvalidData("data.broken", file=folder, reason=error.strerror) from None


def count_litter(path: Path, left: dict[str, int]) -> None:
    """Adds the files that `path` is or holds to those passed by."""
    files = sum(one.is_file() for one in path.rglob("*")) if path.is_dir() else 1
    if files:
        left[LITTER] = left.get(LITTER, 0) + files
