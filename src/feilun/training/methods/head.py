"""The base stays as it is, and logistic regression learns on its vectors: of classes against each
other, of each tag against its absence, of the tag of each word where spans are found.

Writes ``encoder/`` (the base's configuration, weights and processor) and ``head.safetensors``:
`mean` and `scale` (width,) standardise a vector, `weight` (outputs, width) and `bias` (outputs,)
turn it into logits. `stack` learns in the same way, on the vectors beside the instant features.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from feilun.engines.card import write_card
from feilun.engines.torch import HEAD
from feilun.errors import UsageError
from feilun.messages import t
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.tasks.base import TaskBase
from feilun.training import augment, logistic, one_vs_rest, out_of_fold
from feilun.training.body import describe
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.logistic import Fitted, Matrix
from feilun.training.rows import Rows, all_rows, dataset_of, drawn, read, schema_of, start_card
from feilun.training.settings import MethodSettings, read_by_encoders
from feilun.training.standardise import spreads
from feilun.types import Item, Progress, Schema

if TYPE_CHECKING:
    from feilun.training.embed import Embedder

__all__ = ["Settings", "estimate", "needs_base", "needs_torch", "opened", "order", "supports",
           "train", "write"]  # fmt: skip

order = 1
needs_base = True
needs_torch = True
least_rows = 50
folded = True

_STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
_EMBEDDING = 0.85  # of the time that is left; the rest is for fitting
_FEWEST = 100  # rows that a time limit leaves
_FAMILIES = ("classes", "tags", "spans")
_POSITIONS = 150_000  # vectors of words that are held at most: 230 MB at a width of 384
_CHOOSING = 20_000  # of them that choose the strength
_PAIRED = 4  # vectors of one encoder's width that a pair of texts is described by


class Beside:
    """What stands beside the vectors: here nothing."""

    strengths: ClassVar[Sequence[float]] = _STRENGTHS
    tag_strengths: ClassVar[Sequence[float]] = _STRENGTHS
    """The same of a tag against its absence."""
    extra: ClassVar[Mapping[str, Any]] = {}
    """What the card says of it."""

    @classmethod
    def of(cls, schema: Schema, items: Sequence[Item], own: int, held: Sequence[Item]) -> Beside:
        """That of `items`, of which the first `own` are no changed copies, and of `held`."""
        return cls()

    def joined(self, vectors: np.ndarray, held: np.ndarray) -> tuple[Matrix, Matrix]:
        """Both with what stands beside them."""
        return vectors, held

    def written(self, job: TrainJob, fitted: Fitted) -> Fitted:
        """Writes what was `fitted` of it; what is left is that of the vectors."""
        return fitted


class Settings(MethodSettings):
    """``[training.head]``."""

    strength: float | None = Field(
        None, gt=0, description="inverse of the regularisation; by default the best of 0.001 to 0.3"
    )
    max_rows: int = Field(
        100_000, ge=100, description="training rows used at most, drawn by the seed"
    )


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Classes, tags and spans of what an encoder reads."""
    if task.family.name not in _FAMILIES:
        return t("training.reason_no_vector_answer", task=task.name)
    return read_by_encoders(task)


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """One pass of the encoder over all rows; then little."""
    body = describe(job.base)
    used = min(rows.train, settings.max_rows)
    used = augment.counted(job, settings.augment, settings.augment_share, used) + rows.validation
    task = tasks.get(job.task)
    fitted, width, passes = float(used), body.width, len(task.columns)
    if task.family.by_position:
        fitted = min(used * max(1.0, rows.mean_cost), _POSITIONS)
    elif passes > 1:
        width *= _PAIRED
    outputs = len(task.family.outputs(tuple(rows.labels)))
    forward = passes * body.forward(rows.mean_cost) * used
    seconds = 5.0 + machine.seconds(forward) + fitted * outputs / 1e5
    memory = 3 * body.bytes + fitted * width * 4 * 3 + 600e6
    return Estimate(int(memory), seconds, {"rows": used, "parameters": body.parameters})


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes a `head` version. An update refits on all rows: the encoder does not learn."""
    return learn(job, settings, report)


def learn(
    job: TrainJob, settings: Settings, report: Report, kind: type[Beside] = Beside
) -> TrainResult:
    """The same, on the vectors and what stands beside them."""
    if not isinstance(job.base, Path):
        raise UsageError("training.needs_folder", method=job.method, base=job.base)
    dataset = dataset_of(job)
    schema = schema_of(job, dataset)
    rows, notes = drawn(all_rows(dataset), settings.max_rows, job.seed)
    given = job, settings, report, dataset, schema, rows, notes
    if tasks.of(schema).family.by_position:
        return _learn_positions(*given)
    return _learn_items(*given, kind)


def _learn_items(
    job: TrainJob,
    settings: Settings,
    report: Report,
    dataset: Dataset,
    schema: Schema,
    rows: Rows,
    notes: list[str],
    kind: type[Beside],
) -> TrainResult:
    """Of one vector an item."""
    start = perf_counter()
    found = augment.added(job, settings.augment, settings.augment_share, rows)
    more = found.more if found else rows
    held = read(dataset, "validation")
    total, limited = len(more) + len(held), False
    embedder = opened(job, schema, total, report)

    def embed(items: Sequence[Item], before: int) -> np.ndarray:
        def tick(done: int) -> None:
            report(
                Progress("train", before + done, total, "rows", note=t("training.note_embedding"))
            )

        return embedder.vectors(items, tick)

    began = time.time()
    unseen = embed(held.items, 0)
    room = _room(job, len(held), time.time() - began)
    if room < len(more):
        every, found = len(rows), None
        rows = more = drawn(rows, int(room), job.seed)[0]
        total, limited = len(rows) + len(held), len(rows) < every
        if limited:
            notes.append(t("training.note_fewer_rows", rows=len(rows), total=every))
            report(Progress("train", len(held), total, "rows", note=notes[-1]))
    originals = rows
    vectors = embed(more.items, len(held))
    mean = vectors[: len(rows)].mean(axis=0)
    scale = spreads(vectors[: len(rows)])
    unseen = unseen if len(held) else np.zeros((0, len(mean)), np.float32)
    embedded = perf_counter() - start
    seen, hold = (vectors - mean) / scale, (unseen - mean) / scale
    beside = kind.of(schema, more.items, len(rows), held.items)
    seen, hold = beside.joined(seen, hold)
    count, family, balance = len(schema.labels), tasks.of(schema).family, settings.class_weights

    def fit(own: Rows, weights: np.ndarray | None, origins: np.ndarray | None) -> Fitted:
        strengths = beside.strengths if settings.strength is None else (settings.strength,)
        how: dict[str, Any] = {"groups": own.groups, "seed": job.seed, "tick": _fitting(report)}
        labels = own.labels
        if labels.ndim == 2:  # a mark a tag, and behind them what has no column
            if settings.strength is None:
                strengths = beside.tag_strengths
            return one_vs_rest.fit(seen, labels[:, :count], strengths=strengths, **how)
        return logistic.fit(
            seen[: len(labels)],
            labels,
            count,
            (hold, held.labels),
            weights=weights,
            strengths=strengths,
            origins=origins,
            **how,
        )

    fitted = None
    if found is None or not found.asked:
        fitted = fit(rows, family.weights(rows.labels, schema.labels, balance), None)
    if found is not None:
        weights = family.weights(more.labels, schema.labels, balance, rows.labels)
        other = fit(more, weights, found.origins)
        notes.append(augment.said(found, fitted, other))
        if fitted is None or augment.helps(fitted, other):
            fitted, rows = other, more
    assert fitted is not None
    write(job, embedder, {"mean": mean, "scale": scale}, beside.written(job, fitted))
    out_of_fold.keep(job.out, originals.ids, fitted.raw)
    card = start_card(job, "head", schema, settings.model_dump())
    write_card(job.out, replace(card, extra={**card.extra, **beside.extra}))
    figures = {
        "seconds": perf_counter() - start,
        "embed_seconds": embedded,
        "rows": float(len(rows)),
        "strength": fitted.strength,
    }
    if limited:
        figures["cut_short"] = 1.0
    return TrainResult(figures, tuple(notes))


def _learn_positions(
    job: TrainJob,
    settings: Settings,
    report: Report,
    dataset: Dataset,
    schema: Schema,
    rows: Rows,
    notes: list[str],
) -> TrainResult:
    """Of a family that answers by position: the vectors of all words of a row learn their tags.
    Whole rows are read, drawn by the seed, until there are vectors enough; a part of them chooses
    the strength, over folds of whole rows."""
    start = perf_counter()
    family, total = tasks.of(schema).family, len(rows)
    rows = rows.take(np.random.default_rng(job.seed).permutation(total))
    embedder = opened(job, schema, total, report)
    until = math.inf
    if job.deadline is not None:
        until = time.time() + _EMBEDDING * (job.deadline - time.time())

    def tick(done: int) -> None:
        done = min(done, total)
        report(Progress("train", done, total, "rows", note=t("training.note_embedding")))

    objective = family.objective(rows.labels, schema.labels, settings)
    vectors, targets, owners = embedder.positions(
        rows.items, list(rows.labels), objective, _POSITIONS, tick, until
    )
    used = len(np.unique(owners))
    if used < total:
        notes.append(t("training.note_fewer_rows", rows=used, total=total))
    mean, scale = vectors.mean(axis=0), spreads(vectors)
    embedded = perf_counter() - start
    vectors -= mean
    vectors /= scale
    count = len(family.outputs(schema.labels))
    strengths: tuple[float, ...] = _STRENGTHS
    nobody = (vectors[:0], targets[:0])
    how: dict[str, Any] = {"seed": job.seed, "tick": _fitting(report)}
    if settings.strength is None:
        few = slice(0, _CHOOSING)
        chosen = logistic.fit(
            vectors[few],
            targets[few],
            count,
            nobody,
            strengths=strengths,
            groups=owners[few],
            **how,
        )
        strengths = (chosen.strength,)
    else:
        strengths = (settings.strength,)
    fitted = logistic.fit(vectors, targets, count, nobody, strengths=strengths, **how)
    write(job, embedder, {"mean": mean, "scale": scale}, fitted)
    write_card(job.out, start_card(job, "head", schema, settings.model_dump()))
    figures = {
        "seconds": perf_counter() - start,
        "embed_seconds": embedded,
        "rows": float(used),
        "words": float(len(targets)),
        "strength": fitted.strength,
    }
    if until < math.inf and used < total:
        figures["cut_short"] = 1.0
    return TrainResult(figures, tuple(notes))


def opened(job: TrainJob, schema: Schema, total: int, report: Report) -> Embedder:
    """The encoder of `job.base`, to read `total` rows with."""
    from feilun.training.embed import Embedder

    assert isinstance(job.base, Path)
    report(Progress("train", 0, total, "rows", note=t("training.note_opening")))
    return Embedder(tasks.get(job.task), job.base, dict(schema.settings), job.threads)


def _fitting(report: Report) -> Callable[[int, int], None]:
    def tick(done: int, fits: int) -> None:
        report(Progress("train", done, fits, "fits", note=t("training.note_fitting")))

    return tick


def _room(job: TrainJob, held: int, seconds: float) -> float:
    """How many rows there is time for: what the `held` ones took says it."""
    if job.deadline is None or not held:
        return math.inf
    each = max(1e-9, seconds / held)
    return max(_FEWEST, int(_EMBEDDING * (job.deadline - time.time()) / each))


def write(
    job: TrainJob, embedder: Embedder, moments: dict[str, np.ndarray], fitted: logistic.Fitted
) -> None:
    """Writes the encoder of `job.base` and what is `fitted` on its vectors into ``job.out``, all of
    a `head` version but the card."""
    from safetensors.numpy import save_file

    encoder = job.out / "encoder"
    encoder.mkdir()
    for file in sorted(Path(str(job.base)).iterdir()):
        weights = file.suffix == ".safetensors" and not file.name.startswith("adapter")
        if weights or file.name in ("config.json", "model.safetensors.index.json"):
            shutil.copyfile(file, encoder / file.name)
    embedder.save_processor(encoder)
    save_file({**moments, "weight": fitted.coef, "bias": fitted.intercept}, job.out / HEAD)
