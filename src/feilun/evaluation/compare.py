"""A candidate beside another version, row by row on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from feilun.config import EvaluationConfig
from feilun.evaluation.expectation import beyond, expected, prior, settling, together
from feilun.evaluation.result import Comparison, Role
from feilun.families.base import Answers, Sheet
from feilun.metrics.comparison import Judged, gains, judge, scores
from feilun.metrics.measured import Measured
from feilun.metrics.scores import Score

__all__ = ["Folded", "compare"]

_LEAST = 20
"""Rows drawn from what customers ask now below which they are not looked at by themselves."""


@dataclass(frozen=True, slots=True, eq=False)
class Folded:
    """Two versions' answers to training rows, each by a model of its recipe that had not seen the
    row, and the `truth` of these rows; all have a target."""

    candidate: Answers
    other: Answers
    truth: np.ndarray


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
    folds: Sheet | None = None,
    drawn: np.ndarray | None = None,
) -> Comparison:
    """`sheet` has the candidate's and the other's answers, the latter under `role`; `folds` the
    same for training rows that both answered out of fold. `drawn` marks the rows that were drawn
    from what customers ask now. `attempts` were made against it on these
    rows, this one counted; `grown` is by how many times its training rows have become more."""
    how: dict[str, Any] = {
        "resamples": settings.resamples,
        "confidence": settings.confidence,
        "seed": seed,
    }
    first, second = sheet.measured, sheet.others[role]
    added, rows = sheet.comparable(role)
    tested = _judged(first, second, rows, primary, settings.margin, how)
    parts: list[Judged] = [tested]
    more: dict[str, Any] = {}
    if drawn is not None and min((rows & drawn).sum(), (rows & ~drawn).sum()) >= _LEAST:
        parts = [
            _judged(first, second, part, primary, settings.margin, how)
            for part in (rows & drawn, rows & ~drawn)
        ]
        more = {"drawn": parts[0].gain, "drawn_rows": int((rows & drawn).sum())}
    if folds is not None:
        shared = folds.comparable(role)[1]
        its = folds.measured, folds.others[role]
        parts.append(_judged(*its, shared, primary, settings.margin, how))
        more |= {"folds": parts[-1].gain, "fold_rows": int(shared.sum())}
    judged = tested if len(parts) == 1 else _together(parts, settings)
    if more:
        more["weighed"] = judged.gain
    won, lost = sheet.better(role)
    metrics = scores(second, **how)
    level = metrics[primary]
    value, higher = 0.0 if level is None else level.value, first.higher_is_better[primary]
    before = prior(value, higher, grown)
    half = (judged.gain.high - judged.gain.low) / 2
    count = int(rows.sum())
    lost_beyond = beyond(
        judged.gain.value,
        judged.error,
        settings.margin,
        count + int(more.get("fold_rows", 0)),
        level=1.0 if higher else abs(value),
        attempts=attempts,
    )
    return Comparison(
        role=role,
        name=other.name,
        method=other.method,
        rows=count,
        metrics=metrics,
        gain=gains(first, second, **how),
        known=tested.gain,
        risk=judged.risk,
        more_rows=settling(judged.gain.value, half, settings.margin, count),
        won=int(won.sum()),
        lost=int(lost.sum()),
        new_labels=added,
        same=sheet.same(role),
        error=judged.error,
        expected=expected(judged.gain.value, judged.error, before, attempts),
        grown=grown,
        beyond=max(judged.risk, lost_beyond),
        **more,
    )


def _judged(
    first: Measured,
    second: Measured,
    rows: np.ndarray,
    primary: str,
    margin: float,
    how: dict[str, Any],
) -> Judged:
    """The gain over the marked `rows`."""
    if not rows.all():
        first, second = first.take(rows), second.take(rows)
    return judge(first, second, primary, margin=margin, **how)


def _together(parts: Sequence[Judged], settings: EvaluationConfig) -> Judged:
    """What all parts say together of the rows of the first."""
    gain, error = together(*((one.gain.value, one.error) for one in parts))
    half = NormalDist().inv_cdf((1 + settings.confidence) / 2) * error
    risk = NormalDist(gain, error).cdf(-settings.margin)
    return Judged(Score(gain, gain - half, gain + half), error, risk)
