"""The rows of a data version as training sees them: those with a target, and the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from feilun.engines.card import Card
from feilun.errors import InvalidData
from feilun.messages import t
from feilun.store.dataset import Dataset
from feilun.store.drawn import Released
from feilun.tasks import base as tasks
from feilun.training.job import TrainJob
from feilun.types import Item, Schema, Split

__all__ = [
    "Balance",
    "Rows",
    "all_rows",
    "dataset_of",
    "drawn",
    "learning_count",
    "learning_rows",
    "read",
    "schema_of",
    "start_card",
]

Balance = Literal["none", "balanced"]
"""Whether rare labels weigh more in training: ``balanced`` gives every label the same total."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Labelled rows: `items` and, for each, its target as the family holds it: of classes the
    position of the label, int64. `ids` are their row ids, where they come from a data version, and
    `groups` numbers that near-duplicates share, int64."""

    items: Sequence[Item]
    labels: np.ndarray
    ids: Sequence[str] | None = None
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, places: np.ndarray) -> Rows:
        """The rows at `places`, in that order."""
        ids = None if self.ids is None else [self.ids[place] for place in places.tolist()]
        groups = None if self.groups is None else self.groups[places]
        return Rows(Picked(self.items, places), self.labels[places], ids, groups)


class Picked(Sequence[Item]):
    """Some items of a sequence, fetched when asked for, so that pictures stay on disk."""

    def __init__(self, items: Sequence[Item], places: np.ndarray) -> None:
        self._items = items
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, place):  # type: ignore[no-untyped-def]
        if isinstance(place, slice):
            return Picked(self._items, self._places[place])
        return self._items[int(self._places[place])]


def start_card(job: TrainJob, name: str, schema: Schema, settings: Mapping[str, Any]) -> Card:
    """The card of a version in format `name` that has not been calibrated yet."""
    point = tasks.get(job.task).family.neutral()
    return Card(name, schema, job.method, config=settings, point=point)


def dataset_of(job: TrainJob) -> Dataset:
    """The job's data version, for methods that answer out of fold: its drawn test rows train where
    the job says so."""
    return Released(job.data) if job.drawn else Dataset(job.data)


def schema_of(job: TrainJob, dataset: Dataset) -> Schema:
    """What the trained version answers: the data's labels and the job's task settings. The inputs
    are the data's, unless the job names some of them."""
    settings = dict(job.task_settings or dataset.schema.settings)
    return Schema(
        job.task, dataset.schema.labels, {**tasks.of(dataset.schema).inputs(), **settings}
    )


def read(dataset: Dataset, split: Split) -> Rows:
    """The labelled rows of `split`."""
    family = tasks.get(dataset.schema.task).family
    items = dataset.items(split)
    labels = family.truth(dataset.values("label", split), dataset.schema.labels)
    known = np.flatnonzero(family.known(labels))
    ids = dataset.row_ids(split)
    rows = Rows(items, labels, ids, _numbered(dataset.values("group", split), ids))
    return rows if len(known) == len(labels) else rows.take(known)


def _numbered(groups: Sequence[str], ids: Sequence[str]) -> np.ndarray:
    """A number for each group, int64; a row without one stands alone."""
    numbers: dict[str, int] = {}
    named = (group or row for group, row in zip(groups, ids, strict=True))
    return np.fromiter((numbers.setdefault(one, len(numbers)) for one in named), np.int64, len(ids))


def all_rows(dataset: Dataset) -> Rows:
    """The labelled training rows. Raises `InvalidData` when all of them have one label, or none."""
    rows = read(dataset, "train")
    targets = dataset.values("label", "train")
    if not tasks.get(dataset.schema.task).family.teachable(one for one in targets if one):
        names = sorted({one for one in targets if one})[:5]
        raise InvalidData("training.one_label", rows=len(rows), labels=names or ["-"])
    return rows


def learning_rows(job: TrainJob, dataset: Dataset) -> Rows:
    """The rows that a method which continues from weights learns from: all of them; in an update
    that names its new rows these, and `replay` times as many old ones, drawn by the job's seed.

    Raises `InvalidData` when there are none.
    """
    if job.previous is None:
        return all_rows(dataset)
    rows = read(dataset, "train")
    if job.new_rows:
        new = set(job.new_rows)
        family = tasks.get(dataset.schema.task).family
        has = family.known(family.truth(dataset.values("label", "train"), dataset.schema.labels))
        ids = dataset.row_ids("train")
        known = [row for row, labelled in zip(ids, has, strict=True) if labelled]
        is_new = np.fromiter((row in new for row in known), bool, len(known))
        old = np.flatnonzero(~is_new)
        wanted = min(len(old), round(job.replay * int(is_new.sum())))
        replayed = np.random.default_rng(job.seed).choice(old, wanted, replace=False)
        rows = rows.take(np.sort(np.concatenate([np.flatnonzero(is_new), replayed])))
    if not len(rows):
        raise InvalidData("training.no_rows", folder=dataset.folder)
    return rows


def learning_count(job: TrainJob, train: int) -> int:
    """About how many rows `learning_rows` gives, of `train` training rows: known before anything
    is read, and never too few."""
    if job.previous is None or not job.new_rows:
        return train
    return min(train, round(len(job.new_rows) * (1 + job.replay)))


def drawn(rows: Rows, limit: int | None, seed: int) -> tuple[Rows, list[str]]:
    """`rows`, or `limit` of them drawn by `seed`, with a note that says so."""
    if limit is None or len(rows) <= limit:
        return rows, []
    places = np.random.default_rng(seed).choice(len(rows), limit, replace=False)
    note = t("training.note_rows_drawn", used=limit, total=len(rows))
    return rows.take(np.sort(places)), [note]
