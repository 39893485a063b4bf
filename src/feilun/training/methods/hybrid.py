"""Rung one of answers from documents and of answers that are remembered: the vectors of an encoder
as it is, beside BM25."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from feilun.engines.memory import SEARCH, document
from feilun.errors import UsageError
from feilun.messages import t
from feilun.modalities.language import causal, conversations, gguf
from feilun.store.dataset import Dataset, DatasetWriter
from feilun.tasks import base as tasks
from feilun.tasks.base import TaskBase
from feilun.training.documents import answers_questions, asked_of, library_of
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.methods import dense, memory
from feilun.training.retrieval import DenseSettings, Searched, reads_queries, write_encoder
from feilun.training.rows import read
from feilun.types import Example, Progress, Schema, Split

__all__ = [
    "Settings",
    "default_base",
    "estimate",
    "needs_base",
    "needs_torch",
    "order",
    "supports",
    "train",
]

order = 1
needs_base = True
needs_torch = True
least_rows = 0
default_base = "minilm"

_SEARCHES = "text-similarity"
_USUAL = 0.5
"""Share of BM25 where no question chooses it: vectors alone find fewer passages than terms do
(docs/decisions/question-answering.md)."""


class Settings(DenseSettings):
    """``[training.hybrid]``."""


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Questions answered from documents, and conversations, with a base that is an encoder."""
    if answers_questions(task) is None:
        return None
    if memory.supports(task, base) is not None:
        return t("training.reason_no_hybrid", task=task.name)
    writes = isinstance(base, Path) and (gguf.found(base) is not None or causal.unfit(base) is None)
    return t("training.reason_no_search_base", base=base) if writes else None


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """One pass of the encoder over all passages, as `dense`."""
    return dense.estimate(job, dense.Settings(), rows, machine)


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes a `hybrid` version. An update makes it anew: the encoder does not learn."""
    if not isinstance(job.base, Path):
        raise UsageError("training.needs_folder", method=job.method, base=job.base)
    begin = perf_counter()
    if memory.supports(tasks.get(job.task), job.base) is None:
        notes, figures = _remembered(job, settings, report)
        return TrainResult({"seconds": perf_counter() - begin, **figures}, notes)
    dataset, schema, task = reads_queries(job)
    report(Progress("train", 0, 1, "rows", note=t("training.note_opening")))
    library = library_of(dataset, schema.settings)
    library.write(job.out)
    asked = asked_of(dataset, library)
    searched = Searched("hybrid", library.texts, library.lexical, asked, usual=_USUAL)
    processor = task.processor(job.base, schema.settings)
    figures = write_encoder(job, settings, task.encoder(job.base), processor, searched, report)
    return TrainResult({"seconds": perf_counter() - begin, **figures})


def _remembered(
    job: TrainJob, settings: Settings, report: Report
) -> tuple[tuple[str, ...], dict[str, float]]:
    """Writes a `memory` version whose answers are found as a search finds documents; its own
    questions choose the share of BM25."""
    config = settings.model_dump(mode="json")
    asked, notes = memory.remember(job, memory.Settings().max_rows, config, report)
    found = {answer: document(answer, questions) for answer, questions in asked.items()}
    task = tasks.get(_SEARCHES)
    dataset = Dataset(job.data)
    shutil.rmtree(job.scratch / SEARCH, ignore_errors=True)  # of a training that was killed
    with DatasetWriter(job.scratch / SEARCH, {task.columns[0].name: "text"}) as writer:
        splits: tuple[Split, ...] = ("train", "validation")
        for split in splits:
            rows = read(dataset, split)
            for number, (item, answer) in enumerate(zip(rows.items, rows.labels, strict=True)):
                if (text := found.get(str(answer))) is not None:
                    question, target = conversations.question(str(item)), task.family.target(text)
                    writer.add(Example(f"{split}-{number}", question, target, split))
        writer.close(Schema(_SEARCHES, (), task.Settings().model_dump()))
    (job.out / SEARCH).mkdir()
    inner = replace(
        job,
        task=_SEARCHES,
        data=job.scratch / SEARCH,
        out=job.out / SEARCH,
        previous=None,
        task_settings={},
    )
    chosen = dense.Settings(**settings.model_dump())
    result = dense.train(inner, chosen, report)
    return tuple(notes), {**result.figures, "answers": float(len(asked))}
