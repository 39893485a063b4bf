"""The verdict in words: a headline, and a paragraph that a person reads instead of the tables."""

from __future__ import annotations

from feilun.evaluation.gate import Decision
from feilun.evaluation.result import ClassScores, Evaluation
from feilun.evaluation.wording import fill
from feilun.messages import Language, language

__all__ = ["closing", "headline", "opening", "paragraph"]

_TRUSTED = 0.05
"""Mean gap between stated probability and truth up to which probabilities are called good."""


def headline(evaluation: Evaluation, decision: Decision, lang: Language | None = None) -> str:
    """One line: what the version is worth, and whether it may go live. Judging changes nothing."""
    lang = lang or language()
    live = evaluation.against("live")
    names = {"name": evaluation.name, "other": live.name if live else ""}
    if evaluation.is_live:
        passed = "evaluation.headline_live"
        return fill(passed if decision.promote else "evaluation.headline_live_refused", names, lang)
    if decision.verdict == "cannot_tell" and not decision.promote:
        return fill("evaluation.headline_cannot_tell", names, lang)
    if decision.verdict == "worse" and not decision.promote:
        return fill("evaluation.headline_worse", names, lang)
    if live is not None and live.same:
        return fill("evaluation.headline_same", names, lang)
    if not decision.promote:
        return fill("evaluation.headline_refused", names, lang)
    codes = {
        "first": "evaluation.headline_first",
        "better": "evaluation.headline_better",
        "equal": "evaluation.headline_equal",
        "worse": "evaluation.headline_within",
        "not_worse": "evaluation.headline_safe",
        "cannot_tell": "gate.headline_unsure_promoted",
    }
    return fill(codes[decision.verdict], names, lang)


def paragraph(evaluation: Evaluation, decision: Decision, lang: Language | None = None) -> str:
    """The score, the reasons of the decision, the weakest label, the commonest confusion, and
    whether probabilities can be trusted."""
    lang = lang or language()
    parts = [opening(evaluation, lang), *decision.sentences(lang), closing(evaluation, lang)]
    return _space(lang).join(part for part in parts if part)


def closing(evaluation: Evaluation, lang: Language | None = None) -> str:
    """Where the candidate is weak, and whether its probabilities can be trusted."""
    lang = lang or language()
    sentences = _weakness(evaluation, lang)
    error = evaluation.calibration.error_after
    if error is not None:
        code = "evaluation.verdict_calibrated"
        if error.value > _TRUSTED:
            chance = error.low <= _TRUSTED
            code = "evaluation.verdict_unproven" if chance else "evaluation.verdict_uncalibrated"
        sentences.append(fill(code, {"after": float(error.value)}, lang))
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
        "method": evaluation.method,
        "metric": evaluation.primary,
        "value": score.value,
        "least": score.low,
        "most": score.high,
        "rows": evaluation.rows,
        "confidence": evaluation.confidence,
    }
    return fill(code, figures, lang)


def _weakness(evaluation: Evaluation, lang: Language) -> list[str]:
    if not evaluation.missed:
        return [fill("evaluation.verdict_perfect", {}, lang)]
    sentences = []
    weakest = _weakest(evaluation)
    if weakest is not None and len(evaluation.labels) > 1:
        figures = {
            "label": weakest.label,
            "part": weakest.right / weakest.rows,
            "rows": weakest.rows,
        }
        sentences.append(fill("evaluation.verdict_weakest", figures, lang))
    wrong = [cell for cell in evaluation.confusion.cells if cell[0] != cell[1]]
    if wrong and len(evaluation.labels) > 2:
        truth, answer, count = max(wrong, key=lambda cell: cell[2])
        labels = evaluation.confusion.labels
        figures = {"truth": labels[truth], "answer": labels[answer], "count": count}
        sentences.append(fill("evaluation.verdict_confusion", figures, lang))
    return sentences


def _weakest(evaluation: Evaluation) -> ClassScores | None:
    """The label with the lowest recall among those with enough rows to say so: five at least."""
    counted = [one for one in evaluation.classes if one.rows >= 5]
    return min(counted, key=lambda one: one.right / one.rows, default=None)
