"""The instant stage of answers from documents: their passages in an index. Nothing is learnt,
nothing is needed but the documents, and it takes seconds."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

from feilun.engines.card import write_card
from feilun.messages import t
from feilun.store.dataset import Dataset
from feilun.tasks.base import TaskBase
from feilun.training.documents import answers_questions, library_of
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.rows import schema_of, start_card
from feilun.training.settings import MethodSettings
from feilun.types import Progress

__all__ = ["Settings", "estimate", "needs_base", "needs_torch", "order", "supports", "train"]

order = 0
needs_base = False
needs_torch = False
least_rows = 0

_BYTES = 20_000  # of a section with its terms, while the index is made
_SECONDS = 1e-3


class Settings(MethodSettings):
    """``[training.passages]``."""


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Questions answered from documents."""
    return answers_questions(task)


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """From the number of rows."""
    count = rows.train + rows.validation + rows.test
    return Estimate(int(150e6 + count * _BYTES), 1.0 + count * _SECONDS, {"rows": count})


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes a `passages` version. An update makes it anew."""
    begin = perf_counter()
    dataset = Dataset(job.data)
    schema = schema_of(job, dataset)
    report(Progress("train", 0, len(dataset), "rows", note=t("training.note_indexing")))
    library = library_of(dataset, schema.settings)
    library.write(job.out)
    write_card(job.out, start_card(job, "passages", schema, settings.model_dump()))
    figures = {
        "seconds": perf_counter() - begin,
        "documents": float(len(library.documents)),
        "passages": float(len(library.passages)),
    }
    return TrainResult(figures)
