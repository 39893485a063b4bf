"""What the report shows of a classifier: target and costs, confusions, calibration, labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from feilun.families.classes.calibration import Bin
from feilun.families.classes.details import Details
from feilun.families.classes.view_choice import view_choice
from feilun.render import wording
from feilun.render.bilingual import say, spoken
from feilun.render.figures import NOTHING, metric_name, said, score_bar
from feilun.render.page import template
from feilun.render.svg import heat_map, line_plot

__all__ = ["sections", "tiles"]

_GRID = 12
"""Up to this many labels the confusion matrix is drawn as a whole."""
_PAIRS = 12
_CLASSES = 40

Row = dict[str, Any]


def sections(evaluation: Any, details: Details) -> Markup:
    """The part of the page, from an `Evaluation` and its `details`."""
    labels = details.confusion.labels
    counts = {(truth, answer): count for truth, answer, count in details.confusion.cells}
    heat = None
    if len(labels) <= _GRID:
        heat = heat_map(
            labels,
            counts,
            rows=spoken("evaluation.axis_true"),
            columns=spoken("evaluation.axis_answered"),
        )
    page = template("classes.html", "feilun.families.classes")
    return Markup(
        page.render(
            evaluation=evaluation,
            details=details,
            say=say,
            heat=heat,
            confusions=_confusions(details, counts),
            plot=_plot(details),
            calibration=_calibration(details),
            classes=_classes(evaluation, details),
            **view_choice(details.choice),
        )
    )


def tiles(evaluation: Any, details: Details) -> Sequence[tuple[Any, str, Any]]:
    """Name, value and what stands under it: F1 and the calibration error."""
    found = []
    f1 = evaluation.metrics.get("f1")
    if f1 is not None and evaluation.primary != "f1":
        under = say("evaluation.tile_interval", least=f1.low, most=f1.high)
        found.append((metric_name("f1"), wording.share(f1.value), under))
    after, before = details.calibration.error_after, details.calibration.error_before
    if after is not None and before is not None:
        under = say("evaluation.tile_calibrated", before=float(before.value))
        found.append((metric_name("calibration_error"), wording.share(after.value), under))
    return found


def _confusions(details: Details, counts: Mapping[tuple[int, int], int]) -> list[Row]:
    """The commonest errors; none for two labels, where the drawing says it all."""
    labels = details.confusion.labels
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


def _plot(details: Details) -> Any:
    def points(bins: tuple[Bin, ...]) -> list[tuple[float, float, float]]:
        return [(one.stated, one.right, float(one.rows)) for one in bins if one.rows]

    lines = {"after": points(details.calibration.after)}
    if details.calibration.temperature != 1.0:
        lines = {"before": points(details.calibration.before), **lines}
    return line_plot(
        lines, across=spoken("evaluation.axis_stated"), up=spoken("evaluation.axis_right")
    )


def _calibration(details: Details) -> list[Row]:
    found = details.calibration
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


def _classes(evaluation: Any, details: Details) -> list[Row]:
    found = list(details.classes)
    if len(found) > _CLASSES:
        counted = [one for one in found if one.rows]
        found = sorted(counted, key=lambda one: (one.right / one.rows, -one.rows))[:_CLASSES]
    return [
        {
            "label": one.label,
            "rows": wording.number(one.rows),
            "recall": said("recall", one.recall),
            "bar": score_bar(one.recall),
            "precision": said("precision", one.precision),
            "f1": said("f1", one.f1),
            "others": [
                {
                    "name": other.name,
                    "value": wording.share(one.found[other.role] / one.rows)
                    if one.rows and other.role in one.found
                    else NOTHING,
                }
                for other in evaluation.compared()
            ],
        }
        for one in found
    ]
