"""Arrays of objects: raw outputs and truths that are no numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["objects"]


def objects(rows: Sequence[Any]) -> np.ndarray:
    """`rows` as an array (rows,) of objects, whatever they are."""
    array = np.empty(len(rows), dtype=object)
    for place, row in enumerate(rows):  # lists and tuples would be taken for a matrix
        array[place] = row
    return array
