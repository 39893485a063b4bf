"""Logistic regression of each tag against its absence, all tags at once, on fixed features.

The tags share features and strength, so that one product of matrices serves them all: for fifty
tags that is ten times faster than fifty fits, and the minimum is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from feilun.training.logistic import Fitted, Matrix
from feilun.training.out_of_fold import FOLDS, deal

__all__ = ["STRENGTHS", "fit"]

STRENGTHS = (3.0, 10.0, 30.0, 100.0)
"""The inverse regularisations tried: a tag against its absence wants less of it than labels against
each other."""

_ONE_STRENGTH = 40_000_000  # non-zeros times tags beyond which one strength is tried, not four
_STEPS = 200
_ROUGH, _FINE = 1e-4, 1e-5
"""Where the solver stops, as a part of the loss: while strengths are compared, and at the end. On
Chinese news 1e-7 took three times the steps and was no better on unseen rows."""


def fit(
    rows: Matrix,
    marks: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    strengths: Sequence[float] = STRENGTHS,
    seed: int = 0,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> Fitted:
    """Fits `marks` (n, tags), above 0 where a row has the tag, on `rows` (n, columns).

    The strength with the smallest log-loss over three folds wins; the validation rows stay unseen.
    Rows of one of the `groups` (n,) stand in one fold.
    A tag that no row has gets the log-odds of one row in twice as many. `tick` hears of each
    finished fit.
    """
    marked = (np.asarray(marks) > 0).astype(np.float32)
    work = int(getattr(rows, "nnz", rows.size)) * marked.shape[1]
    if len(strengths) == 1 or work > _ONE_STRENGTH or len(marked) < 3 * FOLDS:
        strength = strengths[(len(strengths) - 1) // 2]
        weights = _solve(rows, marked, strength, _FINE)
        tick(1, 1)
        return _fitted(weights, strength, float("nan"))
    folds = deal(marked, groups, seed=seed)
    losses = np.zeros(len(strengths))
    raw = np.zeros((len(strengths), *marked.shape), np.float32)
    total, done = FOLDS * len(strengths) + 1, 0
    for fold in range(FOLDS):
        learn, unseen = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        part, judge = rows[learn], rows[unseen]
        start: np.ndarray | None = None
        for place, strength in enumerate(strengths):
            # From weak to strong, each from where the last one ended: half the steps.
            start = _solve(part, marked[learn], strength, _ROUGH, start)
            losses[place] += _loss(judge, marked[unseen], start) / FOLDS
            raw[place, unseen] = np.asarray(judge @ start[:-1].astype(np.float32)) + start[-1]
            done += 1
            tick(done, total)
    best = int(np.argmin(losses))
    weights = _solve(rows, marked, strengths[best], _FINE)
    tick(total, total)
    return replace(_fitted(weights, strengths[best], float(losses[best])), raw=raw[best])


def _fitted(weights: np.ndarray, strength: float, loss: float) -> Fitted:
    coef = np.ascontiguousarray(weights[:-1].T, dtype=np.float32)
    return Fitted(coef, weights[-1].astype(np.float32), strength, loss)


def _solve(
    rows: Matrix,
    marked: np.ndarray,
    strength: float,
    tolerance: float,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Weights (columns + 1, tags), the last row the intercepts, which are not regularised: where
    `strength` times the log-losses plus half the squared weights are least (as scikit-learn's
    ``C``)."""
    from scipy.optimize import minimize
    from threadpoolctl import get_cached_controller

    count, tags = rows.shape[1], marked.shape[1]
    turned = rows.T.tocsr() if hasattr(rows, "tocsr") else np.ascontiguousarray(rows.T)
    if weights is None:
        share = (marked.sum(axis=0) + 0.5) / (len(marked) + 1)
        weights = np.zeros((count + 1, tags), np.float32)
        weights[-1] = np.log(share / (1 - share))

    def step(flat: np.ndarray) -> tuple[float, np.ndarray]:
        given = flat.reshape(count + 1, tags).astype(np.float32)
        logits = np.asarray(rows @ given[:-1]) + given[-1]
        # log(1 + e^x) - y x, without overflow.
        loss = np.logaddexp(0, logits).sum(dtype=np.float64) - (logits * marked).sum(
            dtype=np.float64
        )
        error = 1 / (1 + np.exp(-np.clip(logits, -60, 60))) - marked
        slope = np.empty_like(given)
        slope[:-1] = given[:-1] / strength + turned @ error
        slope[-1] = error.sum(axis=0)
        size = float((given[:-1].astype(np.float64) ** 2).sum()) / 2 / strength
        return (loss + size) / len(marked), (slope / len(marked)).ravel().astype(np.float64)

    options = {"maxiter": _STEPS, "gtol": 0.0, "ftol": tolerance}
    with get_cached_controller().limit(limits=1):  # see `logistic`
        found = minimize(step, weights.ravel(), jac=True, method="L-BFGS-B", options=options)
    solved: np.ndarray = found.x.reshape(count + 1, tags)
    return solved


def _loss(rows: Matrix, marked: np.ndarray, weights: np.ndarray) -> float:
    """The mean log-loss of a decision."""
    logits = np.asarray(rows @ weights[:-1].astype(np.float32)) + weights[-1]
    return float((np.logaddexp(0, logits) - logits * marked).mean())
