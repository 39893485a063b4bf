"""A student: a teacher's network with fewer of its layers, taught what the teacher answers.

The student begins as the teacher without every other layer (Sanh and others 2019, "DistilBERT"), or
as the project's base, whatever the teacher is (an ensemble, a stack, a linear model). It learns
from soft targets (Hinton, Vinyals and Dean 2015): what the teacher states of a row, mixed with what
is right where a row has a target. Rows without one teach, too: those of the data version, with
``traffic`` what callers asked of late, as far as their inputs may be kept, and with ``corpus``
those of the project's corpora.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
from pydantic import Field

from feilun.engines.base import open_engine
from feilun.engines.card import read_card
from feilun.errors import UsageError
from feilun.messages import t
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.tasks.base import TaskBase
from feilun.training import finetune
from feilun.training.batches import EncodedRows, Labelled
from feilun.training.body import describe
from feilun.training.finetune_settings import FineTuneSettings
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.rows import Rows, read, schema_of
from feilun.training.settings import read_by_encoders
from feilun.types import Item, Progress, Schema

__all__ = ["Settings", "begins", "combines", "estimate", "halved", "least_rows", "needs_base",
           "needs_torch", "on_request", "order", "settle", "supports", "taught", "teacher_of",
           "train"]  # fmt: skip

order = 4
needs_base = False
needs_torch = True
least_rows = 50
on_request = True
combines = "weights"

Shrink = Callable[[TaskBase, Path, Schema, Path], dict[str, float]]
"""Writes a smaller network of the teacher in the one folder into the other."""

_RATE = 2e-4  # of a width of 384; what is left of a teacher learns to do without the rest
_COUNTS = ("num_hidden_layers", "n_layers", "n_layer", "num_layers")
"""What configurations call the number of layers."""


class Settings(FineTuneSettings):
    """``[training.distil]``."""

    of: tuple[str, ...] = Field(
        ("full",),
        min_length=1,
        max_length=1,
        description="method whose newest version teaches; it is trained first",
    )
    student: Literal["teacher", "base"] = Field(
        "teacher",
        description="what the student begins as: teacher, its network with fewer layers; base, the "
        "project's base, whatever the teacher is",
    )
    layers: int | None = Field(
        None, ge=1, description="layers that the student keeps; by default half of the teacher's"
    )
    soft: float = Field(
        0.7, ge=0, le=1, description="share of the teacher's answer in what a labelled row teaches"
    )
    corpus: bool = Field(False, description="whether the rows of the project's corpora teach, too")
    traffic: bool = Field(
        False,
        description="whether inputs of calls teach, too, as far as they may be kept "
        "(feedback.store_inputs, and each key's own)",
    )


def begins(settings: Mapping[str, Any]) -> bool:
    """Where the student is not made of its teacher."""
    return settings.get("student") == "base"


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Whatever an encoder learns whose answers can be targets."""
    return read_by_encoders(task) or task.family.untaught()


def settle(job: TrainJob, settings: Settings) -> Settings:
    """`settings` with what is left open fixed by the base that the teacher grew from."""
    if job.base is None:
        return settings.model_copy(update={"batch_rows": settings.batch_rows or 64})
    return finetune.settle(job, settings, _RATE)


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """Half of what the teacher takes to learn, and its answers to all rows."""
    if job.base is None:
        return Estimate(2_000_000_000, 60.0 + 0.05 * rows.train, {"rows": float(rows.train)})
    whole = finetune.estimate(
        job, finetune.settle(job, settings, _RATE), rows, machine, trained=1.0
    )
    return replace(whole, seconds=0.7 * whole.seconds)


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes a version that transformers reads. Raises `UsageError` where there is no teacher, or
    its network has no layers that could be left out."""

    def fewer(task: TaskBase, teacher: Path, schema: Schema, out: Path) -> dict[str, float]:
        kept, layers = halved(task, teacher, schema, out, settings.layers)
        return {"layers": float(kept), "all_layers": float(layers)}

    if settings.student == "base":
        return taught(job, settings, report, None, _RATE)
    made = taught(job, settings, report, fewer, _RATE)
    kept, layers = int(made.figures["layers"]), int(made.figures["all_layers"])
    return replace(made, notes=(t("training.note_student", kept=kept, layers=layers), *made.notes))


def teacher_of(job: TrainJob, named: str) -> Path:
    """The newest version of the method that teaches. Raises `UsageError` where there is none."""
    if not job.members:
        raise UsageError("training.no_teacher", method=named)
    return job.members[-1]


def taught(
    job: TrainJob, settings: Any, report: Report, shrink: Shrink | None, rate: float
) -> TrainResult:
    """A version that learned what its teacher answers. `shrink` writes its network, which begins as
    a part of the teacher's, into a folder and returns figures; without it the network is that of
    the job's base. `rate` is the step size for a width of 384. Raises `UsageError` where there is
    no teacher or no base, or the teacher knows other labels."""
    from transformers import set_seed

    start = perf_counter()
    teacher = teacher_of(job, settings.of[0])
    dataset = Dataset(job.data)
    schema, task = schema_of(job, dataset), tasks.get(job.task)
    family = task.family
    if read_card(teacher).schema.labels != schema.labels:
        raise UsageError("training.other_labels", method=settings.of[0])
    own = _all(dataset, schema)
    more = Dataset(job.unlabelled).items() if job.unlabelled else ()
    items: list[Item] = [*own.items, *more]
    report(Progress("train", 0, len(items), "rows", note=t("training.note_teacher")))
    with closing(open_engine(teacher, threads=job.threads)) as engine:
        raw = family.settled(engine.raw(items), schema, engine.card.point)
    unknown = family.truth([None] * (len(items) - len(own)), schema.labels)
    truth = np.concatenate([own.labels, unknown]) if len(unknown) else own.labels
    soft = family.softened(raw, truth, schema.labels, settings.soft)
    student, shrunk = job.base, {}
    if shrink is not None:
        student = job.scratch / "student"
        shrunk = shrink(task, teacher, schema, student)
    if not isinstance(student, Path):
        raise UsageError("training.needs_folder", method=job.method, base=student)
    job = replace(job, base=student)
    settled = finetune.settle(job, settings, rate)
    objective = family.objective(soft, schema.labels, settled)
    processor = task.processor(student, schema.settings)
    reader = Labelled(processor, objective)
    judges = read(dataset, "validation")
    nothing = np.zeros((len(judges), raw.shape[1]), np.float32)
    hard = family.softened(nothing, judges.labels, schema.labels, 0.0)
    set_seed(job.seed)
    model: Any = task.load(student, schema).model
    lesson = finetune.Lesson(
        schema,
        model,
        EncodedRows(Rows(items, soft), reader),
        EncodedRows(replace(judges, labels=hard), reader),
        objective,
        describe(student),
        processor.save,
        notes=[
            t("training.note_taught", rows=len(items),
              unlabelled=int((~family.known(truth)).sum()))
        ],
    )  # fmt: skip
    figures = finetune.teach(job, settled, lesson, report)
    figures |= {
        "seconds": perf_counter() - start,
        "rows": float(len(items)),
        **shrunk,
    }
    return TrainResult(figures, tuple(lesson.notes))


def halved(
    task: TaskBase, teacher: Path, schema: Schema, out: Path, wanted: int | None = None
) -> tuple[int, int]:
    """Writes the network in `teacher` with `wanted` of its layers (default: half), evenly spread
    with the first and the last among them, into `out`; how many are kept, and of how many. Raises
    `UsageError` where it has no such layers."""
    import torch

    model: Any = task.load(teacher, schema).model
    config = model.config
    name = next((one for one in _COUNTS if getattr(config, one, None)), "")
    count = int(getattr(config, name, 0)) if name else 0
    stacks = [
        (parent, key, child)
        for parent in model.modules()
        for key, child in parent.named_children()
        if isinstance(child, torch.nn.ModuleList) and len(child) == count
    ]
    if count < 2 or len(stacks) != 1:
        raise UsageError("training.no_layer_stack", architecture=type(model).__name__)
    kept = min(count, wanted or max(1, count // 2))
    places = np.linspace(0, count - 1, kept).round().astype(int).tolist() if kept > 1 else [0]
    parent, key, layers = stacks[0]
    setattr(parent, key, torch.nn.ModuleList([layers[place] for place in places]))
    setattr(config, name, kept)
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    task.processor(teacher, schema.settings).save(out)
    return kept, count


def _all(dataset: Dataset, schema: Schema) -> Rows:
    """The training rows, also those without a target."""
    family = tasks.get(schema.task).family
    labels = family.truth(dataset.values("label", "train"), schema.labels)
    return Rows(dataset.items("train"), labels)
