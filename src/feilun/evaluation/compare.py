"""A candidate beside another version, row by row on the same rows."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np

from feilun.config import EvaluationConfig
from feilun.evaluation.answers import Answers
from feilun.evaluation.consultations import RISK
from feilun.evaluation.result import Comparison, Role
from feilun.metrics.classification import gain_draws, gains, scores
from feilun.metrics.intervals import paired_difference, paired_risk, rows_to_tell
from feilun.metrics.paired import bootstrap_risk
from feilun.metrics.scores import Score

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
    right, was_right = new.argmax(axis=1) == truth, old.argmax(axis=1) == truth
    gain = gains(truth, new, old, **how)
    # The paired interval holds for few rows too, and does not shrink to nothing when none differs.
    gain["accuracy"] = paired_difference(right, was_right, confidence=settings.confidence)
    added = tuple(label for label in labels if label not in set(other.labels))
    rows = np.ones(len(truth), dtype=bool)
    if added:
        known = np.isin(truth, [space.index(label) for label in other.labels])
        rows = known if known.any() else rows
    judged, risk, more = _judge(truth, new, old, rows, gain, primary, settings, how, limit)
    return Comparison(
        role=role,
        name=other.name,
        method=other.method,
        rows=int(rows.sum()),
        metrics=scores(truth, old, **how),
        gain=gain,
        known=judged,
        risk=risk,
        more_rows=more,
        won=int((right & ~was_right).sum()),
        lost=int((was_right & ~right).sum()),
        new_labels=added,
        same=not added and bool(np.allclose(new, old, rtol=_SAME, atol=0)),
    )


def _judge(
    truth: np.ndarray,
    new: np.ndarray,
    old: np.ndarray,
    rows: np.ndarray,
    gain: dict[str, Score],
    primary: str,
    settings: EvaluationConfig,
    how: dict[str, Any],
    limit: float,
) -> tuple[Score, float, int | None]:
    """The gain that the gate looks at, the risk of a loss beyond the margin, and how many more
    rows would settle it: first whether the risk keeps the candidate out, then with confidence."""
    truth, new, old = truth[rows], new[rows], old[rows]
    margin, confidence = settings.margin, settings.confidence
    if primary == "accuracy":
        right, was_right = new.argmax(axis=1) == truth, old.argmax(axis=1) == truth
        more = rows_to_tell(right, was_right, margin, 1 - 2 * limit)
        if more == 0:
            more = rows_to_tell(right, was_right, margin, confidence)
        known = paired_difference(right, was_right, confidence=confidence)
        return known, paired_risk(right, was_right, margin), more
    known = gain[primary] if rows.all() else gains(truth, new, old, **how)[primary]
    resampling = {"resamples": how["resamples"], "seed": how["seed"]}
    risk = bootstrap_risk(gain_draws(truth, new, old, primary, **resampling), margin)
    normal = NormalDist()
    error = max((known.high - known.low) / 2 / normal.inv_cdf((1 + confidence) / 2), 1e-9)
    distance = abs(known.value + margin)
    if not distance:
        return known, risk, None
    settled = limit if limit < risk < 1 - limit else (1 - confidence) / 2
    needed = (normal.inv_cdf(1 - settled) * error / distance) ** 2
    return known, risk, max(0, round(len(truth) * (needed - 1)))
