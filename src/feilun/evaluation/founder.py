"""The verdict for who decides without statistics, in one paragraph: good enough for what, compared
with what, how sure, at what cost, and one command to go on with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from feilun.evaluation.gate import Decision
from feilun.evaluation.result import Evaluation
from feilun.messages import Language, language
from feilun.render.wording import amount, fill

__all__ = ["Money", "founder", "going_on", "worth"]

_CENT = 0.01


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
    target, used = evaluation.family.worth(evaluation, lang)
    parts = [
        target or _scored(evaluation, lang),
        _beside(evaluation, decision, lang),
        *used,
        _money(money, lang),
    ]
    return ("" if lang == "zh" else " ").join(part for part in parts if part)


def _scored(evaluation: Evaluation, lang: Language) -> str:
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


def _beside(evaluation: Evaluation, decision: Decision, lang: Language) -> str:
    live = evaluation.against("live")
    if live is None:
        code = "verdict.beside_itself" if evaluation.is_live else "verdict.beside_nothing"
        return fill(code, {}, lang)
    codes = {
        "better": "verdict.beside_better",
        "equal": "verdict.beside_equal",
        "worse": "verdict.beside_worse",
        "not_worse": "verdict.beside_gains",
        "cheaper": "verdict.beside_cheaper",
    }
    figures: Mapping[str, Any] = {
        "metric": evaluation.primary,
        "other": live.name,
        "gain": live.evidence.value,
        "low": live.evidence.low,
        "high": live.evidence.high,
        "part": evaluation.saving.share if evaluation.saving else 0.0,
    }
    return fill(codes.get(decision.verdict, "verdict.beside_unsure"), figures, lang)


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
    lang = lang or language()
    name = {"name": evaluation.name}
    towards = evaluation.family.next_step(evaluation, lang)
    if towards is not None:
        return towards
    if evaluation.is_live:
        return fill("verdict.next_nothing", {}, lang)
    if decision.promote:
        code = "verdict.next_goes_live" if decision.acts else "verdict.next_deploy"
        return fill(code, name, lang)
    if decision.more_rows:
        return fill("verdict.next_rows", {"rows": decision.more_rows}, lang)
    return fill("verdict.next_review", {}, lang)
