"""A small picture for a page, as a data URI: nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
import io

from feilun.errors import InvalidData
from feilun.modalities.image.decoding import decode

__all__ = ["SIDE", "thumbnail"]

SIDE = 160
"""Longest side of a thumbnail in pixels; smaller pictures keep their size."""


def thumbnail(data: bytes) -> str | None:
    """A data URI of a few kilobytes: PNG for small pictures, whose pixels matter, else JPEG. None
    for what cannot be drawn."""
    try:
        picture = decode(data)
    except InvalidData:
        return None
    small = max(picture.size) <= SIDE // 2
    picture.thumbnail((SIDE, SIDE))
    written = io.BytesIO()
    if small:
        picture.save(written, "PNG", optimize=True)
    else:
        picture.save(written, "JPEG", quality=78, optimize=True)
    kind = "png" if small else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(written.getvalue()).decode('ascii')}"
