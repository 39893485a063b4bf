"""Vectors of a frozen encoder in units of their spread, as linear models want them."""

from __future__ import annotations

import numpy as np

__all__ = ["spreads"]


def spreads(vectors: np.ndarray) -> np.ndarray:
    """The standard deviation of each column; 1 where it is next to nothing: some columns of an
    encoder are dead, and dividing by their rounding errors would make those the loudest."""
    deviation = vectors.std(axis=0)
    alive = deviation > 0.01 * np.median(deviation)
    result: np.ndarray = np.where(alive, deviation, 1.0).astype(np.float32)
    return result
