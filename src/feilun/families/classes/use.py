"""Where a classifier's answers are used: the user's target, costs of errors, and what is left to a
person, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from feilun.families.classes.choice import Choice, Condition
from feilun.messages import Language
from feilun.render.wording import amount, fill

__all__ = ["next_step", "worth"]

_AIMS = {
    "missed": "verdict.aim_missed",
    "false_alarms": "verdict.aim_false_alarms",
    "accuracy": "verdict.aim_accuracy",
}
_TARGETS = {
    "met": "verdict.target_met",
    "not_met": "verdict.target_not_met",
    "cannot_tell": "verdict.target_cannot_tell",
}


def worth(name: str, choice: Choice | None, lang: Language) -> tuple[str | None, Sequence[str]]:
    """See `Family.worth`."""
    if choice is None:
        return None, ()
    status = choice.status
    if status is None:
        return None, _chosen(choice, lang)
    aims = ("；" if lang == "zh" else "; ").join(_aim(one, lang) for one in choice.conditions)
    return fill(_TARGETS[status], {"name": name, "aims": aims}, lang), _chosen(choice, lang)


def next_step(name: str, choice: Choice | None, lang: Language) -> str | None:
    """See `Family.next_step`."""
    if choice is None or choice.status not in ("not_met", "cannot_tell"):
        return None
    return _towards(name, choice, lang)


def _aim(one: Condition, lang: Language) -> str:
    figures = {
        "label": one.label,
        "rows": one.rows,
        "value": one.score.value,
        "least": one.score.low,
        "most": one.score.high,
        "limit": one.limit,
    }
    return fill(_AIMS[one.kind], figures, lang)


def _chosen(choice: Choice, lang: Language) -> list[str]:
    said = []
    if choice.rule.abstain_below:
        figures: dict[str, Any] = {
            "abstained": float(choice.abstained.value),
            "right": float(choice.right.value),
            "least": choice.right.low,
            "most": choice.right.high,
        }
        said.append(fill("verdict.leaves", figures, lang))
    if choice.costs:
        costs = choice.costs
        figures = {
            "label": costs.label,
            "threshold": float(costs.threshold),
            "cost": amount(costs.per_1000.value),
            "from_cost": amount(costs.per_1000.low),
            "to_cost": amount(costs.per_1000.high),
            "plain_cost": amount(costs.plain.value),
        }
        said.append(fill("verdict.errors_cost", figures, lang))
    return said


def _towards(name: str, choice: Choice, lang: Language) -> str:
    """What brings the first unmet line of the target nearer."""
    order = {"not_met": 0, "cannot_tell": 1, "met": 2}
    one = min(choice.conditions, key=lambda each: order[each.status])
    if choice.rule.abstain_below and choice.abstained.value == 1:
        return fill("verdict.next_answers", {"name": name}, lang)
    if one.status == "cannot_tell":
        if one.more_rows is None:
            return fill("verdict.next_at_limit", {}, lang)
        codes = {
            "missed": "verdict.next_label",
            "false_alarms": "verdict.next_others",
            "accuracy": "verdict.next_rows",
        }
        return fill(codes[one.kind], {"rows": one.more_rows, "label": one.label}, lang)
    if one.kind == "missed" and choice.wanted and choice.wanted > 1.5:
        figures = {
            "label": one.label,
            "ratio": f"{float(f'{choice.wanted:.2g}'):g}",
            "name": name,
        }
        return fill("verdict.next_costs", figures, lang)
    reached = [point for point in choice.curve if point.accuracy.value >= one.limit]
    if one.kind == "accuracy" and reached and not choice.rule.abstain_below:
        part: dict[str, Any] = {
            "part": float(1 - reached[0].share),
            "wanted": f"{one.limit:g}",
            "name": name,
        }
        return fill("verdict.next_abstain", part, lang)
    return fill("verdict.next_review", {}, lang)
