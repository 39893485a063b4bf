"""What the binary workbooks ``.xls`` and ``.xlsb`` say of a sheet beside its cells, in records that
the library which reads the cells passes over: merged cells, hidden rows and columns.

Sources: [MS-CFB] 2.2 to 2.6 (compound files), [MS-XLS] 2.4 (BoundSheet8, ColInfo, MergeCells,
Row), [MS-XLSB] 2.1.4 and 2.4 (BrtBundleSh, BrtColInfo, BrtMergeCell, BrtRowHdr)."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

from feilun.data.sources._marks import Marks, related

__all__ = ["of_binary"]

_COMPOUND = bytes.fromhex("D0CF11E0A1B11AE1")
_NO_SECTOR = 0xFFFFFFFA
"""Numbers of sectors from here on mark ends and free places."""
_MOST_COLUMNS = 16_384

_BOF, _EOF, _BOUND_SHEET, _COL_INFO, _MERGE_CELLS, _ROW = 0x809, 0x0A, 0x85, 0x7D, 0xE5, 0x208
_BRT_ROW, _BRT_COL, _BRT_SHEET, _BRT_MERGE = 0, 60, 156, 176
_FAULTS = (struct.error, LookupError, ValueError, OSError, zipfile.BadZipFile)


def of_binary(path: Path, sheet: str) -> Marks | None:
    """What the workbook says of `sheet`; None where it is of another form, or cannot be followed
    (damaged, or older than Excel 97)."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return _of_xlsb(archive, sheet)
        with path.open("rb") as stream:
            if stream.read(len(_COMPOUND)) != _COMPOUND:
                return None
        return _of_xls(_stream(path.read_bytes(), "Workbook"), sheet)
    except _FAULTS:
        return None


def _of_xls(book: bytes, sheet: str) -> Marks | None:
    for kind, found in _records(book, 0):
        if kind == _BOUND_SHEET and _short_text(found[6:]) == sheet:
            (place,) = struct.unpack_from("<I", found)
            break
    else:
        return None
    marks = Marks()
    for kind, found in _records(book, place):
        if kind == _ROW and found[12] & 0x20 and found[2:4] != found[4:6]:  # fDyZero; has cells
            marks.hidden_rows += 1
        elif kind == _COL_INFO and found[8] & 1:
            marks.hidden_columns += _columns(*struct.unpack_from("<HH", found))
        elif kind == _MERGE_CELLS:
            for first, last, left, right in struct.iter_unpack("<4H", found[2:]):
                marks.merged.append((left + 1, first + 1, right + 1, last + 1))
    return marks


def _records(book: bytes, place: int) -> Iterator[tuple[int, bytes]]:
    """The records of one substream, which may hold others, such as charts."""
    depth = 0
    while place + 4 <= len(book):
        kind, size = struct.unpack_from("<HH", book, place)
        if kind == _BOF:
            depth += 1
        elif kind == _EOF:
            depth -= 1
            if depth <= 0:
                return
        elif depth == 1:
            yield kind, book[place + 4 : place + 4 + size]
        place += 4 + size


def _short_text(found: bytes) -> str:
    length, wide = found[0], found[1] & 1
    text = found[2 : 2 + length * (1 + wide)]
    return text.decode("utf-16-le" if wide else "latin-1")


def _stream(raw: bytes, name: str) -> bytes:
    """A large stream of a compound file; small ones lie elsewhere, and no workbook is small."""
    size = 1 << struct.unpack_from("<H", raw, 30)[0]
    if size not in (512, 4096):
        raise ValueError("no size of a sector")

    def sector(number: int) -> bytes:
        return raw[(number + 1) * size : (number + 2) * size]

    (directory,) = struct.unpack_from("<I", raw, 48)
    tables = list(struct.unpack_from("<109I", raw, 76))
    (more,), seen = struct.unpack_from("<I", raw, 68), 0
    while more < _NO_SECTOR and seen * size < len(raw):
        *found, more = struct.unpack(f"<{size // 4}I", sector(more))
        tables, seen = tables + found, seen + 1
    following: list[int] = []
    for table in tables:
        if table < _NO_SECTOR:
            following += struct.unpack(f"<{size // 4}I", sector(table))

    def chain(first: int) -> bytes:
        parts: list[bytes] = []
        while first < _NO_SECTOR:
            if len(parts) * size > len(raw):
                raise ValueError("a chain that does not end")
            parts.append(sector(first))
            first = following[first]
        return b"".join(parts)

    entries = chain(directory)
    for place in range(0, len(entries), 128):
        entry = entries[place : place + 128]
        (length,) = struct.unpack_from("<H", entry, 64)
        if entry[: max(0, length - 2)].decode("utf-16-le", "replace") == name:
            first, bytes_ = struct.unpack_from("<II", entry, 116)
            return chain(first)[:bytes_]
    raise LookupError(name)


def _of_xlsb(archive: zipfile.ZipFile, sheet: str) -> Marks | None:
    names = set(archive.namelist())
    if "xl/workbook.bin" not in names:
        return None
    member = None
    for kind, found in _parts(archive.read("xl/workbook.bin")):
        if kind == _BRT_SHEET:
            relation, place = _text(found, 8)
            if _text(found, place)[0] == sheet:
                member = related(archive, "xl/_rels/workbook.bin.rels", {relation})
    if member not in names:
        return None
    marks = Marks()
    for kind, found in _parts(archive.read(member)):
        if kind == _BRT_ROW and found[11] & 0x10:  # fDyZero
            marks.hidden_rows += 1
        elif kind == _BRT_COL and found[16] & 1:
            marks.hidden_columns += _columns(*struct.unpack_from("<II", found))
        elif kind == _BRT_MERGE:
            first, last, left, right = struct.unpack_from("<4I", found)
            marks.merged.append((left + 1, first + 1, right + 1, last + 1))
    return marks


def _parts(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """The records of a part that are looked for: kind and size have seven bits a byte."""
    wanted, place, end = {_BRT_ROW, _BRT_COL, _BRT_SHEET, _BRT_MERGE}, 0, len(raw)
    while place < end:
        kind = raw[place]
        place += 1
        if kind & 0x80:
            kind = kind & 0x7F | (raw[place] & 0x7F) << 7
            place += 1
        size = shift = 0
        while True:
            byte = raw[place]
            place += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80 or shift > 21:
                break
        if kind in wanted:
            yield kind, raw[place : place + size]
        place += size


def _text(found: bytes, place: int) -> tuple[str, int]:
    """A wide text and where it ends."""
    (length,) = struct.unpack_from("<I", found, place)
    end = place + 4 + 2 * length
    return found[place + 4 : end].decode("utf-16-le"), end


def _columns(first: int, last: int) -> range:
    return range(first + 1, min(last, _MOST_COLUMNS - 1) + 2)
