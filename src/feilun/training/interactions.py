"""Who took what, as matrices; what the methods of recommendation share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from feilun.engines.card import write_card
from feilun.engines.recommender import ITEMS, USERS, WEIGHTS
from feilun.errors import InvalidData
from feilun.families.ranking import DESCRIBES, items_of
from feilun.messages import t
from feilun.modalities import askers
from feilun.modalities.table.described import cells_of
from feilun.store.dataset import INPUT, Dataset
from feilun.tasks.base import TaskBase
from feilun.training import likeness
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
    test rows: nothing is learnt from those, but who took an item need not be told of it. What is
    known of users and items besides stands by their names in `about_users` and `about_items`; an
    item may be among `items` for that alone."""

    users: list[str]
    items: list[str]
    matrix: csr_matrix
    taken: csr_matrix
    about_users: dict[str, dict[str, Any]] = field(default_factory=dict)
    about_items: dict[str, dict[str, Any]] = field(default_factory=dict)


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
    described: dict[str, dict[str, dict[str, Any]]] = {"user": {}, "item": {}}
    train = _pairs(dataset, "train", users, items, learnt=True, described=described)
    if len(items) < 2:
        raise InvalidData("training.one_label", rows=dataset.size("train"), labels=list(items))
    later = [_pairs(dataset, one, users, items, learnt=False) for one in ("validation", "test")]
    for name in described["item"]:
        items.setdefault(name, len(items))
    shape = len(users), len(items)

    def matrix(*parts: np.ndarray) -> csr_matrix:
        pairs = np.concatenate(parts, axis=1)
        made = csr_matrix((np.ones(pairs.shape[1], np.float32), (pairs[0], pairs[1])), shape)
        made.sum_duplicates()
        made.data[:] = 1
        return made

    names = ["" if name.startswith("{") else name for name in users]
    return Interactions(
        names,
        list(items),
        matrix(train),
        matrix(train, *later),
        described["user"],
        described["item"],
    )


def write(
    job: TrainJob,
    dataset: Dataset,
    found: Interactions,
    settings: dict[str, object],
    speaks: csr_matrix | None = None,
    form: str = "recommender",
) -> None:
    """Writes a version of the format `form`. `speaks` (items, items) says how much an item of a
    history speaks for another."""
    from safetensors.numpy import save_file

    known = np.flatnonzero([bool(name) for name in found.users])
    histories = found.taken[known]
    tensors = {
        "taken": np.asarray(found.matrix.sum(axis=0)).ravel().astype(np.int64),
        "user_ends": histories.indptr.astype(np.int64),
        "user_items": histories.indices.astype(np.int32),
    }
    tensors |= likeness.of_users(found.matrix, found.users, found.about_users, job.out)
    if speaks is not None:
        speaks = likeness.with_new_items(found.matrix, found.items, found.about_items, speaks)
        tensors |= {
            "ends": speaks.indptr.astype(np.int64),
            "places": speaks.indices.astype(np.int32),
            "values": speaks.data.astype(np.float32),
        }
    _names(job.out / ITEMS, found.items)
    _names(job.out / USERS, [found.users[place] for place in known.tolist()])
    save_file(tensors, job.out / WEIGHTS)
    write_card(job.out, start_card(job, form, schema_of(job, dataset), settings))


def _pairs(
    dataset: Dataset,
    split: Split,
    users: dict[str, int],
    items: dict[str, int],
    learnt: bool,
    described: dict[str, dict[str, dict[str, Any]]] | None = None,
) -> np.ndarray:
    """The interactions of a split, int32 (2, n): places of users and of items, which are added to
    `users` and, where they are `learnt`, to `items`. Names are read once a batch, however many rows
    have them. Descriptions go to `described`, a later one in the place of an earlier one."""
    (column,) = dataset.columns
    found = [np.zeros((2, 0), np.int32)]
    for batch in dataset.batches(["label", INPUT + column], split):
        batch = _asking(batch.filter(batch.column(0).is_valid()), described)
        targets, target = _coded(batch.column(0))
        distinct, codes_of = _coded(batch.column(1))
        read = [askers.read(one) for one in distinct]
        codes = [
            users.setdefault(name if one.user is None else one.user, len(users))
            for name, one in zip(distinct, read, strict=True)
        ]

        def place(item: str) -> int:
            return items.setdefault(item, len(items)) if learnt else items.get(item, -1)

        taken = [[place(item) for item in items_of(one)] for one in targets]
        most = max(map(len, taken), default=0)
        table = np.array([row + [-1] * (most - len(row)) for row in taken], np.int32)
        for at in range(most):
            found.append(np.stack([np.array(codes, np.int32)[codes_of], table[target, at]]))
        asked = zip(codes, read, strict=True)
        told = [(code, place(item)) for code, one in asked for item in one.history]
        found.append(np.array(told, np.int32).reshape(-1, 2).T)
    pairs = np.concatenate(found, axis=1)
    kept: np.ndarray = pairs[:, pairs[1] >= 0]
    return kept


def _asking(batch: Any, described: dict[str, dict[str, dict[str, Any]]] | None) -> Any:
    """The rows of `batch` that are no descriptions."""
    import pyarrow.compute as pc

    about = pc.starts_with(batch.column(0), DESCRIBES)
    if not pc.any(about).as_py():
        return batch
    told = batch.filter(about)
    for target, name in zip(*(one.to_pylist() for one in told.columns), strict=True):
        asker = askers.read(name)
        kind = "user" if asker.about is None else "item"
        if described is not None:
            described[kind][asker.about or asker.user or name] = cells_of(target)
    return batch.filter(pc.invert(about))


def _coded(column: Any) -> tuple[list[str], np.ndarray]:
    """The different texts of an Arrow column, and the place of each row's among them."""
    coded = column.dictionary_encode()
    return coded.dictionary.to_pylist(), coded.indices.to_numpy()


def _names(file: Path, names: list[str]) -> None:
    file.write_bytes(msgspec.json.encode(names))
