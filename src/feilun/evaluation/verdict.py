"""The verdict in words: a headline, and a paragraph that a person reads instead of the tables."""

from __future__ import annotations

from feilun.evaluation.gate import Decision
from feilun.evaluation.result import Evaluation
from feilun.messages import Language, language
from feilun.render.wording import fill

__all__ = ["closing", "headline", "opening", "paragraph"]


def headline(evaluation: Evaluation, decision: Decision, lang: Language | None = None) -> str:
    """One line: what the version is worth, and whether it may go live. Judging changes nothing."""
    lang = lang or language()
    live = evaluation.against("live")
    names = {"name": evaluation.name, "other": live.name if live else ""}
    if evaluation.is_live:
        passed = "evaluation.headline_live"
        return fill(passed if decision.promote else "evaluation.headline_live_refused", names, lang)
    if decision.promote and evaluation.answered_here is not None and live is not None:
        return fill("gate.headline_upstream", names, lang)
    if decision.verdict == "cannot_tell" and not decision.promote:
        return fill("evaluation.headline_cannot_tell", names, lang)
    if decision.verdict == "worse" and not decision.promote:
        return fill("evaluation.headline_worse", names, lang)
    if live is not None and live.same and decision.verdict != "cheaper":
        return fill("evaluation.headline_same", names, lang)
    if not decision.promote:
        no_gain = live is not None and not live.gains and decision.verdict == "equal"
        return fill(
            "gate.headline_no_gain" if no_gain else "evaluation.headline_refused", names, lang
        )
    codes = {
        "first": "evaluation.headline_first",
        "better": "evaluation.headline_better",
        "equal": "evaluation.headline_equal",
        "worse": "evaluation.headline_within",
        "not_worse": "gate.headline_gains",
        "cheaper": "gate.headline_cheaper",
        "cannot_tell": "gate.headline_unsure_promoted",
    }
    return fill(codes[decision.verdict], names, lang)


def paragraph(evaluation: Evaluation, decision: Decision, lang: Language | None = None) -> str:
    """The score, the reasons of the decision, where it is weak, and
    whether probabilities can be trusted."""
    lang = lang or language()
    parts = [opening(evaluation, lang), *decision.sentences(lang), closing(evaluation, lang)]
    return _space(lang).join(part for part in parts if part)


def closing(evaluation: Evaluation, lang: Language | None = None) -> str:
    """Where the candidate is weak, and whether its probabilities can be trusted."""
    lang = lang or language()
    sentences = evaluation.family.weakness(evaluation, lang)
    return _space(lang).join(sentences)


def _space(lang: Language) -> str:
    return "" if lang == "zh" else " "


def opening(evaluation: Evaluation, lang: Language | None = None) -> str:
    """The primary metric with its interval."""
    lang = lang or language()
    score = evaluation.score()
    plain = evaluation.primary == "accuracy"
    code = "evaluation.verdict_score" if plain else "evaluation.verdict_score_of"
    figures = {
        "name": evaluation.name,
        "method": evaluation.method_key(evaluation.method),
        "metric": evaluation.primary,
        "value": score.value,
        "least": score.low,
        "most": score.high,
        "rows": evaluation.rows,
        "confidence": evaluation.confidence,
    }
    return fill(code, figures, lang)
