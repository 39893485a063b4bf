"""Boosted trees that also see what a frozen encoder knows of a table's texts.

To the score that the words of a text give (see `trees`) comes one that its vector gives, both from
models that have not seen the row; trees weigh them beside numbers, categories and dates. Rare words
that decide are found by the one, words that no training row has by the other.

Writes a `trees` version with ``encoder/`` in it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import perf_counter

from pydantic import Field

from feilun.engines._column_vectors import ENCODER, ColumnVectors
from feilun.engines.card import Card, write_card
from feilun.errors import UsageError
from feilun.messages import t
from feilun.tasks import base as tasks
from feilun.tasks.base import TaskBase
from feilun.training.body import describe
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.methods import trees
from feilun.training.retrieval import convert_encoder
from feilun.types import Progress, Schema

__all__ = ["Settings", "estimate", "least_rows", "needs_base", "needs_torch", "order", "supports",
           "train"]  # fmt: skip

order = 2
needs_base = True
needs_torch = True
least_rows = 200
folded = True

_CELL = "text-classification"  # the task by which an encoder reads a cell: one text


class Settings(trees.Settings):
    """``[training.fusion]``."""

    max_length: int = Field(
        256, ge=8, le=8192, description="tokens of a text that an encoder reads; the rest is cut"
    )
    max_rows: int = Field(
        50_000, ge=100, description="training rows used at most, drawn by the seed"
    )


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Tables with a column of texts, into classes or numbers."""
    reason = trees.supports(task, base)
    if reason is None and task.columns and not _texts(task):
        return t("training.reason_no_texts", task=task.name)
    return reason


def _texts(task: TaskBase) -> list[str]:
    return [column.name for column in task.columns if column.kind == "text"]


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """One pass of the encoder over the texts of all rows, then as `trees`."""
    found = trees.estimate(job, settings, rows, machine)
    body = describe(job.base)
    used = min(rows.train, settings.max_rows) + rows.validation
    columns = len(_texts(tasks.get(job.task).bound(job.task_settings)))
    seconds = 15.0 + machine.seconds(body.forward(rows.mean_cost) * used)
    memory = 3 * body.bytes + used * columns * body.width * 12
    return replace(
        found,
        seconds=found.seconds + seconds,
        memory_bytes=found.memory_bytes + int(memory),
        detail={**found.detail, "parameters": body.parameters},
    )


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes a `trees` version. An update trains anew on all rows: the encoder does not learn."""
    if not isinstance(job.base, Path):
        raise UsageError("training.needs_folder", method=job.method, base=job.base)
    if not _texts(tasks.get(job.task).bound(job.task_settings)):  # a part without them
        return trees.learn(job, settings, report)
    start = perf_counter()
    report(Progress("train", 0, 1, "rows", note=t("training.note_opening")))
    encoder = _written(job, job.base, settings)
    try:
        found = trees.learn(job, settings, report, encoder)
    finally:
        encoder.close()
    return replace(found, figures={**found.figures, "seconds": perf_counter() - start})


def _written(job: TrainJob, base: Path, settings: Settings) -> ColumnVectors:
    """The encoder of `base`, as the version keeps it."""
    task = tasks.get(_CELL)
    schema = Schema(_CELL, ("-", "+"), {"max_length": settings.max_length})
    folder = job.out / ENCODER
    folder.mkdir()
    processor = task.processor(base, schema.settings)
    processor.save(folder)
    width = convert_encoder(task.encoder(base), processor, task, folder)
    point = task.family.neutral()
    write_card(folder, Card("openvino", schema, job.method, point=point, extra={"width": width}))
    return ColumnVectors(folder, job.threads)
