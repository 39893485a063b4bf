"""Conditional random fields for spans: over characters, words and their neighbours, in seconds to
minutes and without a base model.

The version is a model of CRFsuite in its own format.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from pydantic import Field

from feilun.engines.card import write_card
from feilun.engines.crf import MODEL, crfsuite
from feilun.errors import InvalidData
from feilun.messages import t
from feilun.modalities.text import sequence
from feilun.store.dataset import Dataset
from feilun.tasks.base import TaskBase
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.rows import Rows, all_rows, drawn, schema_of, start_card
from feilun.training.settings import MethodSettings
from feilun.types import Progress, Range, Real, Whole

__all__ = ["Settings", "estimate", "needs_base", "needs_torch", "order", "supports", "train"]

order = 0
needs_base = False
needs_torch = False
least_rows = 0

_CHUNK = 256
_TOKENS = 60.0  # of a row, where nothing has counted them
_BYTES = 700  # of a token with its features, as CRFsuite holds it
_SECONDS = 4e-7  # of an iteration for a token and a pair of tags
_ITERATION = re.compile(r"\*+ Iteration #(\d+)")
_LOSS = re.compile(r"Loss: ([\d.]+)")
_SETTLED = 40  # iterations that it mostly takes


class Settings(MethodSettings):
    """``[training.crf]``."""

    iterations: int = Field(100, ge=1, le=10_000, description="iterations at most")
    c1: float = Field(0.1, ge=0, description="L1 regularisation: more leaves fewer features")
    c2: float = Field(0.05, ge=0, description="L2 regularisation")
    improvement: float = Field(
        0.002, ge=0, le=1, description="share of the loss by which ten iterations must better it"
    )
    min_count: int = Field(
        1, ge=1, description="times that a feature must occur in training; rarer ones are dropped"
    )
    max_rows: int = Field(
        50_000, ge=100, description="training rows used at most, drawn by the seed"
    )

    @classmethod
    def space(cls, task: TaskBase) -> Mapping[str, Range]:
        """How many features are left, and how much they may weigh."""
        return {
            "c1": Real(0.01, 1.0, log=True),
            "c2": Real(0.005, 1.0, log=True),
            "min_count": Whole(1, 4, log=True),
        }


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Spans of texts alone."""
    if task.family.name == "spans" and task.modality == "text":
        return None
    return t("training.reason_no_spans", task=task.name)


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """From the number of tokens: each is held with its features, and seen in every iteration."""
    used = min(rows.train, settings.max_rows)
    tokens = used * (rows.mean_cost or _TOKENS)
    tags = 4 * max(1, len(rows.labels)) + 1
    rounds = min(settings.iterations, _SETTLED)
    seconds = 2.0 + tokens * (2e-5 + rounds * _SECONDS * (tags + 10))
    return Estimate(int(200e6 + tokens * _BYTES), seconds, {"rows": used, "tokens": tokens})


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes a `crf` version. An update learns from all rows anew: it takes seconds to minutes."""
    begin = perf_counter()
    dataset = Dataset(job.data)
    schema = schema_of(job, dataset)
    rows, notes = drawn(all_rows(dataset), settings.max_rows, job.seed)

    def told(done: int) -> None:
        report(Progress("train", done, len(rows), "rows", note=t("training.note_features")))

    watch = _Watch(settings.iterations, report)
    trainer = _trainer(watch)
    tokens = _fill(trainer, rows, told)
    if not tokens:
        raise InvalidData("training.no_rows", folder=dataset.folder)
    trainer.set_params(
        {
            "c1": settings.c1,
            "c2": settings.c2,
            "max_iterations": settings.iterations,
            "period": 10,
            "delta": settings.improvement,
            "feature.minfreq": settings.min_count,
            "feature.possible_transitions": True,
        }
    )
    trainer.train(str(job.out / MODEL))
    watch.check()
    write_card(job.out, start_card(job, "crf", schema, settings.model_dump()))
    figures = {
        "seconds": perf_counter() - begin,
        "rows": float(len(rows)),
        "tokens": float(tokens),
        "iterations": float(watch.iterations),
    }
    return TrainResult(figures, tuple(notes))


def _fill(trainer: Any, rows: Rows, told: Callable[[int], None]) -> int:
    """Gives the trainer all rows; the number of tokens."""
    total = 0
    for begin in range(0, len(rows), _CHUNK):
        part = rows.take(np.arange(begin, min(len(rows), begin + _CHUNK)))
        for item, spans in zip(part.items, part.labels, strict=True):
            text = str(item)
            tokens = sequence.tokens(text)
            if tokens:
                seen = sequence.features(text, tokens)
                trainer.append(seen, sequence.tags_of(tokens, spans))
                total += len(tokens)
        told(min(len(rows), begin + _CHUNK))
    return total


@dataclass
class _Watch:
    """Passes on how training goes. What `report` raises is kept until CRFsuite has returned, whose
    own code no exception may cross."""

    most: int
    report: Report
    iterations: int = 0
    raised: list[BaseException] = field(default_factory=list)

    def line(self, text: str) -> None:
        """A line of CRFsuite's log: the number of an iteration, or the loss after it."""
        if found := _ITERATION.match(text):
            self.iterations = int(found[1])
        found = _LOSS.match(text)
        if not found or self.raised:
            return
        figures = {"loss": float(found[1])}
        try:
            self.report(Progress("train", self.iterations, self.most, "steps", figures))
        except BaseException as error:  # noqa: BLE001 - raised again by `check`
            self.raised.append(error)

    def check(self) -> None:
        if self.raised:
            raise self.raised[0]


def _trainer(watch: _Watch) -> Any:
    package = crfsuite()

    class Trainer(package.Trainer):  # type: ignore[name-defined]
        def message(self, message: str) -> None:
            watch.line(message)

    return Trainer(algorithm="lbfgs", verbose=False)
