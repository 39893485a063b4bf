"""Data versions and training jobs small enough for a test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from feilun.store.dataset import DatasetWriter
from feilun.training.job import Report, TrainJob, TrainResult
from feilun.training.settings import method
from feilun.types import Example, Schema, Split
from helpers.rows import reviews

__all__ = ["job_for", "train", "write_dataset", "write_unlabelled"]

TASK = "text-classification"


def write_dataset(
    folder: Path,
    count: int = 240,
    labels: Sequence[str] = ("bad", "great"),
    rows: Sequence[tuple[str, str]] | None = None,
    settings: dict[str, Any] | None = None,
) -> Path:
    """Reviews as a data version: three quarters train, the rest in halves validation and test."""
    with DatasetWriter(folder, {"text": "text"}) as writer:
        for number, (text, label) in enumerate(rows or reviews(count, noise=0.05)):
            split: Split = "train"
            if number % 4 == 3:
                split = "validation" if number % 8 == 3 else "test"
            writer.add(Example(f"row-{number}", text, label, split))
        settings = settings or {"max_length": 32, "feature_bits": 12}
        writer.close(Schema(TASK, tuple(labels), settings))
    return folder


def write_unlabelled(folder: Path, texts: Sequence[str]) -> Path:
    """Texts without a label as a data version."""
    with DatasetWriter(folder, {"text": "text"}) as writer:
        for number, text in enumerate(texts):
            writer.add(Example(f"more-{number}", text, None))
        writer.close(Schema(TASK, ()))
    return folder


def job_for(
    name: str, data: Path, folder: Path, base: Path | str | None = None, **more: Any
) -> TrainJob:
    """A job of the method `name`, on one thread, with fresh folders under `folder`."""
    out, scratch = folder / "out", folder / "scratch"
    out.mkdir(parents=True)
    scratch.mkdir(exist_ok=True)
    defaults: dict[str, Any] = {"threads": 1, "seed": 7}
    return TrainJob(name, TASK, data, base, out, scratch, **(defaults | more))


def train(job: TrainJob, report: Report = lambda progress: None) -> TrainResult:
    """Trains in this process."""
    chosen = method(job.method)
    return chosen.train(job, chosen.Settings(**job.settings), report)
