"""The words of an error shaded by what they spoke for, and a picture's squares."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup, escape

from feilun.evaluation.result import Miss
from feilun.render.bilingual import say
from feilun.render.svg import element

__all__ = ["heated", "shaded"]

_LONG, _SHOWN = 320, 240
_FAINT = 0.08
"""Parts that weigh less than this of the heaviest stay unshaded."""


def shaded(miss: Miss) -> Markup:
    """The text with its words shaded; a long one folded after its beginning."""
    text = miss.text or ""
    whole = Markup("").join(_parts(miss, len(text)))
    if len(text) <= _LONG:
        return Markup('<p class="said">{}</p>').format(whole)
    head = Markup("").join(_parts(miss, _SHOWN))
    cut = Markup("")
    if miss.cut:
        more = say("evaluation.miss_cut", cut=miss.cut)
        cut = Markup('<p class="small soft">{}</p>').format(more)
    return Markup(
        '<details><summary><span class="said">{}…</span></summary>'
        '<p class="said">{}</p>{}</details>'
    ).format(head, whole, cut)


def heated(miss: Miss) -> Markup:
    """The thumbnail with its squares shaded."""
    rows, columns = len(miss.heat), len(miss.heat[0])
    most = max((abs(weight) for line in miss.heat for weight in line), default=0.0) or 1.0
    squares = [
        element(
            "rect",
            x=column,
            y=row,
            width=1,
            height=1,
            class_="for" if weight > 0 else "against",
            fill_opacity=round(0.6 * abs(weight) / most, 2),
        )
        for row, line in enumerate(miss.heat)
        for column, weight in enumerate(line)
        if abs(weight) >= _FAINT * most
    ]
    drawing = element(
        "svg",
        Markup("").join(squares),
        viewBox=f"0 0 {columns} {rows}",
        preserveAspectRatio="none",
        aria_hidden="true",
    )
    return Markup('<span class="heated"><img src="{}" alt="{}">{}</span>').format(
        miss.image, miss.row_id, drawing
    )


def _parts(miss: Miss, end: int) -> Iterator[Markup]:
    """Pieces of the text up to `end`, the weighty ones marked."""
    text = (miss.text or "")[:end]
    most = max((abs(weight) for *_, weight in miss.shades), default=0.0) or 1.0
    place = 0
    for start, stop, weight in miss.shades:
        if start >= len(text):
            break
        yield escape(text[place:start])
        piece = escape(text[start:stop])
        strength = abs(weight) / most
        if strength < _FAINT:
            yield piece
        else:
            kind = "for" if weight > 0 else "against"
            yield Markup('<mark class="{}" style="--w:{}">{}</mark>').format(
                kind, f"{strength:.2f}", piece
            )
        place = min(stop, len(text))
    yield escape(text[place:])
