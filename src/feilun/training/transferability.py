"""How well vectors of a frozen encoder tell targets apart, in a second: a score to rank bases by.

LogME is the evidence of a Bayesian linear model on the vectors, maximised over its two variances,
for each target column alone, and averaged (You and others, "LogME: Practical Assessment of
Pre-trained Models for Transfer Learning", ICML 2021, by the fixed-point iteration of its long
version). Scores of one data set compare; those of different ones do not.
"""

from __future__ import annotations

import numpy as np

__all__ = ["logme"]

_ROUNDS = 20
_CLOSE = 1e-3


def logme(vectors: np.ndarray, targets: np.ndarray) -> float:
    """The score of `vectors` (rows, width) for `targets`: positions of classes, int (rows,), or
    columns of numbers, float (rows,) or (rows, columns). Higher is better. Raises `ValueError` for
    fewer than two rows."""
    F = np.asarray(vectors, np.float64)
    if len(F) < 2 or len(F) != len(targets):
        raise ValueError(f"{len(F)} vectors, {len(targets)} targets")
    columns = _columns(np.asarray(targets))
    # F = U S Vᵀ: what each column needs is its projection onto U.
    U, S, _ = np.linalg.svd(F, full_matrices=False)
    squares = S**2
    return float(np.mean([_evidence(U, squares, y, F.shape[1]) for y in columns.T]))


def _columns(targets: np.ndarray) -> np.ndarray:
    if not np.issubdtype(targets.dtype, np.integer):
        found = targets[:, None] if targets.ndim == 1 else targets
        scaled: np.ndarray = (found - found.mean(0)) / np.where(found.std(0) > 0, found.std(0), 1.0)
        return scaled
    if targets.ndim == 2:
        return targets.astype(np.float64)
    present = np.unique(targets)
    marked: np.ndarray = targets[:, None] == present
    return marked.astype(np.float64)


def _evidence(U: np.ndarray, squares: np.ndarray, y: np.ndarray, width: int) -> float:
    """The log evidence a row at its maximum over the precisions of weights and of noise."""
    rows = len(y)
    shares = (U.T @ y) ** 2
    rest = max(0.0, float(y @ y - shares.sum()))
    alpha = beta = 1.0
    for _ in range(_ROUNDS):
        gamma = float((beta * squares / (alpha + beta * squares)).sum())
        weight = float((beta**2 * squares * shares / (alpha + beta * squares) ** 2).sum())
        error = float((shares * (alpha / (alpha + beta * squares)) ** 2).sum()) + rest
        before = alpha / beta
        alpha = gamma / (weight + 1e-10)
        beta = (rows - gamma) / (error + 1e-10)
        if abs(alpha / beta - before) <= _CLOSE * before:
            break
    weight = float((beta**2 * squares * shares / (alpha + beta * squares) ** 2).sum())
    error = float((shares * (alpha / (alpha + beta * squares)) ** 2).sum()) + rest
    logs = float(np.log(alpha + beta * squares).sum()) + (width - len(squares)) * np.log(alpha)
    found = width * np.log(alpha) + rows * np.log(beta) - rows * np.log(2 * np.pi)
    return float((found - logs - beta * error - alpha * weight) / (2 * rows))
