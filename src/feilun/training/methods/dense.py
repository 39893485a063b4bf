"""Rung one of search: the vectors of an encoder as it is, beside BM25."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

from feilun.errors import UsageError
from feilun.messages import t
from feilun.tasks.base import TaskBase
from feilun.training.body import describe
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.retrieval import DenseSettings, reads_queries, searches, write_dense
from feilun.types import Progress

__all__ = ["Settings", "estimate", "needs_base", "needs_torch", "order", "supports", "train"]

order = 1
needs_base = True
needs_torch = True
least_rows = 0


class Settings(DenseSettings):
    """``[training.dense]``."""


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Documents ranked for a text."""
    return searches(task)


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """One pass of the encoder over all documents."""
    body = describe(job.base)
    count = rows.train + rows.validation + rows.test
    seconds = 15.0 + machine.seconds(body.forward(rows.mean_cost) * count)
    memory = 3 * body.bytes + count * body.width * 8 + 800e6
    return Estimate(int(memory), seconds, {"rows": count, "parameters": body.parameters})


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes a `dense` version. An update reads all documents again: the encoder does not learn."""
    if not isinstance(job.base, Path):
        raise UsageError("training.needs_folder", method=job.method, base=job.base)
    begin = perf_counter()
    _, schema, task = reads_queries(job)
    report(Progress("train", 0, 1, "rows", note=t("training.note_opening")))
    processor = task.processor(job.base, schema.settings)
    figures = write_dense(job, settings, task.encoder(job.base), processor, report)
    return TrainResult({"seconds": perf_counter() - begin, **figures})
