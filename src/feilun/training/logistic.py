"""Logistic regression on fixed features, its strength chosen on rows that it did not see.

What the linear and the head method share. scikit-learn is imported inside: it takes a second.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from feilun.training.out_of_fold import FOLDS, deal

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["STRENGTHS", "Fitted", "Hold", "Matrix", "fit"]

Matrix: TypeAlias = "csr_matrix | np.ndarray"
"""Features (rows, columns), float32."""

STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0)
"""The inverse regularisations tried: five that span what text and embeddings want."""

_ONE_STRENGTH = 200_000_000  # non-zeros times labels beyond which one strength is tried, not five
_ABSENT = 10.0  # logits by which a label without a row stays behind the rarest label
_TOLERANCE = 1e-4
"""Where the solver stops. In rows of length one gradients are small: at 1e-3 it stopped after five
steps on Chinese reviews, 1 to 2 points below what the same strength gives at 1e-4 (and at 1e-6)."""

Hold: TypeAlias = "tuple[Matrix, np.ndarray]"
"""Features and labels of the validation rows."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """`coef` (labels, columns) and `intercept` (labels,), float32, for every label of the schema;
    the `strength` chosen and its log-`loss` on unseen rows (NaN where nothing was compared).
    `losses` and `right` are those of each of these rows, in their order. `raw` are the outputs
    (n, labels) of the rows that were fitted, each by a model of its folds that did not see it; None
    where there were no folds."""

    coef: np.ndarray
    intercept: np.ndarray
    strength: float
    loss: float
    losses: np.ndarray | None = None
    right: np.ndarray | None = None
    raw: np.ndarray | None = None


def fit(
    rows: Matrix,
    labels: np.ndarray,
    count: int,
    hold: Hold,
    *,
    weights: np.ndarray | None = None,
    strengths: Sequence[float] = STRENGTHS,
    origins: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    seed: int = 0,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> Fitted:
    """Fits `labels` (positions below `count`) on `rows` (n, columns).

    The strength with the smallest log-loss wins, over three folds of `rows`: the validation rows
    stay unseen, so that they can compare stages without favour. They choose only where there are
    any and a label has too few groups to stand in every fold. `weights` are those of the labels.
    `origins` names for each row the one that it is a copy of, itself for an original, and originals
    stand first: copies learn in the folds of their originals and judge nothing. Rows of one of the
    `groups` (n,) stand in one fold. `tick` hears of each finished fit.
    """
    present = np.unique(labels)
    sample = None if weights is None else weights[labels]
    work = int(getattr(rows, "nnz", rows.size)) * len(present)
    if work > _ONE_STRENGTH or len(strengths) == 1:
        strength = strengths[len(strengths) // 2]
        model = _solve(rows, labels, strength, sample)
        tick(1, 1)
        return _widened(model, present, count, strength, float("nan"))
    folds = _folds(labels, origins, groups, bool(len(hold[1])), seed)
    judges = sum(len(hold[1]) if unseen is None else len(unseen) for _, unseen in folds)
    losses, right = np.zeros((len(strengths), judges)), np.zeros((len(strengths), judges), bool)
    raw = np.zeros((len(strengths), judges, count), np.float32)
    folded = folds[0][1] is not None
    total = len(folds) * len(strengths) + 1
    done = 0
    for train, unseen in folds:
        part, seen = (
            (rows, hold) if train is None else (rows[train], (rows[unseen], labels[unseen]))
        )
        truth = labels if train is None else labels[train]
        weight = sample if sample is None or train is None else sample[train]
        model = None
        for place, strength in enumerate(strengths):
            # From weak to strong, each from where the last one ended: half the steps.
            model = _solve(part, truth, strength, weight, model)
            where = slice(None) if unseen is None else unseen
            losses[place, where], right[place, where] = _judged(model, seen)
            if folded:
                raw[place, where] = _outputs(model, seen[0], count)
            done += 1
            tick(done, total)
    means = losses.mean(axis=1) if judges else np.zeros(len(strengths))
    best = int(np.argmin(means))
    model = _solve(rows, labels, strengths[best], sample)
    tick(total, total)
    fitted = _widened(model, present, count, strengths[best], float(means[best]))
    own = raw[best] if folded else None
    return replace(fitted, losses=losses[best], right=right[best], raw=own)


def _folds(
    labels: np.ndarray,
    origins: np.ndarray | None,
    groups: np.ndarray | None,
    held: bool,
    seed: int,
) -> list[tuple[np.ndarray | None, np.ndarray | None]]:
    """Which rows train and which judge; (None, None) stands for all rows and those held out."""
    every = np.arange(len(labels))
    origins = every if origins is None else origins
    own = origins == every
    labels, groups = labels[own], (every if groups is None else groups)[own]
    pairs = np.unique(np.stack([labels, groups]), axis=1)[0]
    rare = np.unique(pairs, return_counts=True)[1].min() < FOLDS
    if held and rare:
        return [(None, None)]
    fold = deal(labels, groups, seed=seed)
    if not rare and len(np.unique(groups)) == len(groups):
        # Rows that stand alone are divided as they always were: the same rows give the same model.
        from sklearn.model_selection import StratifiedKFold

        apart = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
        for number, (_, unseen) in enumerate(apart.split(labels, labels)):
            fold[unseen] = number
    parts = [np.flatnonzero(fold == number) for number in range(FOLDS)]
    return [(np.flatnonzero(~np.isin(origins, unseen)), unseen) for unseen in parts if len(unseen)]


def _solve(
    rows: Matrix,
    labels: np.ndarray,
    strength: float,
    sample: np.ndarray | None,
    model: Any = None,
) -> Any:
    """`model` fitted on with another strength; a new one for None."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import get_cached_controller

    if model is None:
        model = LogisticRegression(solver="lbfgs", tol=_TOLERANCE, max_iter=300, warm_start=True)
    model.set_params(C=strength)
    # The products are sparse and run on one thread; what is left for BLAS are vectors so short that
    # its threads only wait for each other: ten times slower as soon as another process runs. The
    # controller is kept: to look through all loaded libraries takes as long as to fit few rows.
    with warnings.catch_warnings(), get_cached_controller().limit(limits=1):
        # 300 iterations are far past the point where the answers change.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(rows, labels, sample_weight=sample)
    return model


def _judged(model: Any, hold: Hold) -> tuple[np.ndarray, np.ndarray]:
    """Log-loss of each row, and whether it is right; a label that the model never saw has a small
    probability, not none."""
    rows, labels = hold
    if not len(labels):
        return np.zeros(0), np.zeros(0, bool)
    probabilities = model.predict_proba(rows)
    places = np.searchsorted(model.classes_, labels).clip(max=len(model.classes_) - 1)
    right = probabilities[np.arange(len(labels)), places]
    right = np.where(model.classes_[places] == labels, right, 0.0)
    answers = model.classes_[probabilities.argmax(axis=1)]
    return -np.log(np.maximum(right, 1e-6)), answers == labels


def _outputs(model: Any, rows: Matrix, count: int) -> np.ndarray:
    fitted = _widened(model, model.classes_, count, float("nan"), float("nan"))
    outputs: np.ndarray = np.asarray(rows @ fitted.coef.T, np.float32) + fitted.intercept
    return outputs


def _widened(model: Any, present: np.ndarray, count: int, strength: float, loss: float) -> Fitted:
    """The model's rows at the places of their labels; two labels get half the difference each."""
    coef, intercept = np.asarray(model.coef_), np.asarray(model.intercept_)
    if len(present) == 2:
        coef = np.concatenate([-coef / 2, coef / 2])
        intercept = np.concatenate([-intercept / 2, intercept / 2])
    wide = np.zeros((count, coef.shape[1]), np.float32)
    wide[present] = coef
    shift = np.full(count, intercept.min() - _ABSENT, np.float32)
    shift[present] = intercept
    return Fitted(wide, shift, strength, loss)
