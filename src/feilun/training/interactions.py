"""Who took what, as matrices; what the methods of recommendation share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from feilun.engines.card import write_card
from feilun.engines.recommender import ITEMS, USERS, WEIGHTS
from feilun.errors import InvalidData
from feilun.families.ranking import items_of
from feilun.messages import t
from feilun.store.dataset import INPUT, Dataset
from feilun.tasks import _asker
from feilun.tasks.base import TaskBase
from feilun.training.job import TrainJob
from feilun.training.rows import schema_of, start_card
from feilun.types import Split

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Interactions", "read", "supports", "write"]


@dataclass(frozen=True, slots=True)
class Interactions:
    """`matrix` (users, items) float32 is 1 where a user took an item in a training row. `users`
    name its rows; sessions without a user have none (""). `taken` is the same with validation and
    test rows: nothing is learnt from those, but who took an item need not be told of it."""

    users: list[str]
    items: list[str]
    matrix: csr_matrix
    taken: csr_matrix


def supports(task: TaskBase) -> str | None:
    """Users who come back and take one of a catalogue."""
    if task.family.name == "ranking" and task.recurring:
        return None
    return t("training.reason_no_interactions", task=task.name)


def read(dataset: Dataset) -> Interactions:
    """All interactions of a data version. Raises `InvalidData` for fewer than two items."""
    from scipy.sparse import csr_matrix

    users: dict[str, int] = {}
    items: dict[str, int] = {}
    rows: list[np.ndarray] = []
    for split in ("train", "validation", "test"):
        learnt = split == "train"
        found: list[tuple[int, int, bool]] = []
        for asked, target in _pairs(dataset, split):
            asker = _asker.read(asked)
            name = asker.user if asker.user is not None else asked
            user = users.setdefault(name, len(users))
            for item in (*asker.history, *items_of(target)):
                if learnt:
                    found.append((user, items.setdefault(item, len(items)), True))
                elif item in items:
                    found.append((user, items[item], False))
        rows.append(np.array(found, np.int64).reshape(-1, 3))
    if len(items) < 2:
        raise InvalidData("training.one_label", rows=dataset.size("train"), labels=list(items))
    table = np.concatenate(rows)
    shape = len(users), len(items)

    def matrix(part: np.ndarray) -> csr_matrix:
        made = csr_matrix((np.ones(len(part), np.float32), (part[:, 0], part[:, 1])), shape)
        made.sum_duplicates()
        made.data[:] = 1
        return made

    names = ["" if name.startswith("{") else name for name in users]
    return Interactions(names, list(items), matrix(table[table[:, 2] == 1]), matrix(table))


def write(
    job: TrainJob,
    dataset: Dataset,
    found: Interactions,
    settings: dict[str, object],
    speaks: csr_matrix | None = None,
) -> None:
    """Writes a `recommender` version. `speaks` (items, items) says how much an item of a history
    speaks for another."""
    from safetensors.numpy import save_file

    known = np.flatnonzero([bool(name) for name in found.users])
    histories = found.taken[known]
    tensors = {
        "taken": np.asarray(found.matrix.sum(axis=0)).ravel().astype(np.int64),
        "user_ends": histories.indptr.astype(np.int64),
        "user_items": histories.indices.astype(np.int32),
    }
    if speaks is not None:
        tensors |= {
            "ends": speaks.indptr.astype(np.int64),
            "places": speaks.indices.astype(np.int32),
            "values": speaks.data.astype(np.float32),
        }
    _names(job.out / ITEMS, found.items)
    _names(job.out / USERS, [found.users[place] for place in known.tolist()])
    save_file(tensors, job.out / WEIGHTS)
    write_card(job.out, start_card(job, "recommender", schema_of(job, dataset), settings))


def _pairs(dataset: Dataset, split: Split) -> Iterator[tuple[str, str]]:
    (column,) = dataset.columns
    for batch in dataset.batches(["label", INPUT + column], split):
        for target, asked in zip(*(one.to_pylist() for one in batch.columns), strict=True):
            if target:
                yield asked, target


def _names(file: Path, names: list[str]) -> None:
    file.write_bytes(msgspec.json.encode(names))
