"""Ridge regression on fixed features, its strength chosen on rows that it did not see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from feilun.training.logistic import Fitted, Matrix
from feilun.training.out_of_fold import FOLDS, deal

__all__ = ["STRENGTHS", "fit"]

STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)
"""The inverse regularisations tried."""


def fit(
    rows: Matrix,
    truth: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    strengths: Sequence[float] = STRENGTHS,
    seed: int = 0,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> Fitted:
    """Fits `truth` (n,) on `rows` (n, columns). The strength with the smallest squared error over
    three folds wins; the validation rows stay unseen. Rows of one of the `groups` (n,) stand in one
    fold. `tick` hears of each finished fit."""
    centre, spread = float(truth.mean()), float(truth.std()) or 1.0
    target = (truth - centre) / spread
    folds = deal(target, groups, seed=seed)
    total = len(strengths) * FOLDS + 1 if len(strengths) > 1 and len(target) > FOLDS * 3 else 1
    best, loss, done = strengths[len(strengths) // 2], float("nan"), 0
    raw = None
    if total > 1:
        losses = []
        given = np.zeros((len(strengths), len(target)))
        for place, strength in enumerate(strengths):
            errors = []
            for fold in range(FOLDS):
                learn, judge = folds != fold, folds == fold
                model = _solve(rows[learn], target[learn], strength)
                given[place, judge] = model.predict(rows[judge])
                errors.append(((given[place, judge] - target[judge]) ** 2).mean())
                done += 1
                tick(done, total)
            losses.append(float(np.mean(errors)))
        best, loss = strengths[int(np.argmin(losses))], min(losses)
        raw = given[int(np.argmin(losses))][:, None] * spread + centre
    model = _solve(rows, target, best)
    tick(total, total)
    coef = (np.asarray(model.coef_, np.float64).reshape(1, -1) * spread).astype(np.float32)
    intercept = np.array([float(model.intercept_) * spread + centre], np.float32)
    return Fitted(coef, intercept, best, loss, raw=raw)


def _solve(rows: Matrix, target: np.ndarray, strength: float) -> Any:
    from sklearn.linear_model import Ridge

    solver = "auto" if isinstance(rows, np.ndarray) else "sparse_cg"
    return Ridge(alpha=1 / strength, solver=solver).fit(rows, target)
