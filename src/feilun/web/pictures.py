"""Pictures on a page: as they are, and with what an answer says of them drawn over."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

from markupsafe import Markup

from feilun.errors import InvalidData
from feilun.families.base import Region
from feilun.modalities.image.decoding import decode
from feilun.render.svg import element

__all__ = ["data_uri", "overlaid"]

_SIDE = 1024  # pixels of a drawn picture's longer side at most
_OPAQUE = 0.6  # of the square that weighs most


def data_uri(content: bytes) -> str:
    """A picture as an address that carries it."""
    kind = "jpeg" if content[:2] == b"\xff\xd8" else "gif" if content[:3] == b"GIF" else "png"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def overlaid(
    picture: bytes, grid: Sequence[Sequence[float]], regions: Sequence[Region], said: str
) -> Markup | None:
    """The picture as SVG, upright: over it the squares of `grid`, the stronger the more they weigh
    (above 0 for the answer), and the boxes of `regions`; `said` is its text for who does not see
    it. None for bytes that are no picture."""
    try:
        image = decode(picture)
    except InvalidData:
        return None
    width, height = image.size
    image.thumbnail((_SIDE, _SIDE))
    written = io.BytesIO()
    image.save(written, "PNG", compress_level=1)
    uri = data_uri(written.getvalue())
    parts = [element("image", href=uri, width=width, height=height)]
    most = max((abs(weight) for row in grid for weight in row), default=0.0) or 1.0
    for down, row in enumerate(grid):
        for across, weight in enumerate(row):
            left, top = across * width // len(row), down * height // len(grid)
            parts.append(
                element(
                    "rect",
                    element("title", f"{weight:+.2f}"),
                    class_="for" if weight > 0 else "against",
                    x=left,
                    y=top,
                    width=(across + 1) * width // len(row) - left,
                    height=(down + 1) * height // len(grid) - top,
                    fill_opacity=_OPAQUE * abs(weight) / most,
                )
            )
    size = max(width, height) / 28
    for one in regions:
        x, y, right, bottom = one.box
        box = element("rect", class_="box", x=x, y=y, width=right - x, height=bottom - y)
        named = " ".join(filter(None, (one.label, f"{one.score:.0%}" if one.score else "")))
        over = y - size / 3 if y > 1.5 * size else y + size
        parts += [box, element("text", named, x=x + size / 5, y=over, font_size=size)]
    return element(
        "svg",
        Markup("").join(parts),
        class_="overlaid",
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_label=said,
    )
