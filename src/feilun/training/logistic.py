"""Logistic regression on fixed features, its strength chosen on rows that it did not see.

What the linear and the head method share. scikit-learn is imported inside: it takes a second.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["STRENGTHS", "Fitted", "Hold", "Matrix", "fit"]

Matrix: TypeAlias = "csr_matrix | np.ndarray"
"""Features (rows, columns), float32."""

STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0)
"""The inverse regularisations tried: five that span what text and embeddings want."""

_ENOUGH = 100  # validation rows below this choose worse than folds of the training rows
_FOLDS = 3
_ONE_STRENGTH = 200_000_000  # non-zeros times labels beyond which one strength is tried, not five
_MIDDLE = 3.0
_ABSENT = 10.0  # logits by which a label without a row stays behind the rarest label

Hold: TypeAlias = "tuple[Matrix, np.ndarray]"
"""Features and labels of the validation rows."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """`coef` (labels, columns) and `intercept` (labels,), float32, for every label of the schema;
    the `strength` chosen and its log-`loss` on unseen rows (NaN where nothing was compared)."""

    coef: np.ndarray
    intercept: np.ndarray
    strength: float
    loss: float


def fit(
    rows: Matrix,
    labels: np.ndarray,
    count: int,
    hold: Hold,
    *,
    weights: np.ndarray | None = None,
    strengths: Sequence[float] = STRENGTHS,
    seed: int = 0,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> Fitted:
    """Fits `labels` (positions below `count`) on `rows` (n, columns).

    The strength with the smallest log-loss wins: on `hold`, or by folds of `rows` where `hold` has
    fewer than 100 rows. `weights` are those of the labels. `tick` hears of each finished fit.
    """
    present = np.unique(labels)
    sample = None if weights is None else weights[labels]
    work = int(getattr(rows, "nnz", rows.size)) * len(present)
    if work > _ONE_STRENGTH or len(strengths) == 1:
        strength = _MIDDLE if len(strengths) > 1 else strengths[0]
        model = _solve(rows, labels, strength, sample)
        tick(1, 1)
        return _widened(model, present, count, strength, float("nan"))
    folds = _folds(rows, labels, hold, seed)
    losses: list[float] = []
    models: list[Any] = []
    for strength in strengths:
        fold_losses = []
        for train, unseen in folds:
            part = slice(None) if train is None else train
            weight = None if sample is None else sample[part]
            model = _solve(rows[part], labels[part], strength, weight)
            seen = hold if unseen is None else (rows[unseen], labels[unseen])
            fold_losses.append(_loss(model, seen))
        models.append(model)
        losses.append(float(np.mean(fold_losses)))
        tick(len(losses), len(strengths))
    best = int(np.argmin(losses))
    # With folds the last model saw a part only; with validation rows it saw all.
    whole = folds[0][0] is None
    model = models[best] if whole else _solve(rows, labels, strengths[best], sample)
    return _widened(model, present, count, strengths[best], losses[best])


def _folds(
    rows: Matrix, labels: np.ndarray, hold: Hold, seed: int
) -> list[tuple[np.ndarray | None, np.ndarray | None]]:
    """Which rows train and which judge; (None, None) stands for all rows and `hold`."""
    if len(hold[1]) >= _ENOUGH or np.bincount(labels)[np.unique(labels)].min() < _FOLDS:
        return [(None, None)]
    from sklearn.model_selection import StratifiedKFold

    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    return list(folds.split(np.zeros(len(labels)), labels))


def _solve(rows: Matrix, labels: np.ndarray, strength: float, sample: np.ndarray | None) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    model = LogisticRegression(C=strength, solver="lbfgs", tol=1e-3, max_iter=300)
    # The products are sparse and run on one thread; what is left for BLAS are vectors so short that
    # its threads only wait for each other: ten times slower as soon as another process runs.
    with warnings.catch_warnings(), threadpool_limits(1):
        # 300 iterations are far past the point where the answers change.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(rows, labels, sample_weight=sample)
    return model


def _loss(model: Any, hold: Hold) -> float:
    """Mean log-loss; a label that the model never saw has a small probability, not none."""
    rows, labels = hold
    if not len(labels):
        return 0.0
    probabilities = model.predict_proba(rows)
    places = np.searchsorted(model.classes_, labels).clip(max=len(model.classes_) - 1)
    right = probabilities[np.arange(len(labels)), places]
    right = np.where(model.classes_[places] == labels, right, 0.0)
    return float(-np.log(np.maximum(right, 1e-6)).mean())


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
