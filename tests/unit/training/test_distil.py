"""A student of half the layers, taught by its teacher's answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from feilun.engines.base import open_engine
from feilun.engines.card import read_card
from feilun.errors import UsageError
from feilun.families.classes.probabilities import softmax
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.training.methods import distil
from helpers.bert import write_bert
from helpers.jobs import job_for, train, write_dataset

FAST = {"epochs": 8, "learning_rate": 5e-3, "batch_rows": 16, "patience": 8, "augment": "off"}


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path, str]:
    """A teacher, its student, the data that both learned, and what is said of the student."""
    folder = tmp_path_factory.mktemp("distil")
    data = write_dataset(folder / "data", 200)
    teacher = job_for("full", data, folder / "teacher", write_bert(folder / "base"), settings=FAST)
    train(teacher)
    asked = folder / "unlabelled.jsonl"
    asked.write_text(
        "\n".join(json.dumps(f"lovely tea no. {n}") for n in range(20)) + "\n", "utf-8"
    )
    job = job_for(
        "distil", data, folder / "student", settings=FAST, members=(teacher.out,), unlabelled=asked
    )
    result = train(job)
    assert result.figures["layers"] == 1
    assert result.figures["rows"] == 150 + 20
    return teacher.out, job.out, data, result.notes[0]


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


def test_without_a_teacher_it_is_said_what_to_train(
    taught: tuple[Path, Path, Path, str], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="full"):
        train(job_for("distil", taught[2], tmp_path, settings=FAST))
