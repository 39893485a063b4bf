"""A head on a frozen encoder, and how its vectors are made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from feilun.engines.base import open_engine
from feilun.errors import UsageError
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.training import embed, standardise
from feilun.types import Progress
from helpers.bert import write_bert
from helpers.jobs import job_for, train, write_dataset
from helpers.rows import reviews

TASK = tasks.get("text-classification")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("base"))


def test_it_learns_and_the_engine_answers(tmp_path: Path, base: Path) -> None:
    data = write_dataset(tmp_path / "data")
    job = job_for("head", data, tmp_path, base)
    seen: list[Progress] = []
    train(job, seen.append)
    dataset = Dataset(data)
    engine = open_engine(job.out, threads=1)
    logits = engine.raw(dataset.items("test"))
    engine.close()
    assert (logits.argmax(axis=1) == dataset.labels("test")).mean() > 0.75
    assert {str(f.relative_to(job.out)) for f in job.out.rglob("*") if f.is_file()} == {
        "encoder/config.json",
        "encoder/model.safetensors",
        "encoder/tokenizer.json",
        "encoder/tokenizer_config.json",
        "feilun.json",
        "head.safetensors",
        "out_of_fold.safetensors",
    }
    weights = (job.out / "encoder" / "model.safetensors").read_bytes()
    assert weights == (base / "model.safetensors").read_bytes()
    assert seen[-1].unit == "fits"
    assert max(p.done for p in seen if p.unit == "rows") == 390, "180, as many copies, 30 to judge"


def test_both_ways_to_vectors_agree(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [text for text, _ in reviews(100)] + [""]
    fast = embed.Embedder(TASK, base, {"max_length": 32}, threads=1)
    assert fast.engine == "openvino"
    done: list[int] = []
    found = fast.vectors(texts, done.append)
    assert done[-1] == len(texts)
    monkeypatch.setattr(embed, "_openvino", lambda *_: None)
    plain = embed.Embedder(TASK, base, {"max_length": 32}, threads=1)
    assert plain.engine == "torch"
    wanted = plain.vectors(texts, lambda _: None)
    assert found.shape == wanted.shape == (101, 32)
    assert np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()
    assert plain.vectors([], lambda _: None).shape == (0, 1)


def test_a_dead_column_is_not_made_loud() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    vectors[:, 2] = 0.25 + 1e-7 * vectors[:, 2]
    scale = standardise.spreads(vectors)
    assert scale[2] == 1
    assert np.allclose(scale[[0, 1, 3]], vectors[:, [0, 1, 3]].std(axis=0))


def test_nothing_frozen_begins_from_nothing(tmp_path: Path) -> None:
    job = job_for("head", tmp_path, tmp_path, "scratch:vit")
    with pytest.raises(UsageError) as caught:
        train(job)
    assert caught.value.code == "training.needs_folder"


@pytest.mark.slow
def test_new_rows_refit_on_all(tmp_path: Path, base: Path) -> None:
    data = write_dataset(tmp_path / "data", 120)
    job = job_for("head", data, tmp_path / "first", base)
    train(job)
    again = job_for("head", data, tmp_path / "second", base, previous=job.out, new_rows=("row-0",))
    assert train(again).figures["rows"] == 90
    first, second = (load_file(j.out / "head.safetensors") for j in (job, again))
    assert all(np.array_equal(first[name], second[name]) for name in first)
