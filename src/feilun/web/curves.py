"""How the figures of a run went, drawn on the server: the page's script only swaps the drawing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from feilun.messages.words import step_words, unit_words
from feilun.render.svg import element
from feilun.render.wording import metric_name
from feilun.store.records import StepRun

__all__ = ["Curve", "curves"]

_HELD = "validation_"
_NOT_DRAWN = ("learning_rate", "epoch")
_WIDTH, _HEIGHT, _LEFT, _TOP = 330.0, 130.0, 52.0, 8.0
_LETTER = 8.0  # width of a digit, in units of the drawing


@dataclass(frozen=True)
class Curve:
    """One figure of one step: its drawing, and the last value of each line (``train``,
    ``validation``)."""

    title: str
    drawing: Markup
    legend: Sequence[tuple[str, float]]


@dataclass
class _Figure:
    lines: dict[str, list[tuple[float, float]]] = field(default_factory=dict)


def curves(steps: Sequence[StepRun]) -> list[Curve]:
    """The curves of a run's steps. Attempts at one step are one curve: a step that was interrupted
    went on from its last checkpoint."""
    found: dict[tuple[str, str], _Figure] = {}
    for step in steps:
        for done, figures in step.curve:
            for name, value in figures.items():
                if name in _NOT_DRAWN:
                    continue
                figure = found.setdefault((step.step, name.removeprefix(_HELD)), _Figure())
                line = "validation" if name.startswith(_HELD) else "train"
                points = figure.lines.setdefault(line, [])
                while points and points[-1][0] >= done:
                    points.pop()  # what an attempt did over again
                if line == "validation" and points and points[-1][1] == value:
                    continue  # told again until it is measured anew
                points.append((done, value))
    return [
        _drawn(step, name, figure.lines)
        for (step, name), figure in found.items()
        if max(map(len, figure.lines.values())) > 1
    ]


def _drawn(step: str, name: str, lines: Mapping[str, list[tuple[float, float]]]) -> Curve:
    flat = [point for points in lines.values() for point in points]
    first, last = min(x for x, _ in flat), max(x for x, _ in flat)
    low, high = min(y for _, y in flat), max(y for _, y in flat)
    across, up = (last - first) or 1.0, (high - low) or 1.0
    marks = [(share, f"{low + share * up:.3g}") for share in (0.0, 0.5, 1.0)]
    edge = max(_LEFT, _LETTER * max(len(said) for _, said in marks) + 10)

    def place(x: float, y: float) -> str:
        left = edge + (x - first) / across * _WIDTH
        return f"{left:.1f},{_TOP + (1 - (y - low) / up) * _HEIGHT:.1f}"

    parts = []
    for share, said in marks:
        y = _TOP + (1 - share) * _HEIGHT
        parts.append(element("line", class_="grid", x1=edge, x2=edge + _WIDTH, y1=y, y2=y))
        parts.append(element("text", said, x=edge - 6, y=y + 4, text_anchor="end"))
    foot = _TOP + _HEIGHT + 16
    parts.append(element("text", f"{first:,.0f}", x=edge, y=foot))
    parts.append(element("text", f"{last:,.0f}", x=edge + _WIDTH, y=foot, text_anchor="end"))
    for kind, points in lines.items():
        path = " ".join(place(x, y) for x, y in points)
        parts.append(element("polyline", points=path, class_=f"line {kind}"))
    legend = [(kind, points[-1][1]) for kind, points in lines.items()]
    title = f"{step_words(step)}: {_words(name)}"
    told = ", ".join(f"{value:.4g}" for _, value in legend)
    drawing = element(
        "svg",
        Markup("").join(parts),
        class_="curve",
        viewBox=f"0 0 {edge + _WIDTH + 6:.0f} {foot + 6:.0f}",
        role="img",
        aria_label=f"{title} ({told})",
    )
    return Curve(title, drawing, legend)


def _words(name: str) -> str:
    """A figure in words: a loss, a metric."""
    found = unit_words(name)
    return metric_name(name) if found == name else found
