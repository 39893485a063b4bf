"""The linear baseline: what it writes is what the engine answers from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from feilun.engines.base import open_engine
from feilun.errors import InvalidData
from feilun.store.dataset import Dataset
from feilun.training import logistic
from feilun.training.methods import linear
from feilun.types import Progress
from helpers.jobs import job_for, train, write_dataset
from helpers.rows import reviews


def accuracy(version: Path, data: Path) -> float:
    dataset = Dataset(data)
    engine = open_engine(version)
    logits = engine.raw(dataset.items("test"))
    engine.close()
    return float((logits.argmax(axis=1) == dataset.labels("test")).mean())


def test_it_learns_and_the_engine_answers(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", 400)
    job = job_for("linear", data, tmp_path)
    seen: list[Progress] = []
    result = train(job, seen.append)
    assert accuracy(job.out, data) > 0.85
    assert result.figures["rows"] == 300
    assert seen[-1].done == seen[-1].total
    tensors = load_file(job.out / "weights.safetensors")
    kept = len(tensors["columns"])
    assert tensors["coef"].shape == (2, kept)
    assert kept < 2**12
    assert (np.diff(tensors["columns"]) > 0).all()
    files = {"weights.safetensors", "out_of_fold.safetensors", "feilun.json"}
    assert {file.name for file in job.out.iterdir()} == files


def test_a_bag_is_one_model_of_the_same_size(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", 400)
    written = {}
    for name, bag in (("one", 1), ("bag", 8), ("again", 8)):
        job = job_for("linear", data, tmp_path / name, settings={"bag": bag, "augment": "off"})
        train(job)
        assert accuracy(job.out, data) > 0.85
        written[name] = load_file(job.out / "weights.safetensors")
        assert (job.out / "out_of_fold.safetensors").exists() == (bag == 1)
    assert written["bag"]["coef"].shape == written["one"]["coef"].shape
    assert not np.allclose(written["bag"]["coef"], written["one"]["coef"])
    assert np.array_equal(written["bag"]["coef"], written["again"]["coef"])
    # A rare label is in every draw; numbers and tags are drawn alike.
    rare = np.array([0] * 50 + [1])
    assert all((rare[places] == 1).sum() == 1 for places in linear._drawn_again(rare, 20, 0))
    numbers = np.arange(9.0)
    assert [len(places) for places in linear._drawn_again(numbers, 2, 0)] == [9, 9]


def test_the_same_job_writes_the_same_bytes(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data")
    written = []
    for name in ("first", "second"):
        job = job_for("linear", data, tmp_path / name)
        train(job)
        written.append((job.out / "weights.safetensors").read_bytes())
    assert written[0] == written[1]


def test_few_validation_rows_are_not_asked(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", 40)
    job = job_for("linear", data, tmp_path)
    assert train(job).figures["strength"] in logistic.STRENGTHS


def test_rows_beyond_the_limit_are_named(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data")
    settings = {"max_rows": 100, "augment": "off"}
    job = job_for("linear", data, tmp_path, settings=settings)
    result = train(job)
    assert result.figures["rows"] == 100
    assert result.notes == ("100 of 180 training rows were used, drawn at random",)


def test_one_label_is_refused(tmp_path: Path) -> None:
    rows = [(text, "great") for text, _ in reviews(40)]
    data = write_dataset(tmp_path / "data", rows=rows)
    with pytest.raises(InvalidData) as caught:
        train(job_for("linear", data, tmp_path))
    assert caught.value.code == "training.one_label"
    assert "great" in str(caught.value)


def test_a_label_without_rows_is_never_answered(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", labels=("bad", "fine", "great"))
    job = job_for("linear", data, tmp_path)
    train(job)
    engine = open_engine(job.out)
    logits = engine.raw([text for text, _ in reviews(50, seed=9)])
    engine.close()
    assert logits.shape == (50, 3)
    assert 1 not in logits.argmax(axis=1)
    assert np.isfinite(logits).all()


@pytest.mark.slow
def test_thousands_of_labels_stay_small(tmp_path: Path) -> None:
    rows = [(f"item {n % 2501} of sort {n % 2501}", f"label-{n % 2501:04}") for n in range(7503)]
    labels = sorted({label for _, label in rows})
    data = write_dataset(tmp_path / "data", labels=labels, rows=rows, settings={"feature_bits": 18})
    job = job_for("linear", data, tmp_path)
    train(job)
    assert accuracy(job.out, data) > 0.9
    size = (job.out / "weights.safetensors").stat().st_size
    assert size <= 4 * linear._BAYES_WEIGHTS * 1.1


def test_rare_labels_can_weigh_as_much_as_others(tmp_path: Path) -> None:
    rows = reviews(400, noise=0.2)
    rows = [row for n, row in enumerate(rows) if row[1] == "great" or n % 8 < 2]
    data = write_dataset(tmp_path / "data", rows=rows)
    answered = []
    for balance in ("none", "balanced"):
        job = job_for("linear", data, tmp_path / balance, settings={"class_weights": balance})
        train(job)
        engine = open_engine(job.out)
        answered.append(int((engine.raw([t for t, _ in rows]).argmax(axis=1) == 0).sum()))
        engine.close()
    assert answered[1] > answered[0]
