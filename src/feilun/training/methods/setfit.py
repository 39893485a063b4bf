"""A few rows a label: an encoder learns first which rows belong together, then a regression on its
vectors.

The recipe is SetFit's (Tunstall and others, "Efficient Few-Shot Learning Without Prompts", 2022):
the cosine of two rows of one label shall be 1, that of two labels 0. Where SetFit encodes the two
rows of every pair that it draws, all pairs of a batch are learnt from one encoding of its rows
here: as many pairs cost a fraction of the passes. Writes a `head` version.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from feilun.errors import UsageError
from feilun.messages import t
from feilun.modalities.checkpoints import quiet
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.tasks.base import TaskBase
from feilun.training import out_of_fold, precision
from feilun.training.body import describe
from feilun.training.descent import Descent, answers
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.methods import head
from feilun.training.rows import all_rows, schema_of
from feilun.types import OneOf, Progress, Range, Real, Whole

if TYPE_CHECKING:
    import torch

__all__ = ["Settings", "estimate", "least_rows", "needs_base", "needs_torch", "on_request", "order",
           "supports", "train"]  # fmt: skip

order = 1
needs_base = True
needs_torch = True
least_rows = 2
on_request = True

_RATE = 5e-5  # for a width of 384
_ENCODER = "setfit"


class Settings(head.Settings):
    """``[training.setfit]``."""

    passes: int = Field(20, ge=1, le=1000, description="times that each row is in a batch")
    batch_rows: int = Field(
        32, ge=4, le=512, description="rows of a batch, of which every pair is learnt"
    )
    learning_rate: float | None = Field(
        None, gt=0, lt=1, description="highest step size; by default by the size of the base"
    )
    shots: int = Field(
        64,
        ge=1,
        description="rows of each label that the encoder learns from at most, drawn by the seed; "
        "the regression learns from all",
    )

    @classmethod
    def space(cls, task: TaskBase) -> Mapping[str, Range]:
        """How long and in what steps the encoder learns."""
        return {
            "passes": Whole(5, 60, log=True),
            "learning_rate": Real(1e-5, 3e-4, log=True),
            "batch_rows": OneOf((16, 32, 64)),
        }


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Classes of one text or picture, of which rows of one label can be drawn together."""
    if task.family.name != "classes" or task.modality not in ("text", "image"):
        return t("training.reason_no_pairs", task=task.name)
    return head.supports(task, base)


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """Three passes a batch for what the encoder learns; then as `head`."""
    after = head.estimate(job, settings, rows, machine)
    body = describe(job.base)
    learnt = min(rows.train, settings.shots * max(1, len(rows.labels)))
    seconds = machine.seconds(3 * body.forward(rows.mean_cost) * learnt * settings.passes)
    batch = settings.batch_rows * max(1, rows.max_cost)
    memory = body.bytes * 6 + body.activations(batch) + 800_000_000
    return replace(
        after,
        seconds=after.seconds + 5.0 + seconds,
        memory_bytes=max(after.memory_bytes, int(memory)),
        detail={**after.detail, "pairs_of": float(learnt)},
    )


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes a `head` version. An update begins with the base again, on all rows."""
    if not isinstance(job.base, Path):
        raise UsageError("training.needs_folder", method=job.method, base=job.base)
    begin = perf_counter()
    folder = job.scratch / _ENCODER
    shutil.rmtree(folder, ignore_errors=True)
    figures = _encoder(job, job.base, settings, report, folder)
    took = perf_counter() - begin
    found = head.learn(replace(job, base=folder), settings, report)
    # The encoder has seen every row: no answer of these folds is one to an unseen row.
    (job.out / out_of_fold.FILE).unlink(missing_ok=True)
    shutil.rmtree(folder)
    seconds = perf_counter() - begin
    more = {**found.figures, **figures, "encoder_seconds": took, "seconds": seconds}
    return TrainResult(more, found.notes)


def _encoder(
    job: TrainJob, base: Path, settings: Settings, report: Report, folder: Path
) -> dict[str, float]:
    """Writes the encoder that has learnt which rows belong together into `folder`."""
    import torch

    torch.set_num_threads(job.threads or precision.cores())
    torch.manual_seed(job.seed)
    dataset = Dataset(job.data)
    schema = schema_of(job, dataset)
    task = tasks.of(schema)
    rows = all_rows(dataset)
    draw = np.random.default_rng(job.seed)
    chosen = _shots(rows.labels, settings.shots, draw)
    report(Progress("train", 0, len(chosen), "rows", note=t("training.note_opening")))
    processor = task.processor(base, schema.settings)
    encoded = processor.encode([rows.items[place] for place in chosen.tolist()])
    labels = rows.labels[chosen]
    module: Any = task.encoder(base).requires_grad_(requires_grad=True).train()
    width = max(1, describe(base).width)
    rate = settings.learning_rate or _RATE * min(2.0, 384 / width)
    size = min(settings.batch_rows, len(chosen))
    steps = math.ceil(settings.passes * len(chosen) / size)
    descent = Descent(module, rate, steps)
    half, loss = precision.prefers_bf16(), 0.0
    for done, places in enumerate(_batches(labels, size, steps, draw), 1):
        vectors = answers(module, processor, [encoded[place] for place in places.tolist()], half)
        loss = descent.step(_loss(vectors, torch.from_numpy(labels[places])))
        report(Progress("train", done, steps, "steps", {"loss": loss}))
    module.eval().requires_grad_(requires_grad=False)
    with quiet():
        module.model.save_pretrained(folder)
    processor.save(folder)
    return {"steps": float(steps), "loss": loss, "pairs_of": float(len(chosen))}


def _shots(labels: np.ndarray, most: int, draw: np.random.Generator) -> np.ndarray:
    """The places of at most so many rows of each label, sorted."""
    found = []
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        found.append(draw.permutation(places)[:most])
    return np.sort(np.concatenate(found))


def _batches(
    labels: np.ndarray, size: int, steps: int, draw: np.random.Generator
) -> Iterator[np.ndarray]:
    """Places of the rows of each batch. Every label has two rows of a batch or more, so that there
    is a pair of one label, unless there are more labels than pairs: then some are drawn."""
    each = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    for _ in range(steps):
        taken = draw.permutation(len(each))[: max(1, size // 2)]
        count = max(2, size // len(taken))
        parts = [
            draw.choice(each[label], count, replace=len(each[label]) < count)
            for label in taken.tolist()
        ]
        yield np.unique(np.concatenate(parts))


def _loss(vectors: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The mean square by which cosines miss 1 within a label and 0 across, both counting alike."""
    import torch

    one = torch.nn.functional.normalize(vectors, dim=1)
    cosine = one @ one.T
    same = labels[:, None] == labels[None, :]
    other = ~torch.eye(len(labels), dtype=torch.bool)
    parts = [
        (cosine[pairs] - wanted).square().mean()
        for pairs, wanted in ((same & other, 1.0), (~same, 0.0))
        if bool(pairs.any())
    ]
    return torch.stack(parts).mean() if parts else cosine.sum() * 0.0
