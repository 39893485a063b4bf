"""What a file is, by its content."""

from __future__ import annotations

import json
import shlex
import zipfile
from pathlib import Path
from typing import Any

from feilun.data.litter import inside, is_litter, walk
from feilun.data.sources import conll, cvat, po, texts, tmx
from feilun.data.sources._brat import is_notes, notes_in
from feilun.data.sources._folders import kinds
from feilun.data.sources._layouts import is_layout
from feilun.data.sources._partitions import is_hive, versioned_table
from feilun.data.sources._repository import is_repository
from feilun.data.sources._text import open_text
from feilun.data.sources.html import is_page
from feilun.data.sources.images import MANIFESTS, SUFFIXES, UNREAD
from feilun.data.sources.label_studio import is_task
from feilun.data.sources.mediawiki import is_dump
from feilun.errors import InvalidData

__all__ = ["format_of"]

_HEAD = 1 << 20
_TABLES = (".csv", ".tsv", ".jsonl", ".json", ".xlsx", ".xls", ".ods")

# First bytes → what it is. Formats that are read have a name of this package.
_READ = ((b"PAR1", "parquet"), (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "excel"))
_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf", b"Rar!")
_IMAGES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\x00", b"MM\x00*")
_REFUSED = (
    (b"SQLite format 3\x00", "data.sqlite_file"),
    (b"version https://git-lfs", "formats.lfs_pointer"),
)


def format_of(location: Path | str, encoding: str | None = None) -> str:
    """The format's name; `encoding` is that of a text, where it is known.
    Raises `InvalidData` for what is missing, empty or not read."""
    if "://" in str(location):
        return "sql"
    path = Path(location)
    try:
        if path.is_dir():
            return _of_folder(path)
        with path.open("rb") as stream:
            head = stream.read(32)
    except FileNotFoundError:
        raise InvalidData("data.no_file", file=path) from None
    except OSError as error:
        raise InvalidData("data.broken", file=path, reason=error.strerror) from None
    if not head:
        raise InvalidData("data.empty_file", file=path)
    if is_litter(path) and path.name.startswith(("~$", ".~lock", "._")):
        raise InvalidData("formats.lock_file", file=path)
    for magic, name in _READ:
        if head.startswith(magic):
            return name
    if head.startswith(b"PK\x03\x04"):
        return _of_zip(path)
    if head.startswith(_PACKED):
        return _of_packed(path)
    _refuse(path, head)
    return _of_text(path, encoding)


def _refuse(path: Path, head: bytes) -> None:
    """Says of some files what to add instead."""
    for magic, why in _REFUSED:
        if head.startswith(magic):
            raise InvalidData(why, file=path)
    if head.startswith(_IMAGES) or (head.startswith(b"RIFF") and head[8:12] == b"WEBP"):
        raise InvalidData("data.lone_image", file=path)


def _of_folder(path: Path) -> str:
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        return "huggingface"
    if any((path / name).is_file() for name in MANIFESTS):
        return "images"
    kind = versioned_table(path)
    if kind:
        raise InvalidData("formats.versioned_table", folder=path, kind=kind)
    if (path / cvat.FILE).is_file():
        return "cvat"
    if is_hive(path):
        return "hive"
    if is_repository(path):
        return "huggingface"
    notes = notes_in(path)
    if notes:
        raise InvalidData("formats.brat", file=notes)
    images, written = kinds(path, SUFFIXES | set(UNREAD), texts.SUFFIXES)
    if written > 2 * images:
        return "texts"
    if images or any(p.suffix.lower() in SUFFIXES for p in walk(path)):
        return "images"
    found = [p for p in inside(path) if p.is_file() and not is_litter(p)]
    if any(p.suffix.lower() in (".txt", ".text") for p in found):
        raise InvalidData("data.no_classes", folder=path)
    tables = sorted({p.suffix for p in found if p.suffix.lower() in _TABLES})
    if tables:
        command = " ".join(f"{shlex.quote(str(path))}/*{suffix}" for suffix in tables)
        raise InvalidData("formats.folder_of_tables", folder=path, files=command)
    raise InvalidData("data.unknown_folder", folder=path)


def _of_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except zipfile.BadZipFile as error:
        raise InvalidData("data.damaged", file=path, format="Excel", reason=str(error)) from None
    if names & {"xl/workbook.xml", "xl/workbook.bin"} or "content.xml" in names:
        return "excel"
    raise InvalidData("data.packed", file=path)


def _of_packed(path: Path) -> str:
    """The one thing that is read as it was packed; everything else is to be unpacked first."""
    if is_dump(path):
        return "mediawiki"
    raise InvalidData("data.packed", file=path)


def _of_text(path: Path, encoding: str | None) -> str:
    """JSON begins with a bracket and goes on as JSON; a dump of a wiki names itself; everything
    else is delimited."""
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        return "jsonl"
    stream, _ = open_text(path, encoding)
    try:
        text = stream.text.read(_HEAD).lstrip("\ufeff \t\r\n")
    finally:
        stream.close()
    if not text:
        raise InvalidData("data.empty_file", file=path)
    if text[0] == "<" and (found := _of_markup(text)):
        return found
    if text[0] in '#m"' and po.is_catalogue(text):
        return "po"
    if suffix == ".ann" and is_notes(text):
        raise InvalidData("formats.brat", file=path)
    if conll.is_tagged(text, suffix):
        return "conll"
    if text[0] == "[" and is_task(_first(text)):
        return "label_studio"
    if text[0] == "[" and (suffix == ".json" or text[1:].lstrip()[:1] in ("{", "]", "")):
        return "json_array"
    if text[0] != "{":
        return "delimited" if suffix != ".json" else "json_array"
    line, _, rest = text.partition("\n")
    try:
        first = json.loads(line)
    except ValueError:
        return "json_array" if suffix not in (".csv", ".tsv") else "delimited"
    lists = [v for v in first.values() if isinstance(v, list) and v]
    inside = any(isinstance(v[0], dict | list) for v in lists)
    return "json_array" if (inside or is_layout(first)) and not rest.strip() else "jsonl"


def _of_markup(text: str) -> str | None:
    """What a text that begins with a bracket of XML or HTML is, where it is either."""
    head = text[:4096]
    if "<mediawiki" in head:
        return "mediawiki"
    if cvat.is_cvat(head):
        return "cvat"
    if tmx.is_tmx(head):
        return "tmx"
    return "html" if is_page(text) else None


def _first(text: str) -> Any:
    """The first element of a JSON array, None where it is not whole or not JSON."""
    place = len(text) - len(text[1:].lstrip())
    try:
        return json.JSONDecoder().raw_decode(text, place)[0]
    except (ValueError, RecursionError):
        return None
