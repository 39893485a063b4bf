"""What the report's tables and drawings show: an `Evaluation` turned into rows of ready text.

Nothing is computed here that the evaluation does not hold; figures are said, sorted and shortened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from feilun.evaluation import wording
from feilun.evaluation.bilingual import both, say, spoken
from feilun.evaluation.result import Comparison, Evaluation
from feilun.evaluation.svg import bar, heat_map, line_plot
from feilun.evaluation.view_parts import asked_tile
from feilun.metrics.calibration import Bin
from feilun.metrics.scores import HIGHER_IS_BETTER, METRICS, Score

__all__ = ["Row", "tile", "view"]

_GRID = 12
"""Up to this many labels the confusion matrix is drawn as a whole."""
_PAIRS = 12
_CLASSES = 40
_NOTHING = "–"

Row = dict[str, Any]


def view(evaluation: Evaluation) -> Row:
    """Everything of the template that comes from the evaluation alone."""
    labels = evaluation.confusion.labels
    counts = {(truth, answer): count for truth, answer, count in evaluation.confusion.cells}
    heat = None
    if len(labels) <= _GRID:
        heat = heat_map(
            labels,
            counts,
            rows=spoken("evaluation.axis_true"),
            columns=spoken("evaluation.axis_answered"),
        )
    return {
        "tiles": _tiles(evaluation),
        "metrics": _metrics(evaluation),
        "comparisons": [_comparison(evaluation, other) for other in evaluation.compared()],
        "heat": heat,
        "confusions": _confusions(evaluation, counts),
        "plot": _plot(evaluation),
        "calibration": _calibration(evaluation),
        "classes": _classes(evaluation),
    }


def _ordered(metrics: Mapping[str, Any]) -> list[str]:
    known = [name for name in METRICS if name in metrics]
    return known + [name for name in metrics if name not in METRICS]


def _lower(metric: str) -> bool:
    return not HIGHER_IS_BETTER.get(metric, True)


def _said(metric: str, score: Score | None) -> str:
    return _NOTHING if score is None else wording.level(metric, score.value)


def _range(metric: str, score: Score | None) -> str:
    if score is None:
        return ""
    return f"{wording.level(metric, score.low)} – {wording.level(metric, score.high)}"


def _name(metric: str) -> Any:
    return both(lambda lang: wording.metric_name(metric, lang))


def _bar(metric: str, score: Score | None) -> Any:
    if score is None:
        return ""
    most = 1.0
    if _lower(metric):
        most = max(0.25 if wording.is_share(metric) else 1.0, score.high)
    return bar((score.value, score.low, score.high), 0.0, most)


def _tone(gain: Score) -> str:
    return "up" if gain.low > 0 else "down" if gain.high < 0 else ""


def tile(name: Any, value: str, under: Any = "", tone: str = "") -> Row:
    """One figure in large type: `tone` ``up`` or ``down`` colours it."""
    return {"name": name, "value": value, "under": under, "tone": tone}


def _tiles(evaluation: Evaluation) -> list[Row]:
    primary, score = evaluation.primary, evaluation.score()
    under = say("evaluation.tile_interval", metric=primary, least=score.low, most=score.high)
    tiles = [tile(_name(primary), wording.level(primary, score.value), under)]
    for other in evaluation.compared():
        gain = other.gain[primary]
        figures = {"metric": primary, "low": gain.low, "high": gain.high}
        if wording.is_share(primary):
            under = say("evaluation.tile_gain", **figures)
        else:
            under = say("evaluation.tile_gain_plain", **figures)
        name = say("evaluation.tile_against", other=other.name)
        tiles.append(tile(name, wording.signed(primary, gain.value), under, _tone(gain)))
    f1 = evaluation.metrics.get("f1")
    if f1 is not None and primary != "f1":
        under = say("evaluation.tile_interval", least=f1.low, most=f1.high)
        tiles.append(tile(_name("f1"), wording.share(f1.value), under))
    after, before = evaluation.calibration.error_after, evaluation.calibration.error_before
    if after is not None and before is not None:
        under = say("evaluation.tile_calibrated", before=float(before.value))
        tiles.append(tile(_name("calibration_error"), wording.share(after.value), under))
    under = say("evaluation.tile_missed", missed=evaluation.missed)
    tiles.append(tile(say("evaluation.tile_rows"), wording.number(evaluation.rows), under))
    tiles.append(asked_tile(evaluation))
    return tiles


def _metrics(evaluation: Evaluation) -> list[Row]:
    return [
        {
            "name": _name(metric),
            "lower": _lower(metric),
            "value": _said(metric, evaluation.metrics[metric]),
            "range": _range(metric, evaluation.metrics[metric]),
            "bar": _bar(metric, evaluation.metrics[metric]),
            "validation": _said(metric, evaluation.validation.get(metric)),
            "others": [
                {"name": other.name, "value": _said(metric, other.metrics.get(metric))}
                for other in evaluation.compared()
            ],
        }
        for metric in _ordered(evaluation.metrics)
    ]


def _comparison(evaluation: Evaluation, other: Comparison) -> Row:
    roles = {
        "live": "evaluation.role_live",
        "below": "evaluation.role_below",
        "baseline": "evaluation.role_baseline",
    }
    bounded = [gain for metric, gain in other.gain.items() if wording.is_share(metric)]
    reach = max((abs(end) for gain in bounded for end in (gain.low, gain.high)), default=0.0)
    reach = max(reach, 2 * evaluation.margin, 0.02) * 1.05
    rows = []
    for metric in _ordered(other.gain):
        gain = other.gain[metric]
        shared = wording.is_share(metric)
        low, high = wording.signed(metric, gain.low), wording.signed(metric, gain.high)
        span = reach if shared else max(abs(gain.low), abs(gain.high), 0.05) * 1.05
        margin = evaluation.margin if metric == evaluation.primary else None
        rows.append(
            {
                "name": _name(metric),
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
    played = [one.role for one in evaluation.comparisons if one.name == other.name]
    return {
        "name": other.name,
        "role": Markup(" · ").join(say(roles[role]) for role in played),
        "method": both(lambda lang: wording.method_name(other.method, lang)),
        "rows": rows,
        "added": added,
        "flips": say(
            "evaluation.compared_flips",
            metric=evaluation.primary,
            won=other.won,
            lost=other.lost,
            name=evaluation.name,
            other=other.name,
            margin=evaluation.margin,
            risk=float(other.risk),
        ),
    }


def _confusions(evaluation: Evaluation, counts: Mapping[tuple[int, int], int]) -> list[Row]:
    """The commonest errors; none for two labels, where the drawing says it all."""
    labels = evaluation.confusion.labels
    if len(labels) <= 2:
        return []
    totals: Counter[int] = Counter()
    for (truth, _), count in counts.items():
        totals[truth] += count
    wrong = [(count, pair) for pair, count in counts.items() if pair[0] != pair[1]]
    wrong.sort(key=lambda one: (-one[0], one[1]))
    shown = _PAIRS if len(labels) > _GRID else 6
    return [
        {
            "truth": labels[truth],
            "answer": labels[answer],
            "count": wording.number(count),
            "share": wording.share(count / totals[truth]),
        }
        for count, (truth, answer) in wrong[:shown]
    ]


def _plot(evaluation: Evaluation) -> Any:
    def points(bins: tuple[Bin, ...]) -> list[tuple[float, float, float]]:
        return [(one.stated, one.right, float(one.rows)) for one in bins if one.rows]

    lines = {"after": points(evaluation.calibration.after)}
    if evaluation.calibration.temperature != 1.0:
        lines = {"before": points(evaluation.calibration.before), **lines}
    return line_plot(
        lines, across=spoken("evaluation.axis_stated"), up=spoken("evaluation.axis_right")
    )


def _calibration(evaluation: Evaluation) -> list[Row]:
    found = evaluation.calibration
    if found.error_before is None or found.error_after is None:
        return []
    after = float(found.error_after.value)
    if found.temperature == 1.0:
        text = say("evaluation.calibration_same", metric="calibration_error", value=after)
        return [{"kind": "after", "text": text}]
    before = say(
        "evaluation.calibration_before", metric="calibration_error", value=found.error_before.value
    )
    temperature = f"{found.temperature:.2f}"
    text = say(
        "evaluation.calibration_after",
        metric="calibration_error",
        value=after,
        temperature=temperature,
    )
    return [{"kind": "before", "text": before}, {"kind": "after", "text": text}]


def _classes(evaluation: Evaluation) -> list[Row]:
    found = list(evaluation.classes)
    if len(found) > _CLASSES:
        counted = [one for one in found if one.rows]
        found = sorted(counted, key=lambda one: (one.right / one.rows, -one.rows))[:_CLASSES]
    return [
        {
            "label": one.label,
            "rows": wording.number(one.rows),
            "recall": _said("recall", one.recall),
            "bar": _bar("recall", one.recall),
            "precision": _said("precision", one.precision),
            "f1": _said("f1", one.f1),
            "others": [
                {
                    "name": other.name,
                    "value": wording.share(one.found[other.role] / one.rows)
                    if one.rows and other.role in one.found
                    else _NOTHING,
                }
                for other in evaluation.compared()
            ],
        }
        for one in found
    ]
