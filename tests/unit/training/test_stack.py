"""Instant features and the vectors of a frozen encoder in one model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from feilun.compression.compress import compress
from feilun.config import CompressionConfig
from feilun.engines.array import STACKED
from feilun.engines.base import open_engine
from feilun.engines.card import read_card
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.training import out_of_fold
from feilun.training.methods import stack
from feilun.training.settings import methods_for
from helpers.bert import write_bert
from helpers.jobs import job_for, train, write_dataset


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A stack on a tiny encoder, and the data that it learned."""
    folder = tmp_path_factory.mktemp("stack")
    data = write_dataset(folder / "data")
    job = job_for("stack", data, folder, write_bert(folder / "base"))
    train(job)
    return job.out, data


def test_it_learns_and_both_parts_answer(version: tuple[Path, Path]) -> None:
    out, data = version
    dataset = Dataset(data)
    items, labels = dataset.items("test"), dataset.labels("test")
    card = read_card(out)
    assert (card.format, card.method, card.extra[STACKED]) == ("head", "stack", True)
    engine = open_engine(out, threads=1)
    raw = engine.raw(items)
    engine.close()
    assert (raw.argmax(axis=1) == labels).mean() > 0.8
    folded = out_of_fold.read(out)
    assert folded is not None
    assert (folded.raw.argmax(axis=1) == dataset.labels("train")).mean() > 0.75
    # What the vectors alone say is another answer.
    (out / "alone").mkdir()
    plain = open_engine(_without(out), threads=1)
    alone = plain.raw(items)
    plain.close()
    assert np.abs(alone - raw).max() > 0.1


def _without(out: Path) -> Path:
    import shutil
    from dataclasses import replace

    from feilun.engines.card import write_card

    folder = out / "alone" / "head"
    shutil.copytree(out / "encoder", folder / "encoder")
    shutil.copyfile(out / "head.safetensors", folder / "head.safetensors")
    write_card(folder, replace(read_card(out), extra={}))
    return folder


@pytest.mark.slow
def test_its_variants_answer_as_it_does(version: tuple[Path, Path], tmp_path: Path) -> None:
    out, data = version
    settings = CompressionConfig(variants=["int8"])
    made = compress(out, data, tmp_path / "variants", settings, lambda progress: None)
    items = Dataset(data).items("test")
    engine = open_engine(out, threads=1)
    wanted = engine.raw(items)
    engine.close()
    for name in ("fp32", "int8"):
        served = open_engine(made.folder(name), threads=1)
        found = served.raw(items)
        answered = served.predict(items[:3])
        served.close()
        assert np.abs(found - wanted).max() < (0.01 if name == "fp32" else 0.6)
        assert len(answered) == 3


def test_it_stands_where_the_head_alone_stood() -> None:
    task = tasks.get("text-classification")
    assert stack.fallback == "head"
    assert "stack" in methods_for(task)
    for name in ("tabular-classification", "token-classification"):
        assert stack.supports(tasks.get(name), None)
