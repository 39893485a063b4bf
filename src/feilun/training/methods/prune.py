"""A narrower student: of a teacher's network the heads of attention and the units of feed-forward
layers that matter least are left out, and what is left learns for a while.

The matrices are smaller in every engine, and int8 comes on top. What matters is measured by the
gradients of the loss (`feilun.training.pruning`). Where a family's answers can be learnt from a
teacher's, the student learns from these and from what is right, as `distil`; elsewhere from what is
right alone.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from feilun.engines.card import read_card
from feilun.errors import UsageError
from feilun.messages import t
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.tasks.base import TaskBase
from feilun.training import finetune, pruning
from feilun.training.batches import EncodedRows, Labelled
from feilun.training.finetune_settings import FineTuneSettings
from feilun.training.job import Report, TrainJob, TrainResult
from feilun.training.methods import distil
from feilun.training.rows import drawn, read, schema_of
from feilun.training.settings import read_by_encoders
from feilun.types import Schema

__all__ = ["Settings", "combines", "estimate", "least_rows", "needs_base", "needs_torch",
           "on_request", "order", "settle", "supports", "train"]  # fmt: skip

order = 4
needs_base = False
needs_torch = True
least_rows = 50
on_request = True
combines = "weights"

_FAMILIES = ("classes", "numbers", "spans", "tags")
_RATE = 1e-4  # of a width of 384: most of the teacher is still there


class Settings(FineTuneSettings):
    """``[training.prune]``."""

    of: tuple[str, ...] = Field(
        ("full",),
        min_length=1,
        max_length=1,
        description="method whose newest version is pruned; it is trained first",
    )
    heads: float = Field(
        0.5, gt=0, le=1, description="share of the attention heads that stays; at least one a layer"
    )
    width: float = Field(
        0.5, gt=0, le=1, description="share of the units of each feed-forward layer that stays"
    )
    soft: float = Field(
        0.7, ge=0, le=1, description="share of the teacher's answer in what a labelled row teaches"
    )


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """What encoders with one layer on top answer: of networks that write, no heads are left out."""
    if task.family.name not in _FAMILIES:
        return t("training.reason_no_pruning", task=task.name)
    return read_by_encoders(task)


def settle(job: TrainJob, settings: Settings) -> Settings:
    """`settings` with what is left open fixed by the base that the teacher grew from."""
    if job.base is None:
        return settings.model_copy(update={"batch_rows": settings.batch_rows or 64})
    return finetune.settle(job, settings, _RATE)


estimate = distil.estimate


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes a version that transformers reads. Raises `UsageError` where there is no teacher, or
    its network has no heads that could be left out."""
    notes: list[str] = []

    def narrower(task: TaskBase, teacher: Path, schema: Schema, out: Path) -> dict[str, float]:
        found = _narrowed(job, settings, task, teacher, schema, out)
        figures: dict[str, Any] = {key: int(one) for key, one in found.items()}
        notes.append(t("training.note_pruned", **figures))
        return found

    if tasks.get(job.task).family.untaught() is None:
        made = distil.taught(job, settings, report, narrower, _RATE)
        return replace(made, notes=(*notes, *made.notes))
    teacher = distil.teacher_of(job, settings.of[0])
    schema = schema_of(job, Dataset(job.data))
    student = job.scratch / "student"
    figures = narrower(tasks.get(job.task), teacher, schema, student)
    job = replace(job, base=student)
    made = finetune.finetune(job, finetune.settle(job, settings, _RATE), report)
    return TrainResult({**made.figures, **figures}, (*notes, *made.notes))


def _narrowed(
    job: TrainJob, settings: Settings, task: TaskBase, teacher: Path, schema: Schema, out: Path
) -> dict[str, float]:
    """Writes the pruned network into `out`; how many heads and units stay, and of how many."""
    if read_card(teacher).schema.labels != schema.labels:
        raise UsageError("training.other_labels", method=settings.of[0])
    rows = drawn(read(Dataset(job.data), "train"), pruning.ROWS, job.seed)[0]
    objective = task.family.objective(rows.labels, schema.labels, settings, rows.labels)
    processor = task.processor(teacher, schema.settings)
    model: Any = task.load(teacher, schema).model
    examples = EncodedRows(rows, Labelled(processor, objective))
    matters = pruning.importance(model, examples, objective)
    heads, all_heads, units, all_units = pruning.prune(
        model, matters, settings.heads, settings.width
    )
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    processor.save(out)
    return {"heads": heads, "all_heads": all_heads, "units": units, "all_units": all_units}
