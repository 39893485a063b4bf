"""Labels as places in an encoder's space: what decides without rows, with few, and with many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from feilun.engines.base import open_engine
from feilun.errors import InvalidData, UsageError
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.training.methods import prototypes
from helpers.bert import write_bert
from helpers.jobs import job_for, train, write_dataset


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("base"))


def _answers(made: prototypes.Prototypes, vectors: np.ndarray) -> np.ndarray:
    found: np.ndarray = ((vectors - made.middle) @ made.head.coef.T).argmax(axis=1)
    return found


def test_names_decide_where_there_are_no_rows() -> None:
    names = np.eye(3) + 5.0
    made = prototypes.prototypes(np.zeros((0, 3)), np.zeros(0, int), 3, names, [1.0] * 3)
    assert _answers(made, names).tolist() == [0, 1, 2]


def test_rows_outweigh_names_that_mislead_and_a_name_stands_beside_rows() -> None:
    draw = np.random.default_rng(0)
    labels = np.repeat([0, 1], 50)
    places = np.eye(3)[labels] * 4
    rows = places + draw.normal(scale=0.3, size=places.shape)
    names = np.eye(3)[[1, 0, 2]]  # the first two the wrong way round, the third without rows
    made = prototypes.prototypes(rows, labels, 3, names, [8.0] * 3)
    assert (_answers(made, rows) == labels).all()
    assert _answers(made, np.array([[0.0, 0.0, 9.0]])).tolist() == [2]


def test_probabilities_are_not_certain_of_a_few_rows_that_lie_well() -> None:
    draw = np.random.default_rng(0)
    many, few = np.repeat(np.arange(4), 100), np.repeat(np.arange(4), 3)
    made = [
        prototypes.prototypes(
            10 * np.eye(8)[labels] + draw.normal(size=(len(labels), 8)), labels, 4, None, []
        )
        for labels in (many, few)
    ]
    assert made[0].head.strength > made[1].head.strength


def test_a_version_of_few_rows_and_of_a_label_without_any(tmp_path: Path, base: Path) -> None:
    data = write_dataset(tmp_path / "data", count=160)
    settings = {"descriptions": {"a question": "will on time again"}, "shots": 30}
    job = job_for("prototypes", data, tmp_path, base, settings=settings)
    result = train(job)
    assert result.figures["rows"] == 60
    assert any("a question" in note for note in result.notes)
    engine = open_engine(job.out, threads=1)
    assert engine.card.schema.labels == ("bad", "great", "a question")
    held = Dataset(data)
    right = engine.raw(held.items("test"))[:, :2].argmax(axis=1) == held.labels("test")
    assert right.mean() > 0.7, right.mean()
    engine.close()
    # Continued: the encoder of the version is the base, whatever the job names.
    again = job_for("prototypes", data, tmp_path / "again", "scratch:none", previous=job.out)
    train(again)
    engine = open_engine(again.out, threads=1)
    assert engine.card.schema.labels == ("bad", "great")
    engine.close()


def test_what_has_no_vectors_or_no_labels_is_refused(tmp_path: Path, base: Path) -> None:
    data = write_dataset(tmp_path / "data", count=16)
    with pytest.raises(UsageError, match="prototypes"):
        train(job_for("prototypes", data, tmp_path, "scratch:vit"))
    alone = write_dataset(tmp_path / "alone", rows=[("tea", "great")] * 8, labels=("great",))
    with pytest.raises(InvalidData, match="great") as caught:
        train(job_for("prototypes", alone, tmp_path / "one", base))
    assert caught.value.code == "training.no_prototype"
    empty = write_dataset(tmp_path / "empty", rows=[("tea", "great")] * 8, labels=("bad", "great"))
    quiet = {"names": 0.0}
    with pytest.raises(InvalidData, match="bad"):
        train(job_for("prototypes", empty, tmp_path / "none", base, settings=quiet))
    (tmp_path / "weights").mkdir()
    said = prototypes.supports(tasks.get("text-classification"), tmp_path / "weights")
    assert said is not None
    assert "no encoder" in said
