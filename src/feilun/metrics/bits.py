"""Bits per byte: how many bits a model needs for each byte of UTF-8 text that it has to predict.

It compares models with different tokenizers, which a loss or a perplexity of tokens does not (Gao
et al., 2020, "The Pile").
"""

from __future__ import annotations

import math
from typing import ClassVar, Self

import numpy as np

from feilun.metrics.measured import Measured

__all__ = ["Bits"]


class Bits(Measured):
    """Negative log likelihoods in `nats` of texts of `sizes` bytes, both float (rows,). The metric
    is that of all rows together: a long text weighs more. Raises `ValueError` for no rows and for
    numbers that are not finite."""

    higher_is_better: ClassVar = {"bits_per_byte": False}

    def __init__(self, nats: np.ndarray, sizes: np.ndarray) -> None:
        self.nats = np.asarray(nats, np.float64)
        self.sizes = np.asarray(sizes, np.float64)
        self.rows = len(self.nats)
        if not self.rows or self.nats.shape != self.sizes.shape:
            raise ValueError(f"{self.nats.shape} likelihoods for {self.sizes.shape} sizes")
        if not np.isfinite(self.nats).all():
            raise ValueError("a likelihood is not finite")

    def replicates(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """See `Measured`."""
        size = weights @ self.sizes
        bits = weights @ self.nats / math.log(2)
        return {
            "bits_per_byte": np.divide(bits, size, out=np.full_like(bits, np.nan), where=size > 0)
        }

    def take(self, rows: np.ndarray) -> Self:
        """See `Measured`."""
        return type(self)(self.nats[rows], self.sizes[rows])

    @property
    def each(self) -> np.ndarray:
        """Bits per byte of each row by itself, float (rows,); 0 where nothing was to predict."""
        return self.nats / math.log(2) / np.maximum(self.sizes, 1.0)
