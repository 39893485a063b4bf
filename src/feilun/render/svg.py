"""Small drawings for the report, as inline SVG: no plotting library, no files, no scripts.

Colours come from the page's style sheet (classes and custom properties), so that a drawing follows
light, dark and print. Every text goes through `element`, which escapes it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence

from markupsafe import Markup, escape

__all__ = [
    "Bar",
    "band_plot",
    "bar",
    "clip",
    "element",
    "heat_map",
    "line_plot",
    "scatter",
    "search_plot",
]

Bar = tuple[float, float, float]
"""An estimate with its interval: value, low, high."""


def element(name: str, content: Markup | str = "", /, **attributes: object) -> Markup:
    """One SVG element. ``stroke_width=2`` becomes ``stroke-width="2"``, ``class_`` ``class``;
    an attribute that is None is left out. `content` is escaped unless it is `Markup` already."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_number(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{written}>{escape(content)}</{name}>")


def _number(value: object) -> str:
    """Two decimals are finer than a pixel; trailing zeros only cost bytes."""
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return str(value)


def _join(parts: Sequence[Markup]) -> Markup:
    return Markup("").join(parts)


def clip(text: str, width: float) -> str:
    """`text` cut to about `width` letters, an ellipsis marking the cut; Chinese counts double."""
    used = 0.0
    for at, letter in enumerate(text):
        used += 2.0 if unicodedata.east_asian_width(letter) in "WF" else 1.0
        if used > width:
            return text[: max(at - 1, 1)] + "…"
    return text


def bar(
    estimate: Bar,
    low: float,
    high: float,
    *,
    zero: float | None = None,
    margin: float | None = None,
) -> Markup:
    """A horizontal line from `low` to `high` with an interval and its point on it.

    `zero` marks a value with an upright line, `margin` shades the values from `zero` - `margin` to
    `zero`. Positions are shares of the width, so the bar fits any column.
    """
    span = (high - low) or 1.0

    def at(value: float) -> float:
        return min(max((value - low) / span, 0.0), 1.0) * 100

    value, least, most = estimate
    parts = [element("rect", class_="track", x="0", y="9", width="100%", height="4", rx="2")]
    if zero is not None and margin:
        left = at(zero - margin)
        parts.append(
            element(
                "rect",
                class_="margin",
                x=f"{left:.2f}%",
                y="1",
                width=f"{at(zero) - left:.2f}%",
                height="20",
            )
        )
    if zero is not None:
        place = f"{at(zero):.2f}%"
        parts.append(element("line", class_="zero", x1=place, x2=place, y1="0", y2="22"))
    width = max(at(most) - at(least), 0.6)
    parts.append(
        element(
            "rect",
            class_="interval",
            x=f"{at(least):.2f}%",
            y="7",
            width=f"{width:.2f}%",
            height="8",
            rx="4",
        )
    )
    parts.append(element("circle", class_="point", cx=f"{at(value):.2f}%", cy="11", r="4.5"))
    return element("svg", _join(parts), class_="bar", height="22", aria_hidden="true")


def heat_map(
    labels: Sequence[str],
    counts: Mapping[tuple[int, int], int],
    *,
    rows: Mapping[str, str],
    columns: Mapping[str, str],
) -> Markup:
    """A square of counts: true labels down, answered ones across, shade = share of the row.

    `counts` maps (true, answered) indices to numbers; pairs that are missing count 0. `rows` and
    `columns` are the axes' titles by language.
    """
    size = len(labels)
    cell = 84 if size <= 3 else 60 if size <= 6 else 46
    names = min(max((_letters(label) for label in labels), default=4) * 6.6 + 14, 120)
    across = cell / 6.6 - 1
    top, left = 46.0, names + 22
    width, height = left + size * cell + 2, top + size * cell + 2
    parts: list[Markup] = []
    for lang, title in columns.items():
        middle = left + size * cell / 2
        parts.append(_text(title, middle, 14, "axis", "middle", lang))
    for lang, title in rows.items():
        middle = top + size * cell / 2
        turn = f"rotate(-90 12 {_number(middle)})"
        parts.append(_text(title, 12, middle, "axis", "middle", lang, turn))
    for index, label in enumerate(labels):
        middle = left + (index + 0.5) * cell
        parts.append(_text(clip(label, across), middle, top - 9, "tick", "middle", hover=label))
        middle = top + (index + 0.5) * cell + 4
        parts.append(_text(clip(label, 17), left - 8, middle, "tick", "end", hover=label))
    for truth in range(size):
        total = sum(counts.get((truth, answer), 0) for answer in range(size))
        for answer in range(size):
            count = counts.get((truth, answer), 0)
            x, y = left + answer * cell, top + truth * cell
            parts.append(_cell(x, y, cell, count, total, truth == answer))
    return element(
        "svg",
        _join(parts),
        class_="heat",
        viewBox=f"0 0 {_number(width)} {_number(height)}",
        style=f"max-width:{_number(width)}px;min-width:{_number(min(width, 29.0 * size + left))}px",
        role="img",
    )


def _cell(x: float, y: float, size: int, count: int, total: int, right: bool) -> Markup:
    share = count / total if total else 0.0
    shade = element(
        "rect",
        class_="right" if right else "wrong",
        x=x + 1,
        y=y + 1,
        width=size - 2,
        height=size - 2,
        rx="4",
        fill_opacity=round(0.06 + 0.84 * share, 3) if count else 0.03,
    )
    strong = " strong" if share > 0.5 else "" if count else " nil"
    lower = size >= 60 and total > 0
    middle = x + size / 2
    parts = [
        shade,
        _text(str(count), middle, y + size / 2 + (0 if lower else 5), "count" + strong, "middle"),
    ]
    if lower:
        parts.append(_text(f"{share:.0%}", middle, y + size / 2 + 17, "share" + strong, "middle"))
    return _join(parts)


def _letters(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _text(
    text: str,
    x: float,
    y: float,
    kind: str,
    anchor: str = "start",
    lang: str | None = None,
    transform: str | None = None,
    hover: str | None = None,
) -> Markup:
    content: Markup = escape(text)
    if hover is not None and hover != text:
        content = element("title", hover) + content
    return element(
        "text",
        content,
        class_=f"{kind} {lang}" if lang else kind,
        x=float(x),
        y=float(y),
        text_anchor=anchor,
        lang=lang,
        transform=transform,
    )


def scatter(
    points: Sequence[tuple[float, float]], *, across: Mapping[str, str], up: Mapping[str, str]
) -> Markup:
    """Points (x, y) in a square whose axes have one scale, with the diagonal dashed."""
    side, left, top = 300.0, 56.0, 8.0
    flat = [value for point in points for value in point] or [0.0, 1.0]
    low, high = min(flat), max(flat)
    room = (high - low) or 1.0
    parts: list[Markup] = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = left + share * side, top + (1 - share) * side
        said = f"{low + share * room:,.4g}"
        parts.append(element("line", class_="grid", x1=left, x2=left + side, y1=y, y2=y))
        parts.append(element("line", class_="grid", x1=x, x2=x, y1=top, y2=top + side))
        parts.append(_text(said, left - 6, y + 4, "tick", "end"))
        parts.append(_text(said, x, top + side + 16, "tick", "middle"))
    parts.append(element("line", class_="diagonal", x1=left, y1=top + side, x2=left + side, y2=top))
    drawn = [
        element(
            "circle",
            cx=left + (x - low) / room * side,
            cy=top + (1 - (y - low) / room) * side,
            r=2.5,
        )
        for x, y in points
    ]
    parts.append(element("g", _join(drawn), class_="points"))
    for lang, title in across.items():
        parts.append(_text(title, left + side / 2, top + side + 36, "axis", "middle", lang))
    for lang, title in up.items():
        middle = top + side / 2
        parts.append(
            _text(title, 10, middle, "axis", "middle", lang, f"rotate(-90 10 {_number(middle)})")
        )
    return element("svg", _join(parts), class_="plot", viewBox="0 0 366 350", role="img")


def line_plot(
    lines: Mapping[str, Sequence[tuple[float, float, float]]],
    *,
    across: Mapping[str, str],
    up: Mapping[str, str],
    marks: Sequence[tuple[float, str]] = (),
) -> Markup:
    """A square of shares: for each line (its class in the style sheet) points (x, y, weight).

    The diagonal is drawn dashed; a point's area follows its weight. `across` and `up` are the axes'
    titles by language. Where the axis across is no share, `marks` name places on it (0 to 1), and
    there is no diagonal.
    """
    side, left, top = 300.0, 46.0, 8.0
    parts: list[Markup] = []
    ticks = (0.0, 0.25, 0.5, 0.75, 1.0)
    for tick in ticks:
        y = top + (1 - tick) * side
        parts.append(element("line", class_="grid", x1=left, x2=left + side, y1=y, y2=y))
        parts.append(_text(f"{tick:.0%}", left - 6, y + 4, "tick", "end"))
    for place, name in marks or [(tick, f"{tick:.0%}") for tick in ticks]:
        x = left + place * side
        parts.append(element("line", class_="grid", x1=x, x2=x, y1=top, y2=top + side))
        parts.append(_text(name, x, top + side + 16, "tick", "middle"))
    if not marks:
        ends = {"x1": left, "y1": top + side, "x2": left + side, "y2": top}
        parts.append(element("line", class_="diagonal", **ends))
    heaviest = max((weight for points in lines.values() for *_, weight in points), default=1.0)
    for kind, points in lines.items():
        placed = [(left + x * side, top + (1 - y) * side, w) for x, y, w in points]
        path = " ".join(f"{_number(x)},{_number(y)}" for x, y, _ in placed)
        drawn = [element("polyline", points=path)]
        for x, y, weight in placed:
            radius = 2.5 + 5.0 * (weight / heaviest if heaviest else 0.0) ** 0.5
            drawn.append(element("circle", cx=x, cy=y, r=radius))
        parts.append(element("g", _join(drawn), class_=f"line {kind}"))
    for lang, title in across.items():
        parts.append(_text(title, left + side / 2, top + side + 36, "axis", "middle", lang))
    for lang, title in up.items():
        middle = top + side / 2
        parts.append(
            _text(title, 10, middle, "axis", "middle", lang, f"rotate(-90 10 {_number(middle)})")
        )
    return element("svg", _join(parts), class_="plot", viewBox="0 0 356 350", role="img")


def band_plot(
    lines: Sequence[Sequence[float]],
    bands: Sequence[Sequence[float]],
    *,
    ends: Sequence[str],
    names: Mapping[str, Mapping[str, str]],
) -> Markup:
    """Values over time: for each step its true and its predicted value, and the interval (low,
    high) of the prediction, which may be empty. `ends` stand under the first and the last step,
    `names` are the lines' (``true``, ``predicted``) by language."""
    width, height, left, top = 640.0, 240.0, 64.0, 24.0
    flat = [value for row in (*lines, *bands) for value in row] or [0.0, 1.0]
    low, high = min(flat), max(flat)
    room = (high - low) or 1.0

    def at(place: int, value: float) -> str:
        x = left + place / max(1, len(lines) - 1) * width
        y = top + (1 - (value - low) / room) * height
        return f"{_number(x)},{_number(y)}"

    parts: list[Markup] = []
    for share in (0.0, 0.5, 1.0):
        y = top + (1 - share) * height
        parts.append(element("line", class_="grid", x1=left, x2=left + width, y1=y, y2=y))
        parts.append(_text(f"{low + share * room:,.4g}", left - 6, y + 4, "tick", "end"))
    for x, anchor, said in zip((left, left + width), ("start", "end"), ends, strict=False):
        parts.append(_text(said, x, top + height + 18, "tick", anchor))
    held = [(place, row) for place, row in enumerate(bands) if len(row) == 2]
    if held:
        there = [at(place, row[1]) for place, row in held]
        back = [at(place, row[0]) for place, row in reversed(held)]
        parts.append(element("polygon", class_="band", points=" ".join([*there, *back])))
    for number, kind in enumerate(("true", "predicted")):
        path = " ".join(at(place, row[number]) for place, row in enumerate(lines))
        parts.append(element("g", element("polyline", points=path), class_=f"line {kind}"))
        x = left + 20 + 150 * number
        parts.append(
            element(
                "g",
                element("line", x1=x - 16, x2=x - 4, y1=10, y2=10),
                class_=f"line {kind}",
            )
        )
        for lang, name in names[kind].items():
            parts.append(_text(name, x, 14, "axis", "start", lang))
    view = f"0 0 {_number(left + width + 16)} {_number(top + height + 28)}"
    return element("svg", _join(parts), class_="plot wide", viewBox=view, role="img")


def search_plot(
    points: Sequence[tuple[float, float, bool]],
    *,
    higher: bool,
    said: Callable[[float], str],
    across: Mapping[str, str],
    up: Mapping[str, str],
) -> Markup:
    """Attempts in the order in which they ended: a point (time, value) each, small where it was not
    brought to its end, and a line of the best so far, which is the lowest unless `higher`. `said`
    writes a value; `across` and `up` are the axes' titles by language."""
    width, height, left, top = 560.0, 220.0, 72.0, 10.0
    values = [value for _, value, _ in points] or [0.0, 1.0]
    low, high, last = min(values), max(values), max((x for x, *_ in points), default=1.0)
    room, span = (high - low) or 1.0, last or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        return left + x / span * width, top + (1 - (y - low) / room) * height

    parts: list[Markup] = []
    for share in (0.0, 0.5, 1.0):
        y = top + (1 - share) * height
        parts.append(element("line", class_="grid", x1=left, x2=left + width, y1=y, y2=y))
        parts.append(_text(said(low + share * room), left - 6, y + 4, "tick", "end"))
        x = left + share * width
        parts.append(_text(f"{share * span:.3g}", x, top + height + 16, "tick", "middle"))
    corners: list[tuple[float, float]] = []
    best: float | None = None
    for x, value, whole in points:
        if whole and (best is None or (value > best if higher else value < best)):
            if best is not None:
                corners.append(place(x, best))
            best = value
            corners.append(place(x, best))
    if best is not None:
        corners.append(place(span, best))
    path = " ".join(f"{_number(x)},{_number(y)}" for x, y in corners)
    parts.append(element("g", element("polyline", points=path), class_="line predicted"))
    drawn = []
    for x, value, whole in points:
        across_at, up_at = place(x, value)
        drawn.append(element("circle", cx=across_at, cy=up_at, r=3.5 if whole else 1.8))
    parts.append(element("g", _join(drawn), class_="points"))
    for lang, title in across.items():
        parts.append(_text(title, left + width / 2, top + height + 36, "axis", "middle", lang))
    middle = top + height / 2
    turned = f"rotate(-90 12 {_number(middle)})"
    for lang, title in up.items():
        parts.append(_text(title, 12, middle, "axis", "middle", lang, turned))
    return element("svg", _join(parts), class_="plot wide", viewBox="0 0 648 272", role="img")
