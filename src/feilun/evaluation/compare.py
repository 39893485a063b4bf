"""A candidate beside another version, row by row on the same rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from feilun.config import EvaluationConfig
from feilun.evaluation.answers import Answers
from feilun.evaluation.consultations import RISK
from feilun.evaluation.result import Comparison, Role
from feilun.metrics.classification import Classified
from feilun.metrics.comparison import gains, judge, scores

__all__ = ["compare"]

_SAME = 1e-4
"""Probabilities that differ by a smaller part of themselves are the same. Not by an amount: sure
versions differ in their smallest probabilities alone."""


def compare(
    role: Role,
    other: Answers,
    truth: np.ndarray,
    new: np.ndarray,
    old: np.ndarray,
    *,
    space: tuple[str, ...],
    labels: tuple[str, ...],
    primary: str,
    settings: EvaluationConfig,
    seed: int,
    limit: float = RISK,
) -> Comparison:
    """`new` and `old` are the candidate's and the other's probabilities over `space`, `truth` its
    indices; `labels` are the candidate's own, to tell which are new. `limit` is the risk that may
    be taken, for the estimate of rows that would settle it."""
    how: dict[str, Any] = {
        "resamples": settings.resamples,
        "confidence": settings.confidence,
        "seed": seed,
    }
    first, second = Classified(truth, new), Classified(truth, old)
    right, was_right = first.right, second.right
    added = tuple(label for label in labels if label not in set(other.labels))
    rows = np.ones(len(truth), dtype=bool)
    if added:
        known = np.isin(truth, [space.index(label) for label in other.labels])
        rows = known if known.any() else rows
    judged = judge(
        first if rows.all() else first.take(rows),
        second if rows.all() else second.take(rows),
        primary,
        margin=settings.margin,
        limit=limit,
        **how,
    )
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
        won=int((right & ~was_right).sum()),
        lost=int((was_right & ~right).sum()),
        new_labels=added,
        same=not added and bool(np.allclose(new, old, rtol=_SAME, atol=0)),
    )
