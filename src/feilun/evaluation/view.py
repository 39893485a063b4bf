"""What the report's tables and drawings show: an `Evaluation` turned into rows of ready text.

Nothing is computed here that the evaluation does not hold; figures are said, sorted and shortened.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from feilun.evaluation.result import Comparison, Evaluation
from feilun.evaluation.view_parts import asked_tile
from feilun.metrics.scores import Score
from feilun.render import wording
from feilun.render.bilingual import both, say
from feilun.render.figures import interval, metric_name, said, score_bar
from feilun.render.svg import bar

__all__ = ["Row", "tile", "view"]

_NOTHING = "–"

Row = dict[str, Any]


def view(evaluation: Evaluation) -> Row:
    """Everything of the template that comes from the evaluation alone."""
    return {
        "tiles": _tiles(evaluation),
        "metrics": _metrics(evaluation),
        "comparisons": [_comparison(evaluation, other) for other in evaluation.compared()],
    }


def _ordered(evaluation: Evaluation, metrics: Mapping[str, Any]) -> list[str]:
    known = evaluation.family.metrics
    return [name for name in known if name in metrics] + [
        name for name in metrics if name not in known
    ]


def _lower(evaluation: Evaluation, metric: str) -> bool:
    return not evaluation.family.metrics.get(metric, True)


def _bar(metric: str, score: Score | None, lower: bool) -> Any:
    if score is None:
        return ""
    if wording.is_share(metric):
        return score_bar(score, max(0.25, score.high) if lower else 1.0)
    # Without bounds, a scale of its own; an R² may lie below nothing.
    return bar((score.value, score.low, score.high), min(0.0, score.low), max(1.0, score.high))


def _tone(gain: Score) -> str:
    return "up" if gain.low > 0 else "down" if gain.high < 0 else ""


def tile(name: Any, value: str, under: Any = "", tone: str = "") -> Row:
    """One figure in large type: `tone` ``up`` or ``down`` colours it."""
    return {"name": name, "value": value, "under": under, "tone": tone}


def _tiles(evaluation: Evaluation) -> list[Row]:
    primary, score = evaluation.primary, evaluation.score()
    under = say("evaluation.tile_interval", metric=primary, least=score.low, most=score.high)
    tiles = [tile(metric_name(primary), wording.level(primary, score.value), under)]
    for other in evaluation.compared():
        gain = other.gain[primary]
        figures = {"metric": primary, "low": gain.low, "high": gain.high}
        if wording.is_share(primary):
            under = say("evaluation.tile_gain", **figures)
        else:
            under = say("evaluation.tile_gain_plain", **figures)
        name = say("evaluation.tile_against", other=other.name)
        tiles.append(tile(name, wording.signed(primary, gain.value), under, _tone(gain)))
    tiles += [tile(*one) for one in evaluation.family.tiles(evaluation)]
    under = say(evaluation.sentence("evaluation.tile_missed"), missed=evaluation.missed)
    tiles.append(tile(say("evaluation.tile_rows"), wording.number(evaluation.rows), under))
    tiles.append(asked_tile(evaluation))
    return tiles


def _metrics(evaluation: Evaluation) -> list[Row]:
    return [
        {
            "name": metric_name(metric),
            "lower": _lower(evaluation, metric),
            "value": said(metric, evaluation.metrics[metric]),
            "range": interval(metric, evaluation.metrics[metric]),
            "bar": _bar(metric, evaluation.metrics[metric], _lower(evaluation, metric)),
            "validation": said(metric, evaluation.validation.get(metric)),
            "others": [
                {"name": other.name, "value": said(metric, other.metrics.get(metric))}
                for other in evaluation.compared()
            ],
        }
        for metric in _ordered(evaluation, evaluation.metrics)
    ]


def _comparison(evaluation: Evaluation, other: Comparison) -> Row:
    roles = {
        "live": "evaluation.role_live",
        "best": "evaluation.role_best",
        "below": "evaluation.role_below",
        "baseline": "evaluation.role_baseline",
    }
    bounded = [gain for metric, gain in other.gain.items() if wording.is_share(metric)]
    reach = max((abs(end) for gain in bounded for end in (gain.low, gain.high)), default=0.0)
    reach = max(reach, 2 * evaluation.margin, 0.02) * 1.05
    rows = []
    for metric in _ordered(evaluation, other.gain):
        gain = other.gain[metric]
        shared = wording.is_share(metric)
        low, high = wording.signed(metric, gain.low), wording.signed(metric, gain.high)
        span = reach if shared else max(abs(gain.low), abs(gain.high), 0.05) * 1.05
        margin = evaluation.margin if metric == evaluation.primary else None
        rows.append(
            {
                "name": metric_name(metric),
                "bar": bar((gain.value, gain.low, gain.high), -span, span, zero=0.0, margin=margin),
                "value": wording.signed(metric, gain.value),
                "range": f"{low} … {high}",
                "tone": {"up": "better", "down": "worse"}.get(_tone(gain), ""),
            }
        )
    added = None
    if other.new_labels:
        added = say(
            "evaluation.compared_new_labels",
            other=other.name,
            labels=[*other.new_labels[:8], *(["…"] if len(other.new_labels) > 8 else [])],
            rows=other.rows,
            metric=evaluation.primary,
            gain=other.known.value,
            low=other.known.low,
            high=other.known.high,
        )
    folds = None
    if other.folds is not None:
        folds = say(
            "gate.compared_folds",
            rows=other.fold_rows,
            metric=evaluation.primary,
            gain=other.folds.value,
            low=other.folds.low,
            high=other.folds.high,
        )
    played = [one.role for one in evaluation.comparisons if one.name == other.name]
    return {
        "name": other.name,
        "role": Markup(" · ").join(say(roles[role]) for role in played),
        "method": both(lambda lang: wording.method_name(evaluation.method_key(other.method), lang)),
        "rows": rows,
        "added": added,
        "folds": folds,
        "flips": say(
            evaluation.sentence("evaluation.compared_flips"),
            metric=evaluation.primary,
            won=other.won,
            lost=other.lost,
            name=evaluation.name,
            other=other.name,
            margin=evaluation.margin,
            risk=float(other.risk),
        ),
    }
