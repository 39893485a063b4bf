"""A candidate beside another version, row by row on the same rows."""

from __future__ import annotations

from typing import Any

from feilun.config import EvaluationConfig
from feilun.evaluation.consultations import RISK
from feilun.evaluation.result import Comparison, Role
from feilun.families.base import Answers, Sheet
from feilun.metrics.comparison import gains, judge, scores

__all__ = ["compare"]


def compare(
    role: Role,
    other: Answers,
    sheet: Sheet,
    *,
    primary: str,
    settings: EvaluationConfig,
    seed: int,
    limit: float = RISK,
) -> Comparison:
    """`sheet` has the candidate's and the other's answers, the latter under `role`. `limit` is the
    risk that may be taken, for the estimate of rows that would settle it."""
    how: dict[str, Any] = {
        "resamples": settings.resamples,
        "confidence": settings.confidence,
        "seed": seed,
    }
    first, second = sheet.measured, sheet.others[role]
    added, rows = sheet.comparable(role)
    judged = judge(
        first if rows.all() else first.take(rows),
        second if rows.all() else second.take(rows),
        primary,
        margin=settings.margin,
        limit=limit,
        **how,
    )
    won, lost = sheet.better(role)
    return Comparison(
        role=role,
        name=other.name,
        method=other.method,
        rows=int(rows.sum()),
        metrics=scores(second, **how),
        gain=gains(first, second, **how),
        known=judged.gain,
        risk=judged.risk,
        more_rows=judged.more_rows,
        won=int(won.sum()),
        lost=int(lost.sum()),
        new_labels=added,
        same=sheet.same(role),
    )
