"""Learns how many of a document's own sentences make its summary, and which: the first ones, unless
another ranking is clearly better. In seconds and without a base model."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Literal

import numpy as np
from pydantic import Field

from feilun.engines.card import write_card
from feilun.engines.extractive import RANKINGS
from feilun.engines.extractive import order as rank_sentences
from feilun.families.generation import Generation
from feilun.messages import t
from feilun.metrics.summaries import rouge, rouge_tokens
from feilun.modalities.text.sentences import join, sentences
from feilun.store.dataset import Dataset
from feilun.tasks.base import TaskBase
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.rows import all_rows, drawn, schema_of, start_card
from feilun.training.settings import MethodSettings
from feilun.types import Progress

__all__ = ["Settings", "estimate", "needs_base", "needs_torch", "order", "supports", "train"]

order = 0
needs_base = False
needs_torch = False
least_rows = 0

_BYTES = 20_000  # of a document with its sentences
_SECONDS = 8e-3  # a row, with all rankings and numbers of sentences
_CLEARLY = 2.0  # standard errors of the difference


class Settings(MethodSettings):
    """``[training.extractive]``."""

    ranking: Literal["auto", "lead", "centroid", "textrank"] = Field(
        "auto",
        description="which sentences are taken: lead, the first; centroid, those nearest to the"
        " whole; textrank, those that many are like; auto: lead unless another is clearly better",
    )
    most_sentences: int = Field(8, ge=1, le=50, description="sentences of a summary at most")
    max_rows: int = Field(
        400, ge=30, le=100_000, description="training rows looked at, drawn by the seed"
    )


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Texts whose answers say shortly what they say."""
    if isinstance(task.family, Generation) and task.family.condenses:
        return None
    return t("training.reason_no_extractive", task=task.name)


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """From the number of rows."""
    used = min(rows.train, settings.max_rows)
    return Estimate(int(100e6 + used * _BYTES), 1.0 + used * _SECONDS, {"rows": used})


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes an `extractive` version. An update looks at rows of all that there are."""
    begin = perf_counter()
    dataset = Dataset(job.data)
    schema = schema_of(job, dataset)
    rows, _ = drawn(all_rows(dataset), settings.max_rows, job.seed)
    rankings = RANKINGS if settings.ranking == "auto" else (settings.ranking,)
    scores = np.zeros((len(rankings), settings.most_sentences, len(rows)))
    for row, (item, target) in enumerate(zip(rows.items, rows.labels, strict=True)):
        found, truth = sentences(str(item)), rouge_tokens(str(target))
        for place, ranking in enumerate(rankings):
            ranked = rank_sentences(found, ranking)
            for count in range(settings.most_sentences):
                if count >= len(ranked):  # there is no more to add
                    scores[place, count:, row] = scores[place, count - 1, row]
                    break
                written = join([found[one] for one in sorted(ranked[: count + 1])])
                scores[place, count, row] = rouge(truth, rouge_tokens(written))[2]
        report(Progress("train", row + 1, len(rows), "rows"))
    best, many = _chosen(scores)
    settings_used = settings.model_dump(mode="json")
    learnt = {**settings_used, "ranking": rankings[best], "sentences": many + 1}
    write_card(job.out, start_card(job, "extractive", schema, learnt))
    figures = {
        "seconds": perf_counter() - begin,
        "rows": float(len(rows)),
        "sentences": float(many + 1),
        "rouge_l": float(scores[best, many].mean()),
    }
    note = t("training.note_extractive", ranking=rankings[best], sentences=many + 1)
    return TrainResult(figures, (note,))


def _chosen(scores: np.ndarray) -> tuple[int, int]:
    """The place of a ranking and of a number of sentences in scores (rankings, numbers, rows): the
    best number of each; the first ranking unless another gains more than chance explains."""
    numbers = scores.mean(axis=2).argmax(axis=1)
    rows = [scores[place, number] for place, number in enumerate(numbers)]
    best = max(range(len(rows)), key=lambda place: float(rows[place].mean()))
    gain = rows[best] - rows[0]
    error = gain.std() / np.sqrt(len(gain))
    if gain.mean() <= _CLEARLY * error:
        best = 0
    return best, int(numbers[best])
