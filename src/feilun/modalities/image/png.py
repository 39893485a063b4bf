"""PNG files without what says nothing of their pixels: colour profiles, and the texts that
generators of pictures, scanners and editors put in, some of them megabytes long.

Pillow refuses a file whose texts are long, as a small one could unpack into gigabytes. Here they
are left out before anything is unpacked.
"""

from __future__ import annotations

import zlib

__all__ = ["SIGNATURE", "without_texts"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_LEFT_OUT = (b"iCCP", b"tEXt", b"zTXt", b"iTXt")
# They may say which way up the picture is.
_UPRIGHT = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0", b"Raw profile type APP1\0")
_KEPT = 1 << 16
_UNPACKED = 1 << 19


def without_texts(data: bytes) -> bytes:
    """The same file without texts and profile, but for a short one that says which way up the
    picture is. What is no PNG, or ends early, comes back as far as it goes."""
    if not data.startswith(SIGNATURE):
        return data
    kept, begin, place = [], 0, len(SIGNATURE)
    while place + 8 <= len(data):
        kind = data[place + 4 : place + 8]
        end = place + 12 + int.from_bytes(data[place : place + 4])
        if kind in _LEFT_OUT and not _says_upright(kind, data[place + 8 : min(end - 4, len(data))]):
            kept.append(data[begin:place])
            begin = end
        place = end
    return b"".join([*kept, data[begin:]]) if kept else data


def _says_upright(kind: bytes, content: bytes) -> bool:
    if len(content) > _KEPT or not content.startswith(_UPRIGHT):
        return False
    text = content.partition(b"\0")[2]
    if kind == b"zTXt":
        return _is_short(text[1:])
    if kind == b"iTXt" and text[:1] == b"\1":
        return _is_short(text[2:].split(b"\0", 2)[-1])
    return True


def _is_short(packed: bytes) -> bool:
    try:
        return len(zlib.decompressobj().decompress(packed, _UNPACKED)) < _UNPACKED
    except zlib.error:
        return False
