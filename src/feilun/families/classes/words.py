"""Where a classifier is weak, and whether its probabilities can be trusted, in words."""

from __future__ import annotations

from typing import Any

from feilun.families.classes.details import ClassScores, Details
from feilun.messages import Language
from feilun.render.wording import fill

__all__ = ["weakness"]

_TRUSTED = 0.05
"""Mean gap between stated probability and truth up to which probabilities are called good."""


def weakness(evaluation: Any, details: Details, lang: Language) -> list[str]:
    """Sentences on an `Evaluation` and its `details`."""
    sentences = _weakest_and_confused(evaluation, details, lang)
    error = details.calibration.error_after
    if error is not None:
        code = "evaluation.verdict_calibrated"
        if error.value > _TRUSTED:
            chance = error.low <= _TRUSTED
            code = "evaluation.verdict_unproven" if chance else "evaluation.verdict_uncalibrated"
        sentences.append(fill(code, {"after": float(error.value)}, lang))
    return sentences


def _weakest_and_confused(evaluation: Any, details: Details, lang: Language) -> list[str]:
    if not evaluation.missed:
        return [fill("evaluation.verdict_perfect", {}, lang)]
    sentences = []
    weakest = _weakest(details)
    if weakest is not None and len(evaluation.labels) > 1:
        figures = {
            "label": weakest.label,
            "part": weakest.right / weakest.rows,
            "rows": weakest.rows,
        }
        sentences.append(fill("evaluation.verdict_weakest", figures, lang))
    wrong = [cell for cell in details.confusion.cells if cell[0] != cell[1]]
    if wrong and len(evaluation.labels) > 2:
        truth, answer, count = max(wrong, key=lambda cell: cell[2])
        labels = details.confusion.labels
        figures = {"truth": labels[truth], "answer": labels[answer], "count": count}
        sentences.append(fill("evaluation.verdict_confusion", figures, lang))
    return sentences


def _weakest(details: Details) -> ClassScores | None:
    """The label with the lowest recall among those with enough rows to say so: five at least."""
    counted = [one for one in details.classes if one.rows >= 5]
    return min(counted, key=lambda one: one.right / one.rows, default=None)
