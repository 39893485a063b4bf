"""The instant stage of search: BM25 over the terms of the catalogue. Nothing is learnt, nothing
is needed but the documents, and it takes seconds."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

from feilun.engines._search import Catalogue
from feilun.engines.card import write_card
from feilun.messages import t
from feilun.tasks.base import TaskBase
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.retrieval import catalogue_of, reads_queries, searches
from feilun.training.rows import start_card
from feilun.training.settings import MethodSettings
from feilun.types import Progress

__all__ = ["Settings", "estimate", "needs_base", "needs_torch", "order", "supports", "train"]

order = 0
needs_base = False
needs_torch = False
least_rows = 0

_TERMS = 150.0  # of a document
_BYTES = 40  # of a term of a document, while the index is made


class Settings(MethodSettings):
    """``[training.bm25]``."""


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Documents ranked for a text."""
    return searches(task)


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """From the number of documents."""
    count = rows.train + rows.validation + rows.test
    memory = 200e6 + count * _TERMS * _BYTES
    return Estimate(int(memory), 1.0 + count * 2e-4, {"rows": count})


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes a `bm25` version. An update makes the index anew."""
    begin = perf_counter()
    dataset, schema, _ = reads_queries(job)
    documents = catalogue_of(dataset)
    report(Progress("train", 0, len(documents), "rows", note=t("training.note_indexing")))
    Catalogue.of(documents).write(job.out)
    write_card(job.out, start_card(job, "bm25", schema, settings.model_dump()))
    return TrainResult({"seconds": perf_counter() - begin, "documents": float(len(documents))})
