"""Frozen lower layers: what they gave is kept, bounded and resumable, and changes no bit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from feilun.engines.base import open_engine
from feilun.errors import UsageError
from feilun.store.dataset import Dataset
from feilun.training import frozen
from feilun.training.job import TrainJob
from feilun.types import Progress
from helpers.bert import write_bert
from helpers.few import few
from helpers.jobs import job_for, train, write_dataset

FAST: Mapping[str, Any] = {
    "epochs": 3,
    "learning_rate": 5e-3,
    "batch_rows": 8,
    "patience": 3,
    "precision": "fp32",
    "checkpoint_seconds": 1000,
    "augment": "off",
    "frozen_layers": 1,
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory, base: Path, data: Path) -> Path:
    job = job_for("full", data, tmp_path_factory.mktemp("version"), base, settings=FAST)
    train(job)
    assert not (job.scratch / frozen.FOLDER).exists(), "large, and of no use any more"
    return job.out


def weights(version: Path) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = load_file(version / "model.safetensors")
    return found


def test_lower_layers_stay_as_they_were_and_upper_ones_learn(
    version: Path, base: Path, data: Path
) -> None:
    before, after = weights(base), weights(version)
    changed = {
        name for name, tensor in before.items() if not np.array_equal(tensor, after[f"bert.{name}"])
    }
    assert changed
    assert not [name for name in changed if "embeddings" in name or "layer.0" in name]
    assert [name for name in changed if "layer.1" in name]
    engine = open_engine(version, threads=1)
    raw = engine.raw(Dataset(data).items("test"))
    engine.close()
    assert (raw.argmax(axis=1) == Dataset(data).labels("test")).mean() > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("kept", [0, 120_000])
def test_kept_outputs_change_no_bit(
    version: Path,
    base: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kept: int,
) -> None:
    """Nothing kept, or some rows alone: the others are computed in every epoch."""
    monkeypatch.setattr(frozen, "_KEPT_BYTES", kept)
    job = job_for("full", data, tmp_path, base, settings=FAST)
    train(job)
    for name, tensor in weights(job.out).items():
        np.testing.assert_array_equal(tensor, weights(version)[name], err_msg=name)


@pytest.mark.slow
def test_a_killed_training_goes_on_with_what_was_kept(
    version: Path, base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(Exception):
        pass

    job = job_for("full", data, tmp_path, base, settings={**FAST, "checkpoint_steps": 7})
    monkeypatch.setattr(frozen, "_CHUNK", 50)
    told: list[int] = []

    def until(done: int, job: TrainJob) -> None:
        def report(progress: Progress) -> None:
            if progress.unit == "rows" and progress.done:
                told.append(progress.done)
            if (progress.unit, progress.done) == ("rows", 100) and not done:
                raise Killed
            if progress.unit == "steps" and done and progress.done >= done:
                raise Killed

        with pytest.raises(Killed):
            train(job, report)

    until(0, job)
    assert told == [50, 100]
    # A write that was cut off: half a row.
    with (job.scratch / frozen.FOLDER / "train.data").open("ab") as file:
        file.write(b"half")
    told.clear()
    until(40, job)
    assert told[0] == 150, "the rows before were kept"
    told.clear()
    result = train(
        job, lambda one: told.append(one.done) if one.unit == "rows" and one.done else None
    )
    assert not told, "all rows were kept"
    assert result.figures["resumed_from_step"] > 0
    for name, tensor in weights(job.out).items():
        np.testing.assert_array_equal(tensor, weights(version)[name], err_msg=name)


def test_batches_of_padded_rows_give_nearly_the_same(
    version: Path, base: Path, data: Path, tmp_path: Path
) -> None:
    """Plain training whose lower layers do not learn, without a word of ours on them."""
    from feilun.training import finetune
    from feilun.training.adaptation import Adaptation
    from feilun.training.methods import full

    job = job_for("full", data, tmp_path, base, settings={**FAST, "frozen_layers": "none"})

    class Still(Adaptation):
        def wrap(self, model: Any, rows: Any, steps: int) -> Any:
            model.bert.embeddings.requires_grad_(False)
            model.bert.encoder.layer[0].requires_grad_(False)
            return model

    finetune.finetune(job, full.settle(job, full.Settings(**job.settings)), lambda _: None, Still())
    for name, tensor in weights(job.out).items():
        if "key.bias" not in name:  # softmax does not hear it: its gradient is rounding alone
            np.testing.assert_allclose(tensor, weights(version)[name], atol=1e-3, err_msg=name)


@pytest.mark.parametrize("method", few(["lora", "ia3"], "ia3"))
def test_adapters_stand_above_frozen_layers(
    base: Path, data: Path, tmp_path: Path, method: str
) -> None:
    job = job_for(method, data, tmp_path, base, settings={**FAST, "epochs": 1})
    train(job)
    before, after = weights(base), weights(job.out)
    same = [name for name in before if np.array_equal(before[name], after[f"bert.{name}"])]
    assert all(name in same for name in before if "embeddings" in name or "layer.0" in name)
    assert not all(name in same for name in before if "layer.1" in name)


def test_embeddings_alone_may_stay(base: Path, data: Path, tmp_path: Path) -> None:
    job = job_for("full", data, tmp_path, base, settings={**FAST, "epochs": 1, "frozen_layers": 0})
    train(job)
    before, after = weights(base), weights(job.out)
    same = {name for name in before if np.array_equal(before[name], after[f"bert.{name}"])}
    assert same == {name for name in before if "embeddings" in name}


def test_what_cannot_be_frozen_is_said(base: Path, data: Path, tmp_path: Path) -> None:
    job = job_for("full", data, tmp_path, base, settings={**FAST, "frozen_layers": 2})
    with pytest.raises(UsageError, match="1 at most"):
        train(job)
    job = job_for("prefix-tuning", data, tmp_path / "prefix", base, settings=FAST)
    with pytest.raises(UsageError, match="no layer can be frozen"):
        train(job)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("kind", ["classes", "tokens", "pairs of outputs", "pictures"])
def test_networks_of_all_kinds_pass_their_layers_by(kind: str, half: bool) -> None:
    """The lower layers' outputs, given to the upper ones, give what the whole network gives."""
    import torch
    from transformers import (
        BertConfig,
        BertForSequenceClassification,
        BertForTokenClassification,
        DebertaV2Config,
        DebertaV2ForSequenceClassification,
        ViTConfig,
        ViTForImageClassification,
    )

    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
    words = {**shape, "vocab_size": 60, "intermediate_size": 64, "max_position_embeddings": 16}
    mask = torch.ones(3, 12, dtype=torch.long)
    mask[1, 7:] = 0
    batch = {"input_ids": torch.randint(5, 50, (3, 12)), "attention_mask": mask}
    if kind == "pictures":
        pictures = ViTConfig(**shape, intermediate_size=64, image_size=16, patch_size=4)
        model: Any = ViTForImageClassification(pictures)
        batch = {"pixel_values": torch.randn(3, 3, 16, 16)}
    elif kind == "pairs of outputs":
        model = DebertaV2ForSequenceClassification(DebertaV2Config(**words, pad_token_id=0))
    elif kind == "tokens":
        model = BertForTokenClassification(BertConfig(**words))
    else:
        model = BertForSequenceClassification(BertConfig(**words))
    names = [name for name, _ in model.named_parameters()]
    frozen.FrozenLayers(model, 2, half, batch).restore()
    still = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    assert [name for name, _ in model.named_parameters()] == names
    assert still == {n for n in names if "embeddings" in n or "layer.0." in n or "layer.1." in n
                     or "layers.0." in n or "layers.1." in n or "encoder.LayerNorm" in n
                     or "rel_embeddings" in n}  # fmt: skip


def test_layers_that_need_more_of_those_below_are_not_passed_by() -> None:
    """T5's upper layers take positions from the first one; ALBERT's layers are one and the same."""
    import torch
    from transformers import AlbertConfig, AlbertForSequenceClassification

    shape = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
    model = AlbertForSequenceClassification(
        AlbertConfig(**shape, vocab_size=60, intermediate_size=64, max_position_embeddings=16)
    )
    with pytest.raises(ValueError, match="layers"):
        frozen.FrozenLayers(model, 1, False, {"input_ids": torch.ones(2, 5, dtype=torch.long)})
