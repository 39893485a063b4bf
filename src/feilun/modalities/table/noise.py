"""Changes that a row of a table can suffer: what robustness tries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from feilun.modalities.base import Column
from feilun.modalities.noise import Disturbance, by_name
from feilun.types import Item, Scalar

__all__ = ["disturbances"]


def disturbances(columns: Sequence[Column]) -> Mapping[str, Disturbance]:
    """A value that is missing, a category that nobody has seen, a number of another unit."""
    by_kind = {kind: [c.name for c in columns if c.kind == kind] for kind in ("number", "category")}
    every = [column.name for column in columns]

    def changed(item: Item, names: Sequence[str], draw: np.random.Generator, value: object) -> Item:
        row: dict[str, Scalar]
        row = dict(item) if isinstance(item, Mapping) else {every[0]: item}
        there = [name for name in names if row.get(name) is not None]
        if not there:
            return item
        name = there[int(draw.integers(len(there)))]
        row[name] = value(row[name]) if callable(value) else None
        return row if isinstance(item, Mapping) else row[name]

    found = [
        Disturbance("missing_value", lambda item, draw: changed(item, every, draw, None)),
    ]
    if by_kind["category"]:
        found.append(
            Disturbance(
                "unknown_category",
                lambda item, draw: changed(
                    item, by_kind["category"], draw, lambda _: "\N{REPLACEMENT CHARACTER}"
                ),
            )
        )
    if by_kind["number"]:
        found.append(
            Disturbance(
                "other_unit",
                lambda item, draw: changed(
                    item, by_kind["number"], draw, lambda value: float(value) * 1000
                ),
                safe=False,
            )
        )
    return by_name(found)
