"""A student of half the layers, taught by its teacher's answers."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from feilun.engines.base import open_engine
from feilun.engines.card import read_card
from feilun.errors import UsageError
from feilun.metrics.probabilities import softmax
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.training.methods import distil, soup
from helpers.bert import write_bert
from helpers.jobs import job_for, train, write_dataset, write_unlabelled

FAST = {"epochs": 8, "learning_rate": 5e-3, "batch_rows": 16, "patience": 8, "augment": "off"}


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path, str]:
    """A teacher, its student, the data that both learned, and what is said of the student."""
    folder = tmp_path_factory.mktemp("distil")
    data = write_dataset(folder / "data", 200)
    teacher = job_for("full", data, folder / "teacher", write_bert(folder / "base"), settings=FAST)
    train(teacher)
    asked = write_unlabelled(folder / "unlabelled", [f"lovely tea no. {n}" for n in range(20)])
    job = job_for(
        "distil", data, folder / "student", settings=FAST, members=(teacher.out,), unlabelled=asked
    )
    result = train(job)
    assert result.figures["layers"] == 1
    assert result.figures["rows"] == 150 + 20
    return teacher.out, job.out, data, "; ".join(result.notes)


def test_it_has_half_the_layers_and_agrees(taught: tuple[Path, Path, Path, str]) -> None:
    teacher, student, data, said = taught
    assert "20 of them without a label" in said
    assert json.loads((student / "config.json").read_text("utf-8"))["num_hidden_layers"] == 1
    assert read_card(student).method == "distil"
    items = Dataset(data).items("test")
    stated = []
    for folder in (teacher, student):
        engine = open_engine(folder, threads=1)
        stated.append(softmax(engine.raw(items)))
        engine.close()
    assert (stated[0].argmax(axis=1) == stated[1].argmax(axis=1)).mean() > 0.8
    assert np.abs(stated[0] - stated[1]).mean() < 0.2
    weights = [(folder / "model.safetensors").stat().st_size for folder in (teacher, student)]
    assert weights[1] < weights[0]


def test_the_first_and_the_last_layer_are_kept(
    taught: tuple[Path, Path, Path, str], tmp_path: Path
) -> None:
    teacher, _, data, _ = taught
    task = tasks.get("text-classification")
    schema = Dataset(data).schema
    assert distil.halved(task, teacher, schema, tmp_path / "same", wanted=2) == (2, 2)
    first, second = (
        task.load(folder, schema).model.state_dict() for folder in (teacher, tmp_path / "same")
    )
    assert all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.slow
def test_any_version_teaches_a_student_that_begins_as_the_base(
    taught: tuple[Path, Path, Path, str], tmp_path: Path
) -> None:
    data = taught[2]
    teacher = job_for("linear", data, tmp_path / "teacher", settings={"augment": "off"})
    train(teacher)
    settings = {**FAST, "student": "base", "of": ["linear"], "soft": 1.0}
    members = (teacher.out,)
    job = job_for("distil", data, tmp_path, settings=settings, members=members)
    with pytest.raises(UsageError, match="base"):
        train(job)
    base = write_bert(tmp_path / "base")
    train(replace(job, base=base))
    items = Dataset(data).items("test")
    stated = []
    for folder in (teacher.out, job.out):
        engine = open_engine(folder, threads=1)
        stated.append(softmax(engine.raw(items)))
        engine.close()
    assert (stated[0].argmax(axis=1) == stated[1].argmax(axis=1)).mean() > 0.8


def test_without_a_teacher_it_is_said_what_to_train(
    taught: tuple[Path, Path, Path, str], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="full"):
        train(job_for("distil", taught[2], tmp_path, settings=FAST))


def test_a_soup_takes_what_does_no_harm(
    taught: tuple[Path, Path, Path, str], tmp_path: Path
) -> None:
    teacher, _, data, _ = taught
    near, far = (_moved(teacher, tmp_path / name, by) for name, by in (("a", 0.0), ("b", 5.0)))
    job = job_for("soup", data, tmp_path / "soup", members=(far, near, teacher))
    result = train(job)
    assert result.figures["versions"] == 2  # the one that was moved far is left out
    assert read_card(job.out).method == "soup"
    engines = [open_engine(one, threads=1) for one in (job.out, teacher)]
    first, second = (one.raw(["lovely tea", "stale bread"]) for one in engines)
    assert np.allclose(first, second, atol=1e-5)
    for engine in engines:
        engine.close()


def test_the_mean_of_weights(taught: tuple[Path, Path, Path, str], tmp_path: Path) -> None:
    teacher = taught[0]
    parts = [teacher, *(_moved(teacher, tmp_path / str(n), n) for n in (1.0, 2.0))]
    out = _moved(teacher, tmp_path / "out", 0.0)
    soup.write_mean(parts, out)
    mean, *others = (load_file(one / "model.safetensors") for one in (out, *parts))
    for name, tensor in mean.items():
        assert np.allclose(tensor, sum(one[name] for one in others) / 3, atol=1e-5)


def test_one_version_makes_no_soup(taught: tuple[Path, Path, Path, str], tmp_path: Path) -> None:
    teacher, student, data, _ = taught
    with pytest.raises(UsageError, match="architecture"):  # the student has fewer layers
        train(job_for("soup", data, tmp_path, members=(student, teacher)))


def _moved(folder: Path, out: Path, by: float) -> Path:
    """The version with noise of this size on its weights."""
    shutil.copytree(folder, out)
    draw = np.random.default_rng(0)
    weights = load_file(out / "model.safetensors")
    moved = {
        name: tensor + draw.normal(0, by, tensor.shape).astype(tensor.dtype)
        if np.issubdtype(tensor.dtype, np.floating)
        else tensor
        for name, tensor in weights.items()
    }
    save_file(moved, out / "model.safetensors", metadata={"format": "pt"})
    return out
