"""A label is where its rows lie in an encoder's space, and where its name does: nothing is trained,
so that a label can be answered from its name alone, or within seconds of its first rows.

The prototype of a label is the mean of the vectors of its rows and of its name and description, all
of length one about the middle of all labels; a row gets the label whose prototype has the largest
cosine (Snell and others, "Prototypical Networks for Few-shot Learning", 2017; Rocchio's classifier,
1971). A description counts for some rows, so that it decides where there are none and is outweighed
by many; a name without one counts for a single row. Labels that no row has yet are declared with
what they mean, in ``descriptions``.

Started from a version that an encoder learned, it uses that version's own vectors, in which labels
that were learnt lie apart: an update with ``update.quick`` answers a new label so, until the next
training. Writes a `head` version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
from pydantic import Field

from feilun.engines.card import write_card
from feilun.errors import InvalidData, UsageError
from feilun.messages import t
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.tasks.base import TaskBase
from feilun.training.body import describe
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.logistic import Fitted
from feilun.training.methods import head
from feilun.training.rows import Rows, read, schema_of, start_card
from feilun.training.settings import MethodSettings, read_by_encoders
from feilun.types import Progress, Range, Schema, Whole

__all__ = ["Settings", "estimate", "interim", "least_rows", "needs_base", "needs_torch",
           "on_request", "order", "supports", "train", "unjudged"]  # fmt: skip

order = 1
needs_base = True
needs_torch = True
least_rows = 0
on_request = True
unjudged = True
interim = True

_ENCODER = "encoder"
_SHARPNESS = (3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 50.0)
"""Logits that a cosine of 1 may be worth; the best on rows that are left out of their prototype."""
_UNKNOWN = 12.0
"""Of them where no label has two rows."""


class Settings(MethodSettings):
    """``[training.prototypes]``."""

    descriptions: Mapping[str, str] = Field(
        default_factory=dict,
        description="label = what it means, in the words of the rows; labels that no row has yet "
        "are declared so",
    )
    names: float = Field(
        8.0,
        ge=0,
        description="rows that the description of a label counts for, its bare name for one at "
        "most; 0: as soon as a label has rows, they alone",
    )
    shots: int = Field(
        200, ge=1, description="rows of each label that are read at most, drawn by the seed"
    )

    @classmethod
    def space(cls, task: TaskBase) -> Mapping[str, Range]:
        """How many rows are read."""
        return {"shots": Whole(20, 1000, log=True)}


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Classes of one text or picture."""
    if task.family.name != "classes" or task.modality not in ("text", "image"):
        return t("training.reason_no_prototypes", task=task.name)
    if isinstance(base, Path) and not (_encoder(base) / "config.json").is_file():
        return t("training.reason_no_vectors", folder=base.name)
    return read_by_encoders(task)


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """One pass of the encoder over the rows that are read."""
    base = job.previous or job.base
    body = describe(_encoder(base) if isinstance(base, Path) else base)
    read_rows = sum(min(count, settings.shots) for count in rows.labels.values())
    forward = body.forward(rows.mean_cost) * read_rows
    memory = 3 * body.bytes + read_rows * body.width * 16 + 600e6
    return Estimate(int(memory), 5.0 + machine.seconds(forward), {"rows": float(read_rows)})


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes a `head` version. Continued from a version of another method, in its vectors.

    Raises `UsageError` without a base folder, `InvalidData` where a label has neither rows nor a
    name that can be read, or where there are not two labels."""
    begin = perf_counter()
    base = job.previous or job.base
    if not isinstance(base, Path):
        raise UsageError("training.needs_folder", method=job.method, base=base)
    job = replace(job, base=_encoder(base))
    dataset = Dataset(job.data)
    schema = schema_of(job, dataset)
    declared = sorted(set(settings.descriptions) - set(schema.labels))
    schema = replace(schema, labels=(*schema.labels, *declared))
    rows = _drawn(read(dataset, "train"), settings.shots, job.seed)
    named = tasks.get(job.task).modality == "text" and (settings.names > 0 or bool(declared))
    counts = np.bincount(rows.labels, minlength=len(schema.labels))
    bare = [label for label, n in zip(schema.labels, counts.tolist(), strict=True) if not n]
    if (bare and not named) or len(schema.labels) < 2:
        raise InvalidData("training.no_prototype", labels=bare or list(schema.labels) or ["-"])
    texts = [_named(label, settings) for label in schema.labels] if named else []
    total = len(rows) + len(texts)
    embedder = head.opened(job, schema, total, report)

    def tick(done: int) -> None:
        report(Progress("train", done, total, "rows", note=t("training.note_embedding")))

    vectors = embedder.vectors([*texts, *rows.items], tick)
    names = vectors[: len(texts)] if named else None
    weights = [
        settings.names if label in settings.descriptions else min(1.0, settings.names)
        for label in schema.labels
    ]
    made = prototypes(vectors[len(texts) :], rows.labels, len(weights), names, weights)
    head.write(job, embedder, {"mean": made.middle, "scale": np.ones_like(made.middle)}, made.head)
    write_card(job.out, start_card(job, "head", schema, settings.model_dump(mode="json")))
    notes = [_told(schema, bare)] if bare else []
    figures = {
        "seconds": perf_counter() - begin,
        "rows": float(len(rows)),
        "named": float(len(bare)),
    }
    return TrainResult(figures, tuple(notes))


class Prototypes:
    """`middle` (width,) of the labels, and the `head` that gives the sharpened projections on the
    prototypes (labels, width) of what is left of a vector without it."""

    def __init__(self, middle: np.ndarray, unit: np.ndarray, sharpness: float) -> None:
        self.middle = middle.astype(np.float32)
        weight = (sharpness * unit).astype(np.float32)
        self.head = Fitted(weight, np.zeros(len(unit), np.float32), sharpness, float("nan"))


def prototypes(
    vectors: np.ndarray,
    labels: np.ndarray,
    count: int,
    names: np.ndarray | None,
    weights: Sequence[float],
) -> Prototypes:
    """Of `vectors` (n, width) with `labels` below `count`, and of the labels' `names` (count,
    width), each of which counts for as many rows as `weights` says; for a label without rows one
    at least.

    With eight rows for a description, reviews had .60 with 5 rows a label where rows alone had .54
    (English, MiniLM) and .76 instead of .66 (Chinese, e5-small); descriptions alone had .63 and
    .75, bare names .62 and .46 (300 rows, 10 draws)."""
    rows = np.bincount(labels, minlength=count).astype(np.float64)
    sums = np.zeros((count, vectors.shape[1] if len(vectors) or names is None else names.shape[1]))
    np.add.at(sums, labels, vectors)
    # Names lie elsewhere than rows do, being short: they have a middle of their own.
    have = rows > 0
    middle = (sums[have] / rows[have, None]).mean(axis=0) if have.any() else np.zeros(sums.shape[1])
    offsets = None if names is None else names - names.mean(axis=0)
    if names is not None and not have.any():
        middle = names.mean(axis=0).astype(np.float64)
    seen = _unit(vectors - middle)
    sums = np.zeros_like(sums)
    np.add.at(sums, labels, seen)
    if offsets is not None:
        shares = np.where(have, weights, np.maximum(weights, 1.0))
        sums += shares[:, None] * _unit(offsets)
    unit = _unit(sums)
    length = float(np.linalg.norm(vectors - middle, axis=1).mean()) if len(vectors) else 1.0
    return Prototypes(middle, unit, _sharpness(seen, labels, sums) / max(length, 1e-6))


def _sharpness(seen: np.ndarray, labels: np.ndarray, sums: np.ndarray) -> float:
    """What a cosine of 1 is worth: the smallest log-loss of rows, each beside prototypes that it is
    left out of, and of one more that is imagined to belong to the second label of all: without it a
    few rows that lie well would make every answer certain."""
    own = sums[labels] - seen
    usable = np.linalg.norm(own, axis=1) > 1e-6
    usable &= np.bincount(labels, minlength=len(sums))[labels] > 1
    if not usable.any():
        return _UNKNOWN
    cosines = seen @ _unit(sums).T
    places = np.arange(len(labels))
    cosines[places, labels] = (seen * _unit(own)).sum(axis=1)
    cosines, labels = cosines[usable], labels[usable]
    losses = []
    for sharpness in _SHARPNESS:
        logits = sharpness * cosines
        logits -= logits.max(axis=1, keepdims=True)
        logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        second = np.partition(logs, -2, axis=1)[:, -2]
        losses.append(-logs[np.arange(len(labels)), labels].sum() - second.mean())
    return _SHARPNESS[int(np.argmin(losses))]


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Each row at length one; rows of nothing stay nothing."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: np.ndarray = vectors / np.where(length > 1e-9, length, 1.0)
    return unit


def _drawn(rows: Rows, most: int, seed: int) -> Rows:
    """At most so many rows of each label, in their order."""
    order = np.random.default_rng(seed).permutation(len(rows))
    kept = [order[rows.labels[order] == label][:most] for label in np.unique(rows.labels)]
    return rows.take(np.sort(np.concatenate(kept))) if kept else rows


def _named(label: str, settings: Settings) -> str:
    said = settings.descriptions.get(label, "")
    return f"{label}: {said}" if said else label


def _encoder(folder: Path) -> Path:
    """The encoder that the version or base in `folder` stands on."""
    inner = folder / _ENCODER
    return inner if inner.is_dir() and not (folder / "config.json").is_file() else folder


def _told(schema: Schema, bare: list[str]) -> str:
    whole = len(bare) == len(schema.labels)
    return t("training.note_all_by_name" if whole else "training.note_by_name", labels=bare)
