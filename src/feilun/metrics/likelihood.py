"""How probable a language model finds given texts: bits per byte, and tokens that it would say.

Bytes do not depend on the tokenizer, so that models with other vocabularies compare (Gao et al.,
2020, "The Pile", section 3.1: bits per UTF-8 encoded byte).
"""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np

from feilun.metrics.measured import Measured

__all__ = ["Likelihood"]


class Likelihood(Measured):
    """Sums of each row, float (rows,): `nats` of its text, the `size` of it in bytes, its `tokens`,
    and the `right` ones, which the model holds for the most probable."""

    higher_is_better: ClassVar = {"bits_per_byte": False, "token_accuracy": True}

    def __init__(
        self, nats: np.ndarray, size: np.ndarray, tokens: np.ndarray, right: np.ndarray
    ) -> None:
        self.rows = len(nats)
        self._sums = np.column_stack([nats, size, tokens, right]).astype(np.float64)

    def replicates(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """See `Measured`."""
        nats, size, tokens, right = (weights @ self._sums).T
        return {
            "bits_per_byte": nats / np.log(2) / np.maximum(size, 1),
            "token_accuracy": right / np.maximum(tokens, 1),
        }

    def take(self, rows: np.ndarray) -> Self:
        """See `Measured`."""
        return type(self)(*self._sums[rows].T)
