"""True numbers that are far from all others, and one that many rows share."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np

from feilun.families.tally import Peculiarity

__all__ = ["NumberTally"]

_FAR = 20
"""Interquartile ranges beyond the quartiles from which on a number is far from the others: of
lognormal prices (sigma 1) one in 3,000."""
_SHARE, _DISTINCT = 0.2, 20
"""Share of the rows with one number, among at least so many different ones, that is told."""
_NAMED = 5


class NumberTally:
    """Keeps 8 bytes a row."""

    def __init__(self) -> None:
        self._numbers = array("d")

    def add(self, target: str, count: int = 1) -> None:
        """`count` rows with the canonical `target`."""
        self._numbers.extend([float(target)] * count)

    def findings(self) -> Sequence[Peculiarity]:
        """As the audit names them."""
        numbers = np.frombuffer(self._numbers, np.float64)
        if not len(numbers):
            return []
        found = []
        low, high = np.quantile(numbers, [0.25, 0.75])
        spread = _FAR * (high - low)
        far = (numbers < low - spread) | (numbers > high + spread)
        if spread and far.any():
            params = {
                "values": [f"{one:g}" for one in np.unique(numbers[far])[::-1][:_NAMED]],
                "low": f"{low:g}",
                "high": f"{high:g}",
            }
            found.append(Peculiarity("far_numbers", "warn", int(far.sum()), len(numbers), params))
        values, rows = np.unique(numbers, return_counts=True)
        most = int(rows.argmax())
        if len(values) >= _DISTINCT and rows[most] >= _SHARE * len(numbers):
            value = {"value": f"{values[most]:g}"}
            found.append(Peculiarity("heaped_number", "info", int(rows[most]), len(numbers), value))
        return found
