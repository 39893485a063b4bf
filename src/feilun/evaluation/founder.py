"""The verdict for who decides without statistics, in one paragraph: good enough for what, compared
with what, how sure, at what cost, and one command to go on with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from feilun.evaluation.choice import Choice, Condition
from feilun.evaluation.gate import Decision
from feilun.evaluation.result import Evaluation
from feilun.evaluation.wording import fill
from feilun.messages import Language, language

__all__ = ["Money", "amount", "founder", "going_on", "worth"]

_CENT = 0.01
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


@dataclass(frozen=True, slots=True)
class Money:
    """What 1,000 answers cost of the machine, and what they are sold for."""

    cost_per_1000: float
    price_per_1000: float
    currency: str


def founder(
    evaluation: Evaluation,
    decision: Decision,
    money: Money | None = None,
    lang: Language | None = None,
) -> str:
    """The paragraph, `going_on` at its end."""
    lang = lang or language()
    said = worth(evaluation, decision, money, lang)
    return said + ("" if lang == "zh" else " ") + going_on(evaluation, decision, lang)


def worth(
    evaluation: Evaluation,
    decision: Decision,
    money: Money | None = None,
    lang: Language | None = None,
) -> str:
    """Good enough for what, compared with what, how sure, at what cost."""
    lang = lang or language()
    choice = evaluation.choice
    parts = [
        _target(evaluation, choice, lang),
        _beside(evaluation, decision, lang),
        *(_chosen(choice, lang) if choice else []),
        _money(money, lang),
    ]
    return ("" if lang == "zh" else " ").join(part for part in parts if part)


def _target(evaluation: Evaluation, choice: Choice | None, lang: Language) -> str:
    status = choice.status if choice else None
    if choice is None or status is None:
        score, plain = evaluation.score(), evaluation.primary == "accuracy"
        figures = {
            "name": evaluation.name,
            "metric": evaluation.primary,
            "value": score.value,
            "least": score.low,
            "most": score.high,
            "rows": evaluation.rows,
        }
        return fill("verdict.no_target" if plain else "verdict.no_target_of", figures, lang)
    aims = ("；" if lang == "zh" else "; ").join(_aim(one, lang) for one in choice.conditions)
    return fill(_TARGETS[status], {"name": evaluation.name, "aims": aims}, lang)


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


def _beside(evaluation: Evaluation, decision: Decision, lang: Language) -> str:
    live = evaluation.against("live")
    if live is None:
        code = "verdict.beside_itself" if evaluation.is_live else "verdict.beside_nothing"
        return fill(code, {}, lang)
    codes = {
        "better": "verdict.beside_better",
        "equal": "verdict.beside_equal",
        "worse": "verdict.beside_worse",
    }
    figures: Mapping[str, Any] = {
        "metric": evaluation.primary,
        "other": live.name,
        "gain": live.known.value,
        "low": live.known.low,
        "high": live.known.high,
    }
    return fill(codes.get(decision.verdict, "verdict.beside_unsure"), figures, lang)


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


def _money(money: Money | None, lang: Language) -> str:
    if money is None:
        return ""
    figures = {
        "cost": amount(max(money.cost_per_1000, _CENT)),
        "price": amount(money.price_per_1000),
        "currency": money.currency,
    }
    sold = money.price_per_1000 > 0
    if money.cost_per_1000 < _CENT:
        return fill("verdict.money_little_price" if sold else "verdict.money_little", figures, lang)
    return fill("verdict.money_price" if sold else "verdict.money", figures, lang)


def going_on(evaluation: Evaluation, decision: Decision, lang: Language | None = None) -> str:
    """The most useful command now: towards the target, then live, then more labels."""
    lang, choice = lang or language(), evaluation.choice
    name = {"name": evaluation.name}
    if choice is not None and choice.status in ("not_met", "cannot_tell"):
        return _towards(evaluation, choice, lang)
    if evaluation.is_live:
        return fill("verdict.next_nothing", {}, lang)
    if decision.promote:
        code = "verdict.next_goes_live" if decision.acts else "verdict.next_deploy"
        return fill(code, name, lang)
    if decision.more_rows:
        return fill("verdict.next_rows", {"rows": decision.more_rows}, lang)
    return fill("verdict.next_review", {}, lang)


def _towards(evaluation: Evaluation, choice: Choice, lang: Language) -> str:
    """What brings the first unmet line of the target nearer."""
    order = {"not_met": 0, "cannot_tell": 1, "met": 2}
    one = min(choice.conditions, key=lambda each: order[each.status])
    if choice.rule.abstain_below and choice.abstained.value == 1:
        return fill("verdict.next_answers", {"name": evaluation.name}, lang)
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
            "name": evaluation.name,
        }
        return fill("verdict.next_costs", figures, lang)
    reached = [point for point in choice.curve if point.accuracy.value >= one.limit]
    if one.kind == "accuracy" and reached and not choice.rule.abstain_below:
        part: dict[str, Any] = {
            "part": float(1 - reached[0].share),
            "wanted": f"{one.limit:g}",
            "name": evaluation.name,
        }
        return fill("verdict.next_abstain", part, lang)
    return fill("verdict.next_review", {}, lang)


def amount(value: float) -> str:
    """Two digits that count: ``340``, ``1.2``, ``0.0031``; below zero with a minus sign."""
    if value < 0:
        return f"−{amount(-value)}"
    if value == 0:
        return "0"
    if value >= 100:
        return f"{float(f'{value:.3g}'):,.0f}"
    text = f"{value:.2g}"
    return f"{float(text):.6f}".rstrip("0").rstrip(".") if "e" in text else text
