"""What happens to pictures on their way to a model: blur, compression, light, an unsteady hand.

Strengths are shares of the picture, so that a thumbnail and a photograph suffer alike. Pictures
come back upright, in RGB, as PNG without loss (``jpeg`` as JPEG), photographs at 1,024 pixels at
most: more than that no model looks at, and it would only cost time.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from feilun.modalities.image import decoding
from feilun.modalities.noise import Disturbance, by_name
from feilun.types import Item

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["disturbances"]

_SIDE = 1024

Change = Callable[["Image", np.random.Generator], "Image"]


@cache
def disturbances() -> Mapping[str, Disturbance]:
    """All changes of pictures. ``flip`` is for asking by name: it turns digits, letters and left
    hands into others."""
    return by_name(
        [
            Disturbance("blur", _picture(_blur)),
            Disturbance("jpeg", _jpeg),
            Disturbance("grain", _picture(_grain)),
            Disturbance("light", _picture(_light), teaches=True),
            Disturbance("color", _picture(_color)),
            Disturbance("rotation", _picture(_rotation), teaches=True),
            Disturbance("crop", _picture(_crop), teaches=True),
            Disturbance("flip", _picture(_flip), safe=False),
        ]
    )


def _opened(item: Item) -> Image:
    if not isinstance(item, bytes):
        raise TypeError(f"a picture is bytes, not {type(item).__name__}")
    image = decoding.decode(item)
    image.thumbnail((_SIDE, _SIDE))
    return image


def _picture(change: Change) -> Callable[[Item, np.random.Generator], Item]:
    def changed(item: Item, draw: np.random.Generator) -> Item:
        written = io.BytesIO()
        change(_opened(item), draw).save(written, "PNG", compress_level=1)
        return written.getvalue()

    return changed


def _jpeg(item: Item, draw: np.random.Generator) -> Item:
    """Compressed as a messenger does: quality 25."""
    written = io.BytesIO()
    _opened(item).save(written, "JPEG", quality=25)
    return written.getvalue()


def _blur(image: Image, draw: np.random.Generator) -> Image:
    """Out of focus by a fiftieth of the shorter side, by half a pixel at least."""
    from PIL import ImageFilter

    return image.filter(ImageFilter.GaussianBlur(max(0.5, min(image.size) / 50)))


def _grain(image: Image, draw: np.random.Generator) -> Image:
    """Noise of a dark room: a standard deviation of 12 of 255 levels."""
    pixels = np.asarray(image, np.float32)
    return _from(pixels + draw.normal(0, 12, pixels.shape).astype(np.float32))


def _light(image: Image, draw: np.random.Generator) -> Image:
    """Up to 30 % brighter or darker, with up to 30 % more or less contrast."""
    pixels = np.asarray(image, np.float32)
    bright, contrast = draw.uniform(0.7, 1.3, 2)
    mean = pixels.mean()
    return _from(((pixels - mean) * contrast + mean) * bright)


def _color(image: Image, draw: np.random.Generator) -> Image:
    """Another white balance: each channel up to 20 % stronger or weaker."""
    return _from(np.asarray(image, np.float32) * draw.uniform(0.8, 1.2, 3).astype(np.float32))


def _rotation(image: Image, draw: np.random.Generator) -> Image:
    """Turned by 4 to 12 degrees either way; the corners get the colour of the edge."""
    from PIL.Image import Resampling

    angle = float(draw.uniform(4, 12) * draw.choice([-1, 1]))
    return image.rotate(angle, Resampling.BICUBIC, fillcolor=_edge(image))


def _crop(image: Image, draw: np.random.Generator) -> Image:
    """Up to a tenth cut off each side, brought back to the same size."""
    from PIL.Image import Resampling

    left, top, right, bottom = draw.uniform(0, 0.1, 4)
    width, height = image.size
    box = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
    return image.resize(image.size, Resampling.BICUBIC, box=box)


def _flip(image: Image, draw: np.random.Generator) -> Image:
    """Mirrored left to right."""
    from PIL import ImageOps

    return ImageOps.mirror(image)


def _edge(image: Image) -> tuple[int, int, int]:
    pixels = np.asarray(image)
    around = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = np.median(around, axis=0).astype(int).tolist()
    return red, green, blue


def _from(pixels: np.ndarray) -> Image:
    from PIL.Image import fromarray

    return fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
