"""What the report shows of target, costs and coverage: a `Choice` as rows of ready text."""

from __future__ import annotations

from typing import Any

from feilun.families.classes.choice import Choice, Condition, Costs
from feilun.metrics.scores import Score
from feilun.render import wording
from feilun.render.bilingual import say
from feilun.render.svg import bar
from feilun.render.wording import amount

__all__ = ["view_choice"]

Row = dict[str, Any]

_NAMES = {
    "missed": "verdict.line_missed",
    "false_alarms": "verdict.line_false_alarms",
    "accuracy": "verdict.line_accuracy",
}
_STATUS = {
    "met": ("verdict.status_met", "up"),
    "not_met": ("verdict.status_not_met", "down"),
    "cannot_tell": ("verdict.status_cannot_tell", ""),
}


def view_choice(choice: Choice | None) -> Row:
    """Everything that the part on the use of the answers shows; nothing without a choice."""
    if choice is None:
        return {"target": [], "costs": None, "curve": [], "leaves": None}
    leaves: Any = None
    if choice.rule.abstain_below:
        leaves = say(
            "verdict.leaves",
            abstained=float(choice.abstained.value),
            right=float(choice.right.value),
            least=choice.right.low,
            most=choice.right.high,
        )
    return {
        "target": [_condition(one) for one in choice.conditions],
        "costs": _costs(choice.costs) if choice.costs else None,
        "curve": [
            {
                "name": say("verdict.line_share", part=float(1 - point.share)),
                "bar": bar(_triple(point.accuracy), 0.0, 1.0),
                "value": wording.share(point.accuracy.value),
                "range": _range(point.accuracy),
                "cutoff": f"≥ {point.cutoff:.3f}",
            }
            for point in choice.curve
        ],
        "leaves": leaves,
    }


def _condition(one: Condition) -> Row:
    code, tone = _STATUS[one.status]
    least = one.kind == "accuracy"
    most = 1.0 if least else max(0.1, one.limit * 2, one.score.high)
    return {
        "name": say(_NAMES[one.kind], label=one.label),
        "rows": wording.number(one.rows),
        "bar": bar(_triple(one.score), 0.0, most, zero=one.limit),
        "value": wording.share(one.score.value),
        "range": _range(one.score),
        "limit": f"{'≥' if least else '≤'} {one.limit * 100:g}%",
        "status": say(code),
        "tone": tone,
    }


def _costs(costs: Costs) -> Row:
    def row(name: Any, missed: Score, alarms: Score, cost: Score, chosen: bool) -> Row:
        return {
            "name": name,
            "missed": f"{wording.share(missed.value)} ({_range(missed)})",
            "alarms": f"{wording.share(alarms.value)} ({_range(alarms)})",
            "cost": f"{amount(cost.value)} ({amount(cost.low)} – {amount(cost.high)})",
            "chosen": chosen,
        }

    most = max([one.per_1000.high for one in costs.curve] or [1.0])
    nearest = min(costs.curve, key=lambda one: abs(one.threshold - costs.threshold), default=None)
    named = say("verdict.line_threshold", threshold=float(costs.threshold))
    plain = say("verdict.line_plain")
    return {
        "title": say("verdict.report_costs", label=costs.label),
        "rows": [
            row(named, costs.missed, costs.false_alarms, costs.per_1000, True),
            row(plain, costs.plain_missed, costs.plain_false_alarms, costs.plain, False),
        ],
        "curve": [
            {
                "name": say("verdict.line_from", threshold=f"{one.threshold:g}"),
                "bar": bar(_triple(one.per_1000), 0.0, most),
                "cost": amount(one.per_1000.value),
                "range": f"{amount(one.per_1000.low)} – {amount(one.per_1000.high)}",
                "chosen": one is nearest,
            }
            for one in costs.curve
        ],
        "saved": say(
            "verdict.report_saved",
            saved=amount(costs.saved.value),
            from_saved=amount(costs.saved.low),
            to_saved=amount(costs.saved.high),
        ),
    }


def _triple(score: Score) -> tuple[float, float, float]:
    return score.value, score.low, score.high


def _range(score: Score) -> str:
    return f"{wording.share(score.low)} – {wording.share(score.high)}"
