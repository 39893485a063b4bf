"""Image folders: one sub-folder a class, or a manifest that names the files."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from feilun.data.sources import delimited, jsonl
from feilun.data.sources.base import SPLITS, BadRow, Options, Table
from feilun.errors import InvalidData
from feilun.types import Row, Split

__all__ = ["MANIFESTS", "MAX_BYTES", "SUFFIXES", "open_tables", "read_image"]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
MANIFESTS = ("manifest.csv", "manifest.jsonl", "metadata.csv", "metadata.jsonl")
"""Files that, lying in the folder, say which image has which label."""
MAX_BYTES = 64 << 20
"""Bytes that one image file may have."""

_LITTER = frozenset({"thumbs.db", "desktop.ini"})


def open_tables(location: Path | str, options: Options, known: Collection[str] = ()) -> list[Table]:
    """One table, or one a part where the sub-folders are called train, validation, test.

    Columns are ``image`` (bytes), ``label`` (the sub-folder's name; folders below it belong to the
    same class) and ``file``. With a manifest they are the manifest's.
    """
    folder = Path(location)
    for name in MANIFESTS:
        if (folder / name).is_file():
            opener = jsonl.open_tables if name.endswith("l") else delimited.open_tables
            return opener(folder / name, options, known)
    classes = _folders(folder)
    parts = {
        part: SPLITS[part.name.casefold()] for part in classes if part.name.casefold() in SPLITS
    }
    if parts and len(parts) == len(classes):
        return [_table(part, f"{folder.name}/{part.name}", split) for part, split in parts.items()]
    return [_table(folder, folder.name, None)]


def _table(folder: Path, name: str, split: Split | None) -> Table:
    if not _folders(folder):
        raise InvalidData("data.no_classes", folder=folder)
    return Table(
        name,
        ("image", "label", "file"),
        _rows(folder),
        folder=folder,
        split=split,
        details={"format": "images"},
    )


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _rows(folder: Path) -> Iterator[Row | BadRow]:
    number = 0
    for kind in _folders(folder):
        for path in _files(kind):
            number += 1
            name = path.relative_to(folder).as_posix()
            values = {"file": name, "label": kind.name}
            try:
                yield Row(number, {"image": read_image(path), **values})
            except InvalidData as error:
                yield BadRow(number, error.code, error.params, values)
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES):
        number += 1
        yield BadRow(number, "data.no_class_folder", {"file": path.name}, {"file": path.name})


def _files(folder: Path) -> Iterator[Path]:
    """Files below `folder` in the order of their names; what systems leave behind is passed by."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.lower() in _LITTER:
            continue
        if path.is_dir():
            yield from _files(path)
        else:
            yield path


def read_image(path: Path) -> bytes:
    """The bytes of an image file. Raises `InvalidData` when it is missing, no image by its name,
    or larger than `MAX_BYTES`; whether it can be decoded is the task's to say."""
    if path.suffix.lower() not in SUFFIXES:
        raise InvalidData("data.not_an_image", file=path.name)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InvalidData("data.image_too_large", file=path.name, limit=MAX_BYTES)
        return path.read_bytes()
    except OSError as error:
        raise InvalidData("data.no_image", file=path.name, reason=error.strerror) from None
