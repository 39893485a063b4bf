"""A student of fewer heads and narrower layers: what matters least is left out, in every engine."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from feilun.compression.compress import compress
from feilun.config import CompressionConfig
from feilun.engines.base import open_engine
from feilun.engines.card import read_card
from feilun.errors import UsageError
from feilun.families.spans import SPANS
from feilun.store.dataset import Dataset, DatasetWriter
from feilun.tasks import base as tasks
from feilun.training import pruning
from feilun.training.job import TrainJob
from feilun.training.pruning import Importance
from feilun.types import Example, Schema
from helpers.bert import write_bert
from helpers.jobs import job_for, train, write_dataset

FAST = {"epochs": 4, "learning_rate": 5e-3, "batch_rows": 16, "patience": 4, "augment": "off"}


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path, str]:
    """A teacher, its narrower student, the data, and what is said of the student."""
    folder = tmp_path_factory.mktemp("prune")
    data = write_dataset(folder / "data", 200)
    base = write_bert(folder / "base", width=64)
    teacher = job_for("full", data, folder / "teacher", base, settings=FAST)
    train(teacher)
    job = job_for("prune", data, folder / "student", settings=FAST, members=(teacher.out,))
    result = train(job)
    assert (result.figures["heads"], result.figures["all_heads"]) == (2, 4)
    assert (result.figures["units"], result.figures["all_units"]) == (128, 256)
    return teacher.out, job.out, data, result.notes[0]


def test_it_is_narrower_and_agrees(pruned: tuple[Path, Path, Path, str]) -> None:
    teacher, student, data, said = pruned
    assert said.startswith("2 of 4 attention heads and 128 of 256 feed-forward units stay")
    assert read_card(student).method == "prune"
    shapes = {name: one.shape for name, one in load_file(student / "model.safetensors").items()}
    wide = [shape for name, shape in shapes.items() if name.endswith("intermediate.dense.weight")]
    asking = [shape for name, shape in shapes.items() if name.endswith("self.query.weight")]
    assert wide == [(64, 64), (64, 64)]
    assert sorted(asking) == [(32, 64), (32, 64)]
    items = Dataset(data).items("test")
    stated = []
    for folder in (teacher, student):
        engine = open_engine(folder, threads=1)
        stated.append(engine.raw(items).argmax(axis=1))
        engine.close()
    assert (stated[0] == stated[1]).mean() > 0.8


@pytest.mark.slow
def test_it_is_narrower_in_openvino_too(
    pruned: tuple[Path, Path, Path, str], tmp_path: Path
) -> None:
    import openvino

    teacher, student, data, _ = pruned
    settings = CompressionConfig(variants=("int8",), cascade=False)
    products, answers = [], []
    for number, folder in enumerate((teacher, student)):
        made = compress(folder, data, tmp_path / str(number), settings, lambda _: None)
        graph = openvino.Core().read_model(next(made.folder("int8").glob("*.xml")))
        constants = [one for one in graph.get_ops() if one.get_type_name() == "Constant"]
        matrices = [list(one.shape) for one in constants if len(one.shape) == 2]
        products.append(sum(int(np.prod(shape)) for shape in matrices))
        engine = open_engine(made.folder("fp32"), threads=1)
        answers.append(engine.raw(["lovely tea", "stale bread"]))
        engine.close()
    assert products[1] < 0.75 * products[0], "the matrices themselves are smaller"
    engine = open_engine(student, threads=1)
    assert np.allclose(engine.raw(["lovely tea", "stale bread"]), answers[1], atol=1e-3)
    engine.close()


def test_what_matters_is_kept(pruned: tuple[Path, Path, Path, str]) -> None:
    """Heads and units that are cut off by hand matter nothing, and are the ones that go."""
    teacher, _, data, _ = pruned
    dataset = Dataset(data)
    task, schema = tasks.get("text-classification"), dataset.schema
    model = task.load(teacher, schema).model
    found = pruning.blocks(model)
    assert [(one.heads, one.head) for one in found] == [(2, 32), (2, 32)]
    with torch.no_grad():
        model.get_submodule(found[0].gathering).weight[:, :32] = 0.0
        for name in (found[1].widening,):
            model.get_submodule(name).weight[:100] = 0.0
            model.get_submodule(name).bias[:100] = 0.0
            model.get_submodule(found[1].narrowing).weight[:, :100] = 0.0
    items = dataset.items("test")[:8]
    processor = task.processor(teacher, schema.settings)
    arrays = processor.collate([one.rows[0] for one in processor.encode(items)])
    batch = {name: torch.from_numpy(one) for name, one in arrays.items()}
    with torch.inference_mode():
        before = model(**batch)[0]
    matters = Importance(
        [np.array([0.0, 1.0]), np.array([1.0, 0.9])],
        [np.ones(128), np.where(np.arange(128) < 100, 0.0, 1.0)],
    )
    assert pruning.prune(model, matters, 0.75, 1.0) == (3, 4, 256, 256)
    with torch.inference_mode():
        assert torch.allclose(model(**batch)[0], before, atol=1e-5)


@pytest.mark.slow
def test_spans_are_pruned_too(tmp_path: Path) -> None:
    """Their answers cannot be learnt from a teacher's: what is right teaches alone."""
    data = tmp_path / "data"
    goods = ("tea", "bread", "coffee")
    with DatasetWriter(data, {"text": "text"}, SPANS.stratum) as writer:
        for number in range(90):
            good = goods[number % 3]
            place = len("the lovely ")
            target = SPANS.target([(place, place + len(good), "GOOD")])  # type: ignore[list-item]
            split = ("train", "train", "validation")[number % 3]
            writer.add(Example(str(number), f"the lovely {good} no. {number}", target, split))  # type: ignore[arg-type]
        writer.close(Schema("token-classification", ("GOOD",), {"max_length": 32}))
    few = {"epochs": 1, "learning_rate": 5e-3, "batch_rows": 16, "augment": "off"}
    more: dict[str, Any] = {"task": "token-classification", "settings": few}
    base = write_bert(tmp_path / "base", 64)
    teacher = _spans_job("full", data, tmp_path / "teacher", base=base, **more)
    train(teacher)
    student = _spans_job("prune", data, tmp_path / "student", members=(teacher.out,), **more)
    result = train(student)
    assert result.figures["heads"] == 2
    with closing(open_engine(student.out, threads=1)) as engine:
        assert engine.predict(["the lovely tea"])


def _spans_job(name: str, data: Path, folder: Path, task: str, **more: Any) -> TrainJob:
    return replace(job_for(name, data, folder, **more), task=task)


def test_without_a_teacher_or_heads_it_is_said_what_to_do(
    pruned: tuple[Path, Path, Path, str], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="full"):
        train(job_for("prune", pruned[2], tmp_path, settings=FAST))
    with pytest.raises(UsageError, match="Linear"):
        pruning.blocks(torch.nn.Linear(2, 2))
