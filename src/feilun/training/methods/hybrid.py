"""Rung one of answers from documents: the vectors of an encoder as it is, beside BM25."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

from feilun.errors import UsageError
from feilun.messages import t
from feilun.tasks.base import TaskBase
from feilun.training.documents import answers_questions, asked_of, library_of
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.methods import dense
from feilun.training.retrieval import DenseSettings, Searched, reads_queries, write_encoder
from feilun.types import Progress

__all__ = ["Settings", "estimate", "needs_base", "needs_torch", "order", "supports", "train"]

order = 1
needs_base = True
needs_torch = True
least_rows = 0

_USUAL = 0.5
"""Share of BM25 where no question chooses it: vectors alone find fewer passages than terms do
(docs/decisions/question-answering.md)."""


class Settings(DenseSettings):
    """``[training.hybrid]``."""


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Questions answered from documents."""
    return answers_questions(task)


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """One pass of the encoder over all passages, as `dense`."""
    return dense.estimate(job, dense.Settings(), rows, machine)


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes a `hybrid` version. An update makes it anew: the encoder does not learn."""
    if not isinstance(job.base, Path):
        raise UsageError("training.needs_folder", method=job.method, base=job.base)
    begin = perf_counter()
    dataset, schema, task = reads_queries(job)
    report(Progress("train", 0, 1, "rows", note=t("training.note_opening")))
    library = library_of(dataset, schema.settings)
    library.write(job.out)
    asked = asked_of(dataset, library)
    searched = Searched("hybrid", library.texts, library.lexical, asked, usual=_USUAL)
    processor = task.processor(job.base, schema.settings)
    figures = write_encoder(job, settings, task.encoder(job.base), processor, searched, report)
    return TrainResult({"seconds": perf_counter() - begin, **figures})
