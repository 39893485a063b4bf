"""Scores as the pages say and draw them."""

from __future__ import annotations

from typing import Any

from feilun.metrics.scores import Score
from feilun.render import wording
from feilun.render.bilingual import both
from feilun.render.svg import bar

__all__ = ["NOTHING", "interval", "metric_name", "said", "score_bar"]

NOTHING = "–"
"""What stands where there is no figure."""


def said(metric: str, score: Score | None) -> str:
    """The value."""
    return NOTHING if score is None else wording.level(metric, score.value)


def interval(metric: str, score: Score | None) -> str:
    """Both ends."""
    if score is None:
        return ""
    return f"{wording.level(metric, score.low)} – {wording.level(metric, score.high)}"


def metric_name(metric: str) -> Any:
    """The metric's name in both languages."""
    return both(lambda lang: wording.metric_name(metric, lang))


def score_bar(score: Score | None, most: float = 1.0) -> Any:
    """A bar from 0 to `most`; nothing without a score."""
    return "" if score is None else bar((score.value, score.low, score.high), 0.0, most)
