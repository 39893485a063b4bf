"""Image folders: one sub-folder a class, or a manifest that names the files."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from feilun.data.sources import delimited, jsonl
from feilun.data.sources._folders import class_table, parts
from feilun.data.sources.base import SPLITS, BadRow, Options, Table
from feilun.errors import InvalidData
from feilun.types import Row, Split

__all__ = [
    "MANIFESTS",
    "MAX_BYTES",
    "SUFFIXES",
    "UNREAD",
    "manifest_of",
    "open_tables",
    "read_image",
]

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
)
UNREAD = {
    ".heic": "HEIC",
    ".heif": "HEIC",
    ".avif": "AVIF",
    ".jp2": "JPEG 2000",
    ".jxl": "JPEG XL",
    ".svg": "SVG",
    ".psd": "Photoshop",
    ".dng": "DNG",
    ".cr2": "CR2",
    ".nef": "NEF",
    ".arw": "ARW",
}
"""Pictures that people have and that are not read."""
MANIFESTS = ("manifest.csv", "manifest.jsonl", "metadata.csv", "metadata.jsonl")
"""Files that, lying in the folder, say which image has which label."""
MAX_BYTES = 64 << 20
"""Bytes that one image file may have."""


def open_tables(location: Path | str, options: Options, known: Collection[str] = ()) -> list[Table]:
    """One table, or one a part where the sub-folders are called train, validation, test.

    Columns are ``image`` (bytes), ``label`` (the sub-folder's name; folders below it belong to the
    same class) and ``file``. With a manifest, in the folder or in a part, they are the manifest's.
    """
    folder = Path(location)
    manifest = manifest_of(folder)
    if manifest:
        return _of_manifest(manifest, options, known)
    divided = parts(folder, SUFFIXES)
    if not divided:
        return [_table(folder, folder.name, None)]
    tables = []
    for part, split in divided.items():
        name, manifest = f"{folder.name}/{part.name}", manifest_of(part)
        if manifest:
            (table,) = _open(manifest, options, known)
            tables.append(table.over(table.columns, table.rows(), name=name, split=split))
        else:
            tables.append(_table(part, name, split))
    return tables


def manifest_of(folder: Path) -> Path | None:
    """The file in `folder` that says which image has which label."""
    return next((folder / name for name in MANIFESTS if (folder / name).is_file()), None)


def _open(manifest: Path, options: Options, known: Collection[str]) -> list[Table]:
    opener = jsonl.open_tables if manifest.suffix == ".jsonl" else delimited.open_tables
    return opener(manifest, options, known)


def _of_manifest(manifest: Path, options: Options, known: Collection[str]) -> list[Table]:
    """The manifest's table; one a part where all images that it names lie in folders of parts."""
    (table,) = _open(manifest, options, known)
    column = _path_column(table)
    names: dict[str, None] = {}
    if column:
        for row in table.rows():
            if isinstance(row, Row):
                names.setdefault(_first_folder(row.values.get(column)))
    splits = {name: SPLITS.get(name.casefold()) for name in names}
    if not column or not splits or not all(splits.values()):
        table.close()
        return _open(manifest, options, known)
    tables = []
    for place, (name, split) in enumerate(splits.items()):
        (table,) = _open(manifest, options, known)
        rows = _of_part(table.rows(), column, name, first=place == 0)
        title = f"{manifest.name}:{name}"
        tables.append(table.over(table.columns, rows, name=title, split=split))
    return tables


def _path_column(table: Table) -> str | None:
    """The column of the images' paths."""
    for sample in table.samples():
        values = [v for v in sample.values if v not in (None, "")]
        if values and all(
            isinstance(v, str) and Path(v.strip()).suffix.lower() in SUFFIXES for v in values
        ):
            return sample.name
    return None


def _first_folder(value: object) -> str:
    first, mark, _ = str(value or "").strip().replace("\\", "/").removeprefix("./").partition("/")
    return first if mark else ""


def _of_part(
    rows: Iterator[Row | BadRow], column: str, part: str, *, first: bool
) -> Iterator[Row | BadRow]:
    """The rows of one part; bad ones, of which nobody knows, come with the first."""
    for row in rows:
        if first if isinstance(row, BadRow) else _first_folder(row.values.get(column)) == part:
            yield row


def _table(folder: Path, name: str, split: Split | None) -> Table:
    details = {"format": "images"}
    return class_table(
        folder, "image", SUFFIXES, read_image, name=name, split=split, details=details
    )


def read_image(path: Path) -> bytes:
    """The bytes of an image file. Raises `InvalidData` when it is missing, no image by its name,
    or larger than `MAX_BYTES`; whether it can be decoded is the task's to say."""
    kind = UNREAD.get(path.suffix.lower())
    if kind:
        raise InvalidData("formats.unread_image", file=path.name, kind=kind)
    if path.suffix.lower() not in SUFFIXES:
        raise InvalidData("data.not_an_image", file=path.name)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InvalidData("data.image_too_large", file=path.name, limit=MAX_BYTES)
        return path.read_bytes()
    except OSError as error:
        raise InvalidData("data.no_image", file=path.name, reason=error.strerror) from None
