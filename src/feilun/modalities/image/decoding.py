"""Pictures from strangers: what is accepted, and how any of it becomes 8-bit RGB.

The header is read first, so that a picture with too many pixels is refused before any memory is
taken for it; texts and profiles in PNGs are left out unread. Then, in this order: the first frame
of an animation or document; turned upright by its EXIF orientation; transparency laid on white;
palettes, grey, CMYK and other colour spaces to RGB by Pillow's plain formulas (colour profiles are
not applied); 16-bit scaled from 0..65535; floating point from 0..1, or from 0..255 where any value
is above 1.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from feilun.errors import InvalidData
from feilun.modalities.image.png import without_texts
from feilun.types import Item

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["FORMATS", "MAX_PIXELS", "accept", "check", "decode", "input_schema"]

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")

_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_UNREAD = (
    (b"%PDF", "PDF"),
    (b"8BPS", "Photoshop"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
)

MAX_PIXELS = 50_000_000
"""Width times height of one picture."""


def check(item: Item, column: str) -> bytes:
    """The bytes of a picture that can be decoded: as they are, or ``{column: bytes}``.

    Raises `InvalidData` for anything but bytes of one of `FORMATS`, for more than `MAX_PIXELS`
    (before decoding) and for damaged files, with the reason.
    """
    value = accept(item, column)
    image = _open(value)
    # JPEG can be decoded at an eighth of its size: all bytes are read, little memory is used.
    image.draft("L", (1, 1))
    _load(image)
    return value


def accept(item: Item, column: str) -> bytes:
    """As `check`, without a look into the bytes: what is wrong with them is found by `decode`."""
    value: Any = item
    if isinstance(value, Mapping):
        if set(value) != {column}:
            raise InvalidData("tasks.wrong_columns", given=sorted(value), expected=[column])
        value = value[column]
    if isinstance(value, (bytearray, memoryview)):
        value = bytes(value)
    if not isinstance(value, bytes):
        raise InvalidData("tasks.no_image_bytes", given=type(value).__name__)
    return value


def decode(data: bytes, grey: bool = False, least: int = 0) -> Image:
    """The picture in mode ``RGB``, or ``L`` if `grey`. Raises `InvalidData` as `check` does.

    With `least`, a JPEG whose sides are at least twice as long is decoded at a half, a quarter or
    an eighth of its size, no side shorter than `least`: for whoever scales it down anyway.
    """
    from PIL import ImageOps

    image = _open(data)
    if least:
        image.draft(None, (least, least))
    _load(image)
    with suppress(Exception):  # a damaged EXIF block says nothing; the picture may be sound
        ImageOps.exif_transpose(image, in_place=True)
    image = _eight_bits(image)
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        image = _on_white(_in_mode(image, "RGBA"))
    return _in_mode(image, "L" if grey else "RGB")


def input_schema(column: str) -> dict[str, Any]:
    """JSON Schema of a picture, bare or in its column."""
    picture = {
        "type": "object",
        "properties": {"$base64": {"type": "string", "contentEncoding": "base64"}},
        "required": ["$base64"],
        "additionalProperties": False,
    }
    return {
        "anyOf": [
            picture,
            {
                "type": "object",
                "properties": {column: picture},
                "required": [column],
                "additionalProperties": False,
            },
        ]
    }


@cache
def _strict() -> None:
    """Makes Pillow's warning of too many pixels an error, in the whole process: to silence it in
    one call would change the filters under other threads' feet."""
    from PIL.Image import DecompressionBombWarning

    warnings.filterwarnings("error", category=DecompressionBombWarning)


def _open(data: bytes) -> Image:
    from PIL import Image, UnidentifiedImageError

    _strict()
    try:
        image = Image.open(io.BytesIO(without_texts(data)), formats=FORMATS)
    except UnidentifiedImageError:
        kind = _unread(data)
        if kind:
            raise InvalidData("tasks.unread_image", kind=kind, formats=FORMATS) from None
        raise InvalidData("tasks.not_an_image", formats=FORMATS) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InvalidData("tasks.too_many_pixels", limit=MAX_PIXELS) from None
    except Exception as error:  # noqa: BLE001 - parsers of damaged headers raise anything
        raise InvalidData("tasks.damaged_image", reason=_reason(error)) from None
    if image.width * image.height > MAX_PIXELS:
        raise InvalidData("tasks.too_many_pixels", limit=MAX_PIXELS)
    return image


def _unread(data: bytes) -> str:
    """The name of a kind of picture that people have and that is not read; empty for others."""
    if data[4:8] == b"ftyp":
        brand = data[8:12]
        return "AVIF" if brand in (b"avif", b"avis") else "HEIC" if brand in _HEIC else ""
    head = data[:256].lstrip()
    if head.startswith((b"<svg", b"<?xml")) and b"<svg" in data[:4096]:
        return "SVG"
    return next((name for magic, name in _UNREAD if data.startswith(magic)), "")


def _load(image: Image) -> None:
    try:
        image.load()
    except Exception as error:  # noqa: BLE001 - decoders of damaged data raise anything
        raise InvalidData("tasks.damaged_image", reason=_reason(error)) from None


def _reason(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _eight_bits(image: Image) -> Image:
    from PIL.Image import fromarray

    if image.mode.startswith("F"):
        floats = np.nan_to_num(np.asarray(image, dtype=np.float32))
        if floats.max(initial=0) <= 1:
            floats *= 255
        return fromarray(np.clip(np.rint(floats), 0, 255).astype(np.uint8))
    if image.mode.startswith("I"):
        table = np.rint(np.arange(65536) / 257).astype(np.uint8)
        return fromarray(table[np.clip(np.asarray(image), 0, 65535)])
    return image


def _in_mode(image: Image, mode: str) -> Image:
    """As Pillow's `convert`, which copies a picture of that mode: up to 200 MB for nothing."""
    return image if image.mode == mode else image.convert(mode)


def _on_white(image: Image) -> Image:
    from PIL.Image import new

    background = new("RGB", image.size, (255, 255, 255))
    background.paste(image, mask=image.getchannel("A"))
    return background
