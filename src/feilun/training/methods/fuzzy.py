"""Remembers the texts of the training rows and their answers: a translation memory, in seconds and
without a base model. Of a text with several answers the most frequent one is kept."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from time import perf_counter

from pydantic import Field

from feilun.engines.card import write_card
from feilun.engines.fuzzy import Memory
from feilun.families.generation import Generation
from feilun.messages import t
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
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

_BYTES = 8000  # of a text and its answer with their terms and tokens
_SECONDS = 2e-4


class Settings(MethodSettings):
    """``[training.fuzzy]``."""

    max_rows: int = Field(
        500_000, ge=100, description="training rows remembered at most, drawn by the seed"
    )
    hidden_rows: int = Field(
        500,
        ge=30,
        le=100_000,
        description="rows that are hidden one by one to measure how sure a similar text is",
    )


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Texts that are answered alike where they are alike."""
    if isinstance(task.family, Generation) and task.family.parallel:
        return None
    return t("training.reason_no_fuzzy", task=task.name)


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """From the number of rows."""
    used = min(rows.train, settings.max_rows)
    seconds = 1.0 + used * _SECONDS + settings.hidden_rows * (2e-3 + used * 1e-8)
    return Estimate(int(150e6 + used * _BYTES), seconds, {"rows": used})


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes a `fuzzy` version. An update remembers all rows anew."""
    begin = perf_counter()
    dataset = Dataset(job.data)
    schema = schema_of(job, dataset)
    rows, notes = drawn(all_rows(dataset), settings.max_rows, job.seed)
    report(Progress("train", 0, len(rows), "rows"))
    said: dict[str, Counter[str]] = {}
    for item, target in zip(rows.items, rows.labels, strict=True):
        said.setdefault(str(item), Counter())[str(target)] += 1
    targets = [one.most_common(1)[0][0] for one in said.values()]
    repeats = getattr(tasks.of(schema).family, "repeats", False)
    memory = Memory.of(list(said), targets, repeats)
    found = memory.measured(settings.hidden_rows, job.seed)
    memory.write(job.out)
    report(Progress("train", len(rows), len(rows), "rows"))
    write_card(job.out, start_card(job, "fuzzy", schema, settings.model_dump(mode="json")))
    figures = {
        "seconds": perf_counter() - begin,
        "rows": float(len(rows)),
        "texts": float(len(said)),
        "matched": found / min(len(said), settings.hidden_rows),
    }
    return TrainResult(figures, tuple(notes))
