"""The frontier of accuracy and cost, drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from feilun.render.svg import clip, element

__all__ = ["frontier_plot"]

_WIDTH, _HEIGHT, _LEFT, _TOP = 560.0, 300.0, 64.0, 16.0
_STYLE = (
    "text{font:12px sans-serif;fill:#444}.grid{stroke:#ddd}.whisker{stroke:#999}"
    ".front{fill:none;stroke:#06c}.dot{fill:#999}.dot.on{fill:#06c}.dot.chosen{fill:#c30}"
)


def frontier_plot(
    points: Sequence[Mapping[str, Any]],
    *,
    across: Mapping[str, str],
    up: Mapping[str, str],
    percent: bool = True,
    alone: bool = False,
) -> Markup:
    """Points (`Point.to_json`) by what 1,000 answers cost, on a logarithmic axis, and their score
    with its interval; those on the frontier are joined, the chosen one marked. `across` and `up`
    are the axes' titles by language. `alone` it brings its style with it; a report has one."""
    costs = [max(float(one["cost"]), 1e-12) for one in points]
    lows = [float(one["score"]["low"]) for one in points]
    highs = [float(one["score"]["high"]) for one in points]
    left, right = math.log10(min(costs)) - 0.15, math.log10(max(costs)) + 0.15
    low, high = min(lows), max(highs)
    room = (high - low) or 1.0

    def x_of(cost: float) -> float:
        return _LEFT + (math.log10(max(cost, 1e-12)) - left) / (right - left) * _WIDTH

    def y_of(value: float) -> float:
        return _TOP + (1 - (value - low) / room) * _HEIGHT

    parts = [element("style", Markup(_STYLE))] if alone else []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        value = low + share * room
        y = y_of(value)
        said = f"{100 * value:.1f}%" if percent else f"{value:.3g}"
        parts.append(element("line", class_="grid", x1=_LEFT, x2=_LEFT + _WIDTH, y1=y, y2=y))
        parts.append(element("text", said, x=_LEFT - 6, y=y + 4, text_anchor="end"))
    for power in range(math.ceil(left), math.floor(right) + 1):
        x = x_of(10.0**power)
        parts.append(element("line", class_="grid", x1=x, x2=x, y1=_TOP, y2=_TOP + _HEIGHT))
        parts.append(
            element("text", f"{10.0**power:g}", x=x, y=_TOP + _HEIGHT + 16, text_anchor="middle")
        )
    ahead = sorted((one for one in points if one["frontier"]), key=lambda one: one["cost"])
    path = " ".join(f"{x_of(one['cost']):.1f},{y_of(one['score']['value']):.1f}" for one in ahead)
    parts.append(element("polyline", class_="front", points=path))
    for one in points:
        x, score = x_of(one["cost"]), one["score"]
        ends = {"y1": y_of(score["low"]), "y2": y_of(score["high"])}
        parts.append(element("line", class_="whisker", x1=x, x2=x, **ends))
        kind = "dot chosen" if one["chosen"] else "dot on" if one["frontier"] else "dot"
        title = element("title", str(one["name"]))
        y = y_of(score["value"])
        parts.append(element("circle", title, class_=kind, cx=x, cy=y, r=5.0))
        if one["frontier"]:
            parts.append(element("text", clip(str(one["name"]), 30), x=x + 8, y=y - 6))
    middle = _TOP + _HEIGHT / 2
    for lang, said in across.items():
        parts.append(
            element("text", said, class_=f"axis {lang}", lang=lang, x=_LEFT + _WIDTH / 2,
                    y=_TOP + _HEIGHT + 36, text_anchor="middle")
        )  # fmt: skip
    for lang, said in up.items():
        parts.append(
            element("text", said, class_=f"axis {lang}", lang=lang, x=14.0, y=middle,
                    text_anchor="middle", transform=f"rotate(-90 14 {middle:.0f})")
        )  # fmt: skip
    return element(
        "svg", Markup("").join(parts), xmlns="http://www.w3.org/2000/svg", class_="plot",
        viewBox=f"0 0 {_LEFT + _WIDTH + 60:.0f} {_TOP + _HEIGHT + 48:.0f}", role="img",
    )  # fmt: skip
