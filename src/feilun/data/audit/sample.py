"""The rows that are looked at closely, fetched in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from feilun.data.audit.scan import text_of
from feilun.store.dataset import Dataset
from feilun.types import Example, Item

__all__ = ["Sample", "fetch"]


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows by their `places` (ascending) in the data."""

    places: np.ndarray
    examples: Sequence[Example]

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def items(self) -> list[Item]:
        """Their inputs."""
        return [example.item for example in self.examples]

    @property
    def texts(self) -> list[str]:
        """Their texts."""
        return [text_of(example.item) for example in self.examples]

    def part(self, at: np.ndarray) -> Sample:
        """Those at the positions `at` of this sample."""
        return Sample(self.places[at], [self.examples[place] for place in at.tolist()])


def fetch(data: Dataset, places: np.ndarray) -> Sample:
    """The rows at `places`, which ascend."""
    wanted = iter(places.tolist())
    following = next(wanted, -1)
    found = []
    for place, example in enumerate(data.examples()):
        if place == following:
            found.append(example)
            following = next(wanted, -1)
            if following < 0:
                break
    return Sample(places, found)
