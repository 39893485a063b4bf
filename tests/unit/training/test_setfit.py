"""A few rows a label: what the encoder learns of pairs, and what comes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from feilun.engines.base import open_engine
from feilun.errors import UsageError
from feilun.store.dataset import Dataset
from feilun.training import out_of_fold
from feilun.training.methods import setfit
from feilun.types import Progress
from helpers.bert import write_bert
from helpers.jobs import job_for, train, write_dataset


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("base"))


def test_few_rows_teach_it_more_than_a_frozen_encoder_knows(tmp_path: Path, base: Path) -> None:
    data = write_dataset(tmp_path / "data", count=64)
    settings = {"augment": "off", "learning_rate": 2e-3, "passes": 30}
    job = job_for("setfit", data, tmp_path, base, settings=settings)
    seen: list[Progress] = []
    result = train(job, seen.append)
    unseen = Dataset(write_dataset(tmp_path / "unseen", count=240))
    items, labels = unseen.items("test"), unseen.labels("test")

    def right(folder: Path) -> float:
        engine = open_engine(folder, threads=1)
        found = (engine.raw(items).argmax(axis=1) == labels).mean()
        engine.close()
        return float(found)

    frozen = job_for("head", data, tmp_path / "frozen", base, settings={"augment": "off"})
    train(frozen)
    assert right(job.out) > right(frozen.out)
    assert result.figures["pairs_of"] == 48
    losses = [one.figures["loss"] for one in seen if one.unit == "steps"]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    assert out_of_fold.read(job.out) is None, "its encoder has seen the rows of every fold"
    assert not list(job.scratch.iterdir())


def test_a_base_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", count=16)
    with pytest.raises(UsageError, match="setfit"):
        train(job_for("setfit", data, tmp_path, "scratch:vit"))


def test_every_batch_has_pairs_of_one_label_and_of_two() -> None:
    labels = np.array([0] * 50 + [1] * 3 + [2])
    draw = np.random.default_rng(0)
    for places in setfit._batches(labels, 12, 20, draw):
        found = labels[places]
        assert len(set(found.tolist())) > 1
        assert max(np.bincount(found)) > 1
        assert len(places) <= 12


def test_the_loss_is_that_of_all_pairs() -> None:
    vectors = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    perfect = setfit._loss(vectors, torch.tensor([0, 0, 1]))
    assert float(perfect) == pytest.approx(0.0)
    wrong = setfit._loss(vectors, torch.tensor([0, 1, 1]))
    # Within: the cosine 0 of 1 and 2 should be 1. Across: 1 of 0 and 1, 0 of 0 and 2.
    assert float(wrong) == pytest.approx((1.0 + 0.5) / 2)


def test_no_more_rows_of_a_label_than_it_shall_learn_from() -> None:
    labels = np.array([0] * 30 + [1] * 5)
    chosen = setfit._shots(labels, 8, np.random.default_rng(0))
    assert np.bincount(labels[chosen]).tolist() == [8, 5]
