"""Rows of one input as one question: how a version is judged where several answers are right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from feilun.store.arrow import floats, numbers, strings
from feilun.store.dataset import INPUT, Dataset
from feilun.tasks import base as tasks
from feilun.tasks.base import TaskBase
from feilun.types import Example, Item, Split

__all__ = ["Questions", "asked", "questions"]

_SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def questions(data: Dataset) -> Dataset:
    """`data` as it is judged by: where inputs have several right answers one row an input."""
    return Questions(data) if tasks.get(data.schema.task).family.several_right else data


def asked(task: TaskBase, examples: Sequence[Example]) -> list[Example]:
    """The same for rows at hand."""
    if not task.family.several_right:
        return list(examples)
    found = []
    for group in _groups([_key(one.item) for one in examples], [one.row_id for one in examples]):
        first = examples[group[0]]
        labels = [examples[place].label for place in group]
        item, target = _question(task, first.item, labels, None)
        found.append(replace(first, item=item, label=target))
    return found


class Questions(Dataset):
    """The rows of `data` with one row for all that share their input and their split: the item and
    the target that `TaskBase.question` makes of them, the rest from the row with the lowest id. The
    questions of a split are held in memory once they were read."""

    def __init__(self, data: Dataset) -> None:
        super().__init__(data.folder)
        self._data = data
        self._made: dict[Split, tuple[dict[str, list[Any]], np.ndarray]] = {}

    def __len__(self) -> int:
        return sum(map(self.size, _SPLITS))

    def size(self, split: Split | None = None) -> int:
        """The number of questions of `split`, or of all."""
        if split is None:
            return len(self)
        return sum(batch.num_rows for batch in self.batches(["row_id"], split))

    def batches(self, columns: Sequence[str], split: Split | None = None) -> Iterator[Any]:
        """As of any data version. Media are compared by their hashes."""
        import pyarrow as pa

        if split is None:
            for one in _SPLITS:
                yield from self.batches(columns, one)
            return
        made, first = self._asked(split)
        if not len(first):
            return
        rest = [name for name in columns if name not in made]
        kept: Any = None
        if rest:
            table = pa.Table.from_batches(list(self._data.batches(rest, split)))
            kept = table.take(numbers(first)).combine_chunks()
        arrays = []
        for name in columns:
            kind = self.columns.get(name.removeprefix(INPUT), "text")
            write = floats if name != "label" and kind == "number" else strings
            arrays.append(write(made[name]) if name in made else kept.column(name).chunk(0))
        yield pa.record_batch(arrays, names=list(columns))

    def _asked(self, split: Split) -> tuple[dict[str, list[Any]], np.ndarray]:
        """The questions of a split, label and inputs by their columns, and the place of the row
        that each has its other columns from. Made once: it reads all rows before the split."""
        if split in self._made:
            return self._made[split]
        import pyarrow as pa

        inputs = [INPUT + name for name in self.columns]
        made: dict[str, list[Any]] = {name: [] for name in ("label", *inputs)}
        found = list(self._data.batches(["row_id", "label", *inputs], split))
        groups: list[list[int]] = []
        if found:
            table = pa.Table.from_batches(found)
            held = {name: table.column(name).to_pylist() for name in ("row_id", "label", *inputs)}
            cells = list(zip(*(held[name] for name in inputs), strict=True))
            groups = _groups(cells, held["row_id"])
            names, task = list(self.columns), tasks.of(self.schema)
            earlier = self._earlier(inputs, split, set(cells)) if task.recurring else {}
        for group in groups:
            values = cells[group[0]]
            item: Item = dict(zip(names, values, strict=True)) if len(names) > 1 else values[0]
            labels = [held["label"][place] for place in group]
            item, target = _question(task, item, labels, earlier.get(values, []))
            made["label"].append(target)
            for name in names:
                made[INPUT + name].append(item[name] if isinstance(item, Mapping) else item)
        self._made[split] = made, np.array([group[0] for group in groups], np.int64)
        return self._made[split]

    def _earlier(
        self, inputs: Sequence[str], split: Split, wanted: set[tuple[Any, ...]]
    ) -> dict[tuple[Any, ...], list[str]]:
        """The targets of the `wanted` inputs in the splits before `split`."""
        found: dict[tuple[Any, ...], list[str]] = {}
        for one in _SPLITS[: _SPLITS.index(split)]:
            for batch in self._data.batches(["label", *inputs], one):
                columns = [column.to_pylist() for column in batch.columns]
                for label, *cells in zip(*columns, strict=True):
                    if label and tuple(cells) in wanted:
                        found.setdefault(tuple(cells), []).append(label)
        return found


def _key(item: Item) -> Any:
    return tuple(sorted(item.items())) if isinstance(item, Mapping) else item


def _groups(keys: Sequence[Any], ids: Sequence[str]) -> list[list[int]]:
    """The places of equal `keys`, in the order of their ids, which no other row changes."""
    places: dict[Any, list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(key, []).append(place)
    return [sorted(group, key=lambda place: ids[place]) for group in places.values()]


def _question(
    task: TaskBase, item: Item, labels: Sequence[str | None], earlier: Sequence[str] | None
) -> tuple[Item, str | None]:
    targets = [label for label in labels if label]
    return task.question(item, targets, earlier) if targets else (item, None)
