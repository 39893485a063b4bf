"""Encoded rows, and the order in which training meets them: batches of like cost under a budget.

Padding is what a batch pays for its longest item. Rows are shuffled, cut into windows, sorted
within each and cut into batches, and the batches are shuffled: nearly no padding, nearly random
order. The order depends on the seed and the costs alone, so that a resumed run meets the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from feilun.families.objective import Objective
from feilun.tasks.base import Arrays, Encoded, Processor
from feilun.training.rows import Rows
from feilun.types import Item

if TYPE_CHECKING:
    import torch

__all__ = ["EncodedRows", "Examples", "Labelled", "Order", "order", "order_once"]

_WINDOW = 32  # batches that are sorted together
_HELD_BYTES = 512 << 20  # of encoded rows; what is beyond is encoded again when its batch comes
_CHUNK = 256


@dataclass(frozen=True, slots=True)
class Order:
    """Places of the rows of every batch of the whole training, and how many batches stand before
    the end of each epoch."""

    batches: list[list[int]]
    ends: list[int]


def order(costs: np.ndarray, epochs: int, rows: int, budget: int, seed: int) -> Order:
    """Batches for `epochs` passes over rows of these `costs`.

    A batch holds at most `rows` rows and, padded to its longest, at most `budget` cost units; one
    row that is dearer stands alone.
    """
    batches: list[list[int]] = []
    ends: list[int] = []
    for epoch in range(epochs):
        generator = np.random.default_rng((seed, epoch))
        shuffled = generator.permutation(len(costs))
        found: list[list[int]] = []
        left = np.zeros(0, np.int64)
        for start in range(0, len(shuffled), _WINDOW * rows):
            window = np.concatenate([left, shuffled[start : start + _WINDOW * rows]])
            cut = _cut(window, costs, rows, budget)
            # A small rest would make a noisy step: it joins the next window.
            left = np.zeros(0, np.int64)
            if len(cut) > 1 and len(cut[-1]) < rows // 2 and start + _WINDOW * rows < len(shuffled):
                left = np.array(cut.pop(), np.int64)
            found += cut
        generator.shuffle(found)
        batches += found
        ends.append(len(batches))
    return Order(batches, ends)


def order_once(costs: np.ndarray, rows: int, budget: int) -> list[list[int]]:
    """Batches that meet every row once, the dearest first: for evaluation."""
    return _cut(np.arange(len(costs)), costs, rows, budget)


def _cut(window: np.ndarray, costs: np.ndarray, rows: int, budget: int) -> list[list[int]]:
    ranked = window[np.argsort(-costs[window], kind="stable")]
    batches = []
    start = 0
    while start < len(ranked):
        size = max(1, min(rows, int(budget // max(1, int(costs[ranked[start]])))))
        batches.append(ranked[start : start + size].tolist())
        start += size
    return batches


class Examples(Protocol):
    """What a network learns from, or is judged by: a dataset for torch's DataLoader."""

    costs: np.ndarray
    """Of each place, int64: by it batches are made."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: int) -> Any: ...

    def collate(self, batch: list[Any]) -> dict[str, torch.Tensor]:
        """The arrays of one batch as tensors, and the targets under ``labels``."""
        ...


class Reader(Protocol):
    """The part of `feilun.tasks.base.Lessons` that turns rows into arrays."""

    def encode(self, items: Sequence[Item], targets: Any) -> list[Encoded]: ...

    def collate(self, batch: Sequence[Encoded], targets: Sequence[Any]) -> Arrays: ...


class Labelled:
    """A `Reader` for networks that read an item and answer at once: the processor's arrays, and
    the objective's targets."""

    def __init__(self, processor: Processor, objective: Objective) -> None:
        self._processor = processor
        self._objective = objective

    def encode(self, items: Sequence[Item], targets: Any) -> list[Encoded]:
        return self._processor.encode(items)

    def collate(self, batch: Sequence[Encoded], targets: Sequence[Any]) -> Arrays:
        labels = self._objective.targets(targets, batch)
        return {**self._processor.collate(batch), "labels": labels}


class EncodedRows:
    """What a network reads of rows, with its `costs`; see `Examples`. It has one place a row, and
    of rows that are too long to be read at once one for each part.

    Small rows (texts) are encoded once. Of large ones (pictures) only the first 512 MiB are kept.
    `cut` counts the rows of which something was left out to fit; `empty` are the places of those
    that teach nothing.
    """

    def __init__(self, rows: Rows, reader: Reader) -> None:
        self._rows = rows
        self._reader = reader
        self._held: list[Encoded] = []
        costs: list[int] = []
        places: list[tuple[int, int]] = []
        size = 0
        self.cut = 0
        self.empty: list[int] = []
        for start in range(0, len(rows), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            encoded = reader.encode(rows.items[chunk], rows.labels[chunk])
            parts = [part for item in encoded for part in item.rows if part.cost]
            costs += [part.cost for part in parts]
            places += [(row, n) for row, item in enumerate(encoded, start) for n in _count(item)]
            self.empty += [
                row
                for row, item in enumerate(encoded, start)
                if not any(part.cost for part in item.rows)
            ]
            self.cut += sum(item.cut > 0 for item in encoded)
            size += sum(array.nbytes for part in parts for array in part.arrays.values())
            if size <= _HELD_BYTES:
                self._held += parts
            elif len(set(costs)) == 1:  # pictures of one size: the others cost the same
                rest = range(len(costs), len(rows))
                costs += [costs[0]] * len(rest)
                places += [(row, 0) for row in rest]
                break
        self.costs = np.array(costs, np.int64)
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, place: int) -> tuple[Encoded, Any]:
        row, part = self._places[place]
        if place < len(self._held):
            encoded = self._held[place]
        else:
            one = slice(row, row + 1)
            again = self._reader.encode(self._rows.items[one], self._rows.labels[one])
            encoded = again[0].rows[part]
        return encoded, self._rows.labels[row]

    def collate(self, batch: list[tuple[Encoded, Any]]) -> dict[str, torch.Tensor]:
        """The arrays of one batch as tensors, and the targets under ``labels``."""
        import torch

        arrays = self._reader.collate([one for one, _ in batch], [truth for _, truth in batch])
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _count(item: Encoded) -> list[int]:
    return [place for place, part in enumerate(item.rows) if part.cost]
