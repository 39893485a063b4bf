"""Remembers the answered questions of the training rows, in seconds and without a base model.

The version is a list of answers with an index of all that was asked for each and of its own words:
of questions that were only reworded a third more find their answer so than by the nearest question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from pydantic import Field
from safetensors.numpy import save_file

from feilun.engines._index import Documents, Index
from feilun.engines.card import write_card
from feilun.engines.memory import ANSWERS, PLACES, QUESTIONS, document
from feilun.families.generation import Generation
from feilun.messages import t
from feilun.modalities.language import conversations
from feilun.store.dataset import Dataset
from feilun.tasks.base import TaskBase
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.rows import all_rows, drawn, schema_of, start_card
from feilun.training.settings import MethodSettings
from feilun.types import Progress

__all__ = [
    "Settings",
    "estimate",
    "needs_base",
    "needs_torch",
    "order",
    "remember",
    "supports",
    "train",
]

order = 0
needs_base = False
needs_torch = False
least_rows = 0

_BYTES = 6000  # of a question and its answer with their terms
_SECONDS = 1e-4


class Settings(MethodSettings):
    """``[training.memory]``."""

    max_rows: int = Field(
        500_000, ge=100, description="training rows remembered at most, drawn by the seed"
    )


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Texts that conversations are answered with."""
    if isinstance(task.family, Generation) and task.family.converses:
        return None
    return t("training.reason_no_memory", task=task.name)


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """From the number of rows."""
    used = min(rows.train, settings.max_rows)
    return Estimate(int(100e6 + used * _BYTES), 1.0 + used * _SECONDS, {"rows": used})


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes a `memory` version. An update remembers all rows anew."""
    begin = perf_counter()
    asked, notes = remember(job, settings.max_rows, settings.model_dump(mode="json"), report)
    figures = {
        "seconds": perf_counter() - begin,
        "rows": float(sum(map(len, asked.values()))),
        "answers": float(len(asked)),
    }
    return TrainResult(figures, tuple(notes))


def remember(
    job: TrainJob, most: int, config: Mapping[str, Any], report: Report
) -> tuple[dict[str, list[str]], Sequence[str]]:
    """Writes the answers of `most` training rows with all that was asked for each, and the card.
    Returns these, and notes."""
    dataset = Dataset(job.data)
    schema = schema_of(job, dataset)
    rows, notes = drawn(all_rows(dataset), most, job.seed)
    report(Progress("train", 0, len(rows), "rows"))
    asked: dict[str, list[str]] = {}
    for item, answer in zip(rows.items, rows.labels, strict=True):
        asked.setdefault(str(answer), []).append(conversations.question(str(item)))
    Index.of(document(answer, questions) for answer, questions in asked.items()).write(job.out)
    Documents.write(job.out / ANSWERS, list(asked))
    Documents.write(job.out / QUESTIONS, list(chain.from_iterable(asked.values())))
    places = np.repeat(np.arange(len(asked), dtype=np.int32), list(map(len, asked.values())))
    save_file({"places": places}, job.out / PLACES)
    report(Progress("train", len(rows), len(rows), "rows"))
    write_card(job.out, start_card(job, "memory", schema, config))
    return asked, notes
