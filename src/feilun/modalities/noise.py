"""Changes that a row can suffer without its label changing: what they have in common.

Robustness asks how much a version loses under them, augmentation lets a model learn from them.
Every change is seeded: the same item and the same generator give the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from feilun.types import Item

__all__ = ["Disturbance", "by_name"]


@dataclass(frozen=True, slots=True)
class Disturbance:
    """One named change of an item; called with the item and a generator it gives the changed item.

    `safe` tells that labels survive it whatever the task's rows are about: only such changes judge
    a version by default. A mirrored picture is a counter-example: a mirrored shoe stays a shoe, a
    mirrored letter does not stay a letter. `teaches` tells that augmentation by ``auto`` uses it.
    `draws` above 1 make it an attack: of so many tries one that turns a right answer counts.
    """

    name: str
    change: Callable[[Item, np.random.Generator], Item]
    safe: bool = True
    teaches: bool = False
    draws: int = 1

    def __call__(self, item: Item, draw: np.random.Generator) -> Item:
        """The changed item, or an equal one where there is nothing to change."""
        return self.change(item, draw)


def by_name(found: Iterable[Disturbance]) -> Mapping[str, Disturbance]:
    """The changes by their names, in their order."""
    return {one.name: one for one in found}
