"""Fine-tuning: a plain transformers folder, updates, new labels, adapters, trackers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from feilun.engines.base import open_engine
from feilun.engines.card import read_card
from feilun.errors import EnvironmentProblem, InvalidData, UsageError
from feilun.store.dataset import Dataset
from feilun.training import trainer
from feilun.training.job import TrainJob, TrainResult
from feilun.training.rows import learning_rows
from feilun.types import Progress
from helpers.absent import hide
from helpers.bert import write_bert
from helpers.jobs import job_for, train, write_dataset
from helpers.rows import reviews

FAST = {
    "epochs": 6,
    "learning_rate": 2e-3,
    "batch_rows": 8,
    "patience": 6,
    "checkpoint_seconds": 1000,
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, base: Path, data: Path
) -> tuple[TrainJob, TrainResult, list[Progress]]:
    """A training, what came of it and what it reported."""
    job = job_for("full", data, tmp_path_factory.mktemp("version"), base, settings=FAST)
    seen: list[Progress] = []
    return job, train(job, seen.append), seen


@pytest.fixture(scope="module")
def version(trained: tuple[TrainJob, TrainResult, list[Progress]]) -> Path:
    return trained[0].out


def logits(version: Path, data: Path) -> np.ndarray:
    engine = open_engine(version, threads=1)
    found = engine.raw(Dataset(data).items("test"))
    engine.close()
    return found


def accuracy(version: Path, data: Path) -> float:
    return float((logits(version, data).argmax(axis=1) == Dataset(data).labels("test")).mean())


def test_full_writes_a_plain_transformers_folder(
    trained: tuple[TrainJob, TrainResult, list[Progress]], base: Path, data: Path
) -> None:
    from transformers import AutoModelForSequenceClassification

    job, result, seen = trained
    assert accuracy(job.out, data) > 0.85
    assert {f.name for f in job.out.iterdir()} == {
        "config.json",
        "feilun.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    model = AutoModelForSequenceClassification.from_pretrained(job.out)
    assert model.config.id2label == {0: "bad", 1: "great"}
    assert model.config._attn_implementation == "sdpa"
    for file in ("config.json", "feilun.json"):
        assert str(base) not in (job.out / file).read_text("utf-8")
    assert not list(job.scratch.glob("checkpoint-*"))
    assert result.figures["epochs"] == 6
    assert result.figures["resumed_from_step"] == 0
    assert "validation_accuracy" in result.figures
    figures = seen[-1].figures
    assert {"loss", "accuracy", "learning_rate", "validation_accuracy"} <= set(figures)
    assert seen[-1].done == seen[-1].total == result.figures["steps"]
    assert read_card(job.out).config["epochs"] == 6


def test_what_is_left_open_is_fixed_by_the_base(base: Path, data: Path, tmp_path: Path) -> None:
    from feilun.training.methods import full

    job = job_for("full", data, tmp_path, base)
    settled = full.settle(job, full.Settings())
    assert settled.epochs == 2
    assert settled.learning_rate is not None
    scratch = full.settle(job_for("full", data, tmp_path / "s", "scratch:vit"), full.Settings())
    assert (scratch.epochs or 0) > 10
    assert full.settle(job, full.Settings(epochs=5, learning_rate=0.01)).epochs == 5


@pytest.mark.parametrize(
    "more",
    [
        {"accumulation": 3, "learning_rate": 5e-3, "precision": "fp32", "dropout": None},
        pytest.param(
            {"label_smoothing": 0.1, "class_weights": "balanced", "batch_tokens": 40},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"dropout": 0.1, "schedule": "cosine", "warmup": 0.0, "weight_decay": 0.0},
            marks=pytest.mark.slow,
        ),
    ],
    ids=str,
)
def test_every_setting_trains(tmp_path: Path, base: Path, data: Path, more: dict[str, Any]) -> None:
    job = job_for("full", data, tmp_path, base, settings={**FAST, **more})
    train(job)
    assert accuracy(job.out, data) > 0.7


@pytest.mark.slow
def test_training_stops_when_validation_no_longer_gains(
    tmp_path: Path, base: Path, data: Path
) -> None:
    settings = {**FAST, "epochs": 40, "patience": 1}
    result = train(job_for("full", data, tmp_path, base, settings=settings))
    assert result.figures["epochs"] < 40
    assert result.figures["best_epoch"] == result.figures["epochs"] - 1


def test_without_validation_rows_the_last_epoch_counts(tmp_path: Path, base: Path) -> None:
    from feilun.store.dataset import DatasetWriter
    from feilun.types import Example, Schema

    with DatasetWriter(tmp_path / "data", {"text": "text"}) as writer:
        for number, (text, label) in enumerate(reviews(60)):
            writer.add(Example(str(number), text, label, "train"))
        writer.close(Schema("text-classification", ("bad", "great"), {"max_length": 32}))
    job = job_for("full", tmp_path / "data", tmp_path, base, settings=FAST)
    assert train(job).figures["epochs"] == 6


def test_a_loss_that_is_no_number_is_said(tmp_path: Path, base: Path, data: Path) -> None:
    settings = {**FAST, "learning_rate": 0.99, "warmup": 0.0, "precision": "fp32", "epochs": 30}
    job = job_for("full", data, tmp_path, base, settings={**settings, "weight_decay": 1e30})
    with pytest.raises(UsageError) as caught:
        train(job)
    assert caught.value.code == "training.diverged"


def test_cut_rows_are_counted(tmp_path: Path, base: Path) -> None:
    data = write_dataset(tmp_path / "data", 60, settings={"max_length": 8})
    job = job_for("full", data, tmp_path, base, settings={**FAST, "epochs": 1})
    assert any("longer than max_length" in note for note in train(job).notes)


class TestUpdate:
    """Continuing from a version's weights."""

    def test_new_rows_and_as_many_old_ones(self, tmp_path: Path, data: Path) -> None:
        new = ("row-0", "row-1", "row-2", "row-4")
        job = job_for("full", data, tmp_path, previous=tmp_path, new_rows=new, replay=2.0)
        dataset = Dataset(data)
        rows = learning_rows(job, dataset)
        assert len(rows) == 12
        texts = list(dataset.items("train"))
        assert {texts[0], texts[1]} <= set(rows.items)
        assert list(rows.items) == list(learning_rows(job, dataset).items)

    @pytest.mark.slow
    def test_what_was_known_stays_known(self, tmp_path: Path, data: Path, version: Path) -> None:
        new = tuple(f"row-{n}" for n in range(40) if n % 4 != 3)
        job = job_for(
            "full",
            data,
            tmp_path,
            previous=version,
            new_rows=new,
            settings={**FAST, "epochs": 1, "learning_rate": 1e-4},
        )
        result = train(job)
        assert result.figures["rows"] == 60
        assert accuracy(job.out, data) >= accuracy(version, data) - 0.05

    @pytest.mark.slow
    def test_a_new_label_extends_the_head(self, tmp_path: Path, version: Path) -> None:
        rows = reviews(200, noise=0)
        rows = [
            (f"{t} refund 退货", "refund") if n % 5 == 0 else (t, x)
            for n, (t, x) in enumerate(rows)
        ]
        data = write_dataset(tmp_path / "data", rows=rows, labels=("bad", "great", "refund"))
        new = tuple(f"row-{n}" for n, row in enumerate(rows) if row[1] == "refund")
        job = job_for("full", data, tmp_path, previous=version, new_rows=new, settings=FAST)
        train(job)
        assert read_card(job.out).schema.labels == ("bad", "great", "refund")
        assert accuracy(job.out, data) > 0.8


class TestLora:
    """Adapters, merged at the end."""

    @pytest.mark.slow
    def test_the_result_is_a_plain_model(self, tmp_path: Path, base: Path, data: Path) -> None:
        job = job_for("lora", data, tmp_path, base, settings={**FAST, "learning_rate": 3e-3})
        train(job)
        assert accuracy(job.out, data) > 0.8
        tensors = load_file(job.out / "model.safetensors")
        assert not [name for name in tensors if "lora" in name]
        kept = load_file(base / "model.safetensors")
        same = [
            name
            for name, tensor in kept.items()
            if "embeddings" in name and np.array_equal(tensor, tensors[f"bert.{name}"])
        ]
        assert same, "the base's tables must not learn"
        assert {f.name for f in (job.out / "adapter").iterdir()} == {
            "adapter_config.json",
            "adapter_model.safetensors",
        }
        config = json.loads((job.out / "adapter" / "adapter_config.json").read_text("utf-8"))
        assert str(base) not in json.dumps(config)

    def test_a_network_without_linear_layers_is_refused(self, tmp_path: Path) -> None:
        from feilun.tasks import base as tasks
        from feilun.training.adapters import linear_layers
        from feilun.types import Schema

        model = tasks.get("image-classification").load(
            "scratch:resnet", Schema("image-classification", ("a", "b"))
        )
        job = job_for("lora", tmp_path, tmp_path, "scratch:resnet")
        with pytest.raises(InvalidData) as caught:
            linear_layers(job, model.model)
        assert caught.value.code == "training.no_layers"


class TestTrackers:
    """Live metrics elsewhere, by name."""

    def test_tensorboard_gets_loss_and_metric(
        self, tmp_path: Path, base: Path, data: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
        settings = {**FAST, "epochs": 1}
        job = job_for(
            "full",
            data,
            tmp_path,
            base,
            settings=settings,
            trackers=("tensorboard",),
            logs=tmp_path / "logs",
        )
        train(job)
        written = b"".join(f.read_bytes() for f in (tmp_path / "logs").rglob("events*"))
        assert b"train/loss" in written
        assert b"eval/accuracy" in written

    def test_a_missing_package_is_named(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        hide(monkeypatch, "swanlab")
        job = job_for("full", tmp_path, tmp_path, trackers=("swanlab",))
        with pytest.raises(EnvironmentProblem) as caught:
            trainer._trackers(job)
        assert "pip install swanlab" in str(caught.value)

    def test_an_unknown_tracker_lists_the_known(self, tmp_path: Path) -> None:
        job = job_for("full", tmp_path, tmp_path, trackers=("excel",))
        with pytest.raises(UsageError, match="tensorboard"):
            trainer._trackers(job)
