"""A candidate beside another version, row by row on the same rows."""

from __future__ import annotations

from typing import Any

from feilun.config import EvaluationConfig
from feilun.evaluation.expectation import expected, prior, settling
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
    attempts: int = 1,
    grown: float = 1.0,
) -> Comparison:
    """`sheet` has the candidate's and the other's answers, the latter under `role`. `attempts` were
    made against it on these rows, this one counted; `grown` is by how many times its training rows
    have become more."""
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
        **how,
    )
    won, lost = sheet.better(role)
    metrics = scores(second, **how)
    level = metrics[primary]
    before = prior(0.0 if level is None else level.value, first.higher_is_better[primary], grown)
    half = (judged.gain.high - judged.gain.low) / 2
    count = int(rows.sum())
    return Comparison(
        role=role,
        name=other.name,
        method=other.method,
        rows=count,
        metrics=metrics,
        gain=gains(first, second, **how),
        known=judged.gain,
        risk=judged.risk,
        more_rows=settling(judged.gain.value, half, settings.margin, count),
        won=int(won.sum()),
        lost=int(lost.sum()),
        new_labels=added,
        same=sheet.same(role),
        error=judged.error,
        expected=expected(judged.gain.value, judged.error, before, attempts),
        grown=grown,
    )
