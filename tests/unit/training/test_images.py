"""Pictures: every method that fits them, from nothing and from weights."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from feilun.engines.base import open_engine
from feilun.store.dataset import Dataset, DatasetWriter
from feilun.training.job import TrainJob
from feilun.types import Example, Schema, Split
from helpers.jobs import train

TASK = "image-classification"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The handwritten zeros, ones and sevens of scikit-learn, as PNG."""
    folder = tmp_path_factory.mktemp("digits")
    found = load_digits()
    chosen = [place for place, label in enumerate(found.target) if label in (0, 1, 7)]
    with DatasetWriter(folder, {"image": "image"}) as writer:
        for number, place in enumerate(chosen[:200]):
            picture = io.BytesIO()
            Image.fromarray((found.images[place] * 15).astype(np.uint8)).save(picture, "PNG")
            split: Split = "validation" if number % 4 == 0 else "train"
            label = str(found.target[place])
            writer.add(Example(f"row-{number}", picture.getvalue(), label, split))
        settings = {"image_size": 16, "color": False}
        writer.close(Schema(TASK, ("0", "1", "7"), settings))
    return folder


def job_for(method: str, data: Path, folder: Path, base: Any, **more: Any) -> TrainJob:
    out, scratch = folder / "out", folder / "scratch"
    for made in (out, scratch):
        made.mkdir(parents=True)
    return TrainJob(method, TASK, data, base, out, scratch, threads=1, **more)


def accuracy(version: Path, data: Path) -> float:
    dataset = Dataset(data)
    engine = open_engine(version, threads=1)
    logits = engine.raw(dataset.items("validation"))
    engine.close()
    return float((logits.argmax(axis=1) == dataset.labels("validation")).mean())


def test_linear(tmp_path: Path, data: Path) -> None:
    job = job_for("linear", data, tmp_path, None)
    train(job)
    assert accuracy(job.out, data) > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("base", ["scratch:resnet", "scratch:vit"])
def test_from_nothing_the_best_epoch_is_what_is_kept(tmp_path: Path, data: Path, base: str) -> None:
    """The engine measures what training said: the weights of the best epoch came back whole."""
    settings = {"epochs": 6, "patience": 6, "batch_rows": 16, "precision": "fp32"}
    job = job_for("full", data, tmp_path, base, settings=settings)
    result = train(job)
    assert result.figures["validation_accuracy"] > 0.9
    assert accuracy(job.out, data) == pytest.approx(result.figures["validation_accuracy"])
    assert (job.out / "preprocessor_config.json").is_file()
    # And from these weights on: an update, and a head on the frozen body.
    new = tuple(f"row-{n}" for n in range(1, 40, 4))
    again = job_for(
        "full",
        data,
        tmp_path / "update",
        None,
        previous=job.out,
        new_rows=new,
        settings={"epochs": 1, "learning_rate": 1e-4, "batch_rows": 16, "precision": "fp32"},
    )
    train(again)
    assert accuracy(again.out, data) > 0.85
    head = job_for("head", data, tmp_path / "head", job.out)
    train(head)
    assert accuracy(head.out, data) > 0.9
    assert (head.out / "encoder" / "preprocessor_config.json").is_file()
