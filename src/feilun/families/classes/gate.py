"""What the gate asks of a classifier beside its scores: that it beats the most frequent label, and
that no label is lost."""

from __future__ import annotations

import math
from typing import Any

from feilun.families.classes.details import ClassScores, Details
from feilun.render.reason import Figure, Reason

__all__ = ["reasons"]

_NAMED = 5
"""Labels that a decision names; the report's table has all of them."""


def reasons(evaluation: Any, details: Details) -> list[Reason]:
    """Of an `Evaluation` and its `details`."""
    return _floor(evaluation, details) + _collapses(evaluation, details)


def _floor(evaluation: Any, details: Details) -> list[Reason]:
    """Always giving the most frequent label costs nothing. A model may be right less often, not
    clearly so, and only where it is clearly better over all labels alike (macro F1)."""
    label, floor = details.floor
    accuracy, f1 = evaluation.metrics.get("accuracy"), evaluation.metrics.get("f1")
    if accuracy is None or accuracy.value > floor:
        return []
    figures: dict[str, Figure] = {
        "name": evaluation.name,
        "label": label,
        "part": floor,
        "value": accuracy.value,
    }
    constant_f1 = 2 * floor / (1 + floor) / max(len(evaluation.labels), 1)
    fairer = f1 is not None and f1.low > constant_f1 and accuracy.high >= floor
    if fairer:
        return [Reason("evaluation.gate_floor_note", figures, "note")]
    if accuracy.value == floor:
        return [Reason("evaluation.gate_floor_same", figures, "note")]
    return [Reason("evaluation.gate_floor", figures, "against")]


def _collapses(evaluation: Any, details: Details) -> list[Reason]:
    """Labels of which not one row is found any more.

    Chance does that too where rows are few: of k rows that another version finds, a version half
    as good misses all with probability 2^-k. So k must be 3 at least, and more with many labels,
    before the loss counts as a collapse; what is less is told, not held against the candidate.
    """
    needed = max(3, math.ceil(math.log2(2 * max(len(evaluation.labels), 1))))
    names = {one.role: one.name for one in evaluation.comparisons}
    lost: list[tuple[int, Reason]] = []
    never: list[ClassScores] = []
    for one in details.classes:
        if one.rows == 0 or one.right > 0:
            continue
        role, found = max(one.found.items(), key=lambda pair: pair[1], default=("", 0))
        if found >= needed and role in names:
            figures: dict[str, Figure] = {
                "label": one.label,
                "rows": one.rows,
                "name": evaluation.name,
                "other": names[role],
                "found": found,
            }
            lost.append((found, Reason("evaluation.gate_collapse", figures, "against")))
        else:
            never.append(one)
    lost.sort(key=lambda pair: -pair[0])
    found_reasons = [reason for _, reason in lost[:_NAMED]]
    if never:
        never.sort(key=lambda one: -one.rows)
        labels = tuple(one.label for one in never[:_NAMED])
        figures = {
            "labels": labels + (("…",) if len(never) > _NAMED else ()),
            "count": len(never),
            "rows": sum(one.rows for one in never),
        }
        found_reasons.append(Reason("evaluation.gate_never_found", figures, "note"))
    return found_reasons
