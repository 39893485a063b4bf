"""The instant stage of language models: n-grams of bytes are counted, in seconds, without torch.

It is the honest baseline in bits per byte, and it writes: the API is live at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import numpy as np
from pydantic import Field

from feilun.engines._bytes import ByteModel
from feilun.engines.card import write_card
from feilun.messages import t
from feilun.store.dataset import Dataset
from feilun.tasks.base import TaskBase
from feilun.training.corpus import documents
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.rows import schema_of, start_card
from feilun.training.settings import MethodSettings
from feilun.types import Progress

__all__ = ["Settings", "estimate", "needs_base", "needs_torch", "order", "supports", "train"]

order = 0
needs_base = False
needs_torch = False
least_rows = 0

_RATE = 1e6  # bytes a second
_BYTES = 60  # memory for a byte that is counted


class Settings(MethodSettings):
    """``[training.ngrams]``."""

    max_megabytes: float = Field(
        8, gt=0, description="megabytes of documents that are counted at most, drawn by the seed"
    )


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Documents."""
    if task.family.name == "likelihood":
        return None
    return t("training.reason_no_corpus", task=task.name)


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """From the number of bytes that are counted at most."""
    size = min(settings.max_megabytes * 1e6, 1000.0 * rows.train)
    return Estimate(int(100e6 + size * _BYTES), 1.0 + size / _RATE, {"rows": rows.train})


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes an `ngrams` version. An update counts anew."""
    begin = perf_counter()
    dataset = Dataset(job.data)
    schema = schema_of(job, dataset)
    size = sum(len(text.encode("utf-8", "replace")) for text in documents(dataset, "train"))
    share = min(1.0, settings.max_megabytes * 1e6 / max(1, size))
    used = 0

    def some() -> Iterator[str]:
        nonlocal used
        lots = np.random.default_rng(job.seed)
        for done, text in enumerate(documents(dataset, "train"), 1):
            if share == 1.0 or lots.random() < share:
                used += len(text.encode("utf-8", "replace"))
                yield text
            if done % 1000 == 0:
                report(Progress("train", done, dataset.size("train"), "rows"))

    model = ByteModel.of(some())
    model.write(job.out)
    write_card(job.out, start_card(job, "ngrams", schema, settings.model_dump(mode="json")))
    notes = []
    if share < 1:
        megabytes = f"{used / 1e6:.1f}"
        notes.append(
            t("training.note_part_counted", megabytes=megabytes, total=f"{size / 1e6:.1f}")
        )
    figures = {
        "seconds": perf_counter() - begin,
        "rows": float(dataset.size("train")),
        "bytes": float(used),
        "ngrams": float(len(model.keys[-1])),
    }
    return TrainResult(figures, tuple(notes))
