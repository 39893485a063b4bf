"""What families other than classes teach a network: tags and numbers, by the same door."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from feilun.engines.base import open_engine
from feilun.families.classes import CLASSES
from feilun.families.numbers import NUMBERS
from feilun.families.tags import TAGS
from feilun.metrics.comparison import values
from feilun.store.dataset import Dataset, DatasetWriter
from feilun.training import augment, heads, out_of_fold
from feilun.training.methods.full import Settings
from feilun.training.rows import Rows
from feilun.types import Example, Schema
from helpers.bert import write_bert
from helpers.jobs import job_for, train
from helpers.rows import reviews

WORDS = {"late": "arrived late", "again": "will buy again", "broken": "broken", "tea": "tea"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("base"))


@pytest.mark.slow
def test_a_network_and_a_stack_learn_tags(base: Path, tmp_path: Path) -> None:
    with DatasetWriter(tmp_path / "data", {"text": "text"}, TAGS.stratum) as writer:
        for number, (text, _) in enumerate(reviews(240)):
            split = ("train", "train", "train", "validation", "test")[number % 5]
            found = [tag for tag, words in WORDS.items() if words in text]
            writer.add(
                Example(f"row-{number}", text, TAGS.target(found), split)  # type: ignore[arg-type]
            )
        settings = {"max_length": 32, "feature_bits": 12}
        writer.close(Schema("text-tagging", tuple(sorted(WORDS)), settings))
    fast = {"epochs": 25, "learning_rate": 5e-3, "batch_rows": 16, "patience": 25}
    job = job_for("full", tmp_path / "data", tmp_path, base, settings=fast)
    result = train(replace(job, task="text-tagging"))
    assert result.figures["validation_micro_f1"] > 0.8
    config = json.loads((job.out / "config.json").read_text("utf-8"))
    assert config["problem_type"] == "multi_label_classification"
    frozen = replace(
        job_for("stack", tmp_path / "data", tmp_path / "stack", base), task="text-tagging"
    )
    train(frozen)
    kept = out_of_fold.read(frozen.out)
    assert kept is not None
    assert kept.raw.shape == (144, len(WORDS))
    rows = Dataset(tmp_path / "data")
    labels = rows.schema.labels
    truth = TAGS.truth(rows.values("label", "test"), labels)
    for version in (job.out, frozen.out):
        engine = open_engine(version, threads=1)
        raw = engine.raw(rows.items("test"))
        engine.close()
        assert (values(TAGS.measured(truth, raw, labels, TAGS.neutral()))["micro_f1"] or 0) > 0.7


def test_numbers_are_learnt_in_deviations_and_answered_in_their_own_units() -> None:
    import torch

    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(200, 3)).astype(np.float32)
    truth = 50_000 + 8_000 * inputs[:, 0] - 3_000 * inputs[:, 2]
    objective = NUMBERS.objective(truth, (), Settings())
    targets = objective.targets(list(truth), [])
    assert targets.dtype == np.float32
    assert abs(targets.mean()) < 1e-3
    # Squared up to one standard deviation, linear beyond.
    apart = torch.tensor([[0.0], [0.0]])
    assert objective.loss(apart, torch.tensor([0.5, 3.0])).item() == 0.125 + 2.5
    model: Any = torch.nn.Sequential(torch.nn.Linear(3, 1))
    model.config = SimpleNamespace(num_labels=1)
    steps = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.0)
    for _ in range(300):
        steps.zero_grad()
        loss = objective.loss(model(torch.from_numpy(inputs)), torch.from_numpy(targets))
        loss.backward()
        steps.step()
    with torch.no_grad():
        learnt = model(torch.from_numpy(inputs)).numpy()
        measured, _ = objective.validated(learnt, targets)
        heads.to_given(model, objective)
        given = model(torch.from_numpy(inputs)).numpy()[:, 0]
        np.testing.assert_allclose(given, measured.predicted, rtol=1e-4)  # type: ignore[attr-defined]
        assert np.abs(given - truth).max() < 1_000
        heads.to_learnt(model, objective)
        np.testing.assert_allclose(model(torch.from_numpy(inputs)).numpy(), learnt, atol=1e-5)


def test_where_numbers_are_all_the_same_nothing_is_divided_by_nothing() -> None:
    objective = NUMBERS.objective(np.full(5, 3.0), (), Settings())
    assert objective.targets([3.0, 4.0], []).tolist() == [0.0, 1.0]


def test_only_what_stays_right_is_learnt_from_changed_copies(tmp_path: Path) -> None:
    """A changed copy keeps its label; that it keeps its number or its spans is not known."""
    assert CLASSES.invariant
    rows = Rows(["a text", "another"], np.array([1.0, 2.0]))
    for task in ("tabular-regression", "token-classification", "text-tagging"):
        job = replace(job_for("full", tmp_path, tmp_path / task), task=task)
        assert augment.added(job, "auto", 1.0, rows) is None
        assert augment.counted(job, "auto", 1.0, 100) == 100
