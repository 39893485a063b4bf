"""Models that tasks load: heads that keep what they know, encoders that ignore padding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    ResNetConfig,
    ResNetForImageClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
    ViTConfig,
    ViTForImageClassification,
)

from feilun.errors import InvalidData
from feilun.modalities.checkpoints import name_labels
from feilun.tasks import base
from feilun.types import Schema

TINY = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 20,
}
TEXT = {
    "input_ids": torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]),
}


def _text(folder: Path, labels: tuple[str, ...], kind: str = "bert") -> Path:
    torch.manual_seed(0)
    if kind == "bert":
        config: Any = BertConfig(**TINY)
        name_labels(config, labels, None)
        model: Any = BertForSequenceClassification(config)
    else:
        config = RobertaConfig(**TINY)
        name_labels(config, labels, None)
        model = RobertaForSequenceClassification(config)
    model.save_pretrained(folder)
    return folder


def _logits(folder: Path | str, labels: tuple[str, ...], task: str, arrays: Any) -> torch.Tensor:
    torch.manual_seed(1)
    model = base.get(task).load(folder, Schema(task, labels))
    assert not model.training
    with torch.inference_mode():
        logits: torch.Tensor = model(**arrays)
    assert logits.shape == (2, len(labels))
    assert logits.dtype == torch.float32
    config = model.model.config  # type: ignore[union-attr]
    assert config.id2label == dict(enumerate(labels))
    assert config.label2id == {label: n for n, label in enumerate(labels)}
    assert model.model.num_labels == len(labels)  # type: ignore[union-attr]
    return logits


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_text_head_keeps_what_it_knows(tmp_path: Path, kind: str) -> None:
    folder = _text(tmp_path, ("bad", "good"), kind)
    task = "text-classification"
    known = _logits(folder, ("bad", "good"), task, TEXT)
    turned = _logits(folder, ("good", "bad"), task, TEXT)
    torch.testing.assert_close(turned, known[:, [1, 0]])
    grown = _logits(folder, ("bad", "fair", "good"), task, TEXT)
    torch.testing.assert_close(grown[:, [0, 2]], known)
    other = _logits(folder, ("no", "yes"), task, TEXT)
    assert not torch.allclose(other, known)
    fewer = _logits(folder, ("good", "new"), task, TEXT)
    assert not torch.allclose(fewer[:, 0], known[:, 1])


def test_a_version_with_a_grown_head_is_read_by_transformers(tmp_path: Path) -> None:
    folder = _text(tmp_path / "old", ("bad", "good"))
    schema = Schema("text-classification", ("bad", "fair", "good"))
    grown = base.get("text-classification").load(folder, schema)
    grown.model.save_pretrained(tmp_path / "new")  # type: ignore[union-attr, operator]
    again = BertForSequenceClassification.from_pretrained(tmp_path / "new").eval()
    with torch.inference_mode():
        torch.testing.assert_close(again(**TEXT).logits, grown(**TEXT))
    assert again.config.id2label[1] == "fair"


def test_half_precision_weights_are_widened(tmp_path: Path) -> None:
    torch.manual_seed(0)
    BertModel(BertConfig(**TINY)).half().save_pretrained(tmp_path)
    task = base.get("text-classification")
    model = task.load(tmp_path, Schema("text-classification", ("a", "b")))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert {parameter.dtype for parameter in task.encoder(tmp_path).parameters()} == {torch.float32}


def test_the_encoder_takes_the_mean_of_real_tokens(tmp_path: Path) -> None:
    torch.manual_seed(0)
    BertModel(BertConfig(**TINY)).save_pretrained(tmp_path)
    encoder = base.get("text-classification").encoder(tmp_path)
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    alone = {name: array[1:, :3] for name, array in TEXT.items()}
    with torch.inference_mode():
        both, one = encoder(**TEXT), encoder(**alone)
        hidden = encoder.model(**alone).last_hidden_state  # type: ignore[operator]
    assert both.shape == (2, 16)
    torch.testing.assert_close(both[1], one[0])
    torch.testing.assert_close(one[0], hidden[0].mean(dim=0))


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_an_image_head_keeps_what_it_knows(tmp_path: Path, kind: str) -> None:
    torch.manual_seed(0)
    if kind == "vit":
        small = {k: v for k, v in TINY.items() if k != "vocab_size"}
        config: Any = ViTConfig(image_size=8, patch_size=4, **small)
        name_labels(config, ("cat", "dog"), None)
        model: Any = ViTForImageClassification(config)
    else:
        config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])
        name_labels(config, ("cat", "dog"), None)
        model = ResNetForImageClassification(config)
    model.save_pretrained(tmp_path)
    pixels = {"pixel_values": torch.randn(2, 3, 8, 8)}
    task = "image-classification"
    known = _logits(tmp_path, ("cat", "dog"), task, pixels)
    grown = _logits(tmp_path, ("dog", "eel", "cat"), task, pixels)
    torch.testing.assert_close(grown[:, [2, 0]], known)
    with torch.inference_mode():
        vectors = base.get(task).encoder(tmp_path)(**pixels)
    assert vectors.shape == (2, 16)


@pytest.mark.parametrize("name", ["scratch:resnet", "scratch:vit"])
@pytest.mark.parametrize(("side", "color"), [(8, False), (32, True), (50, True)])
def test_networks_from_nothing(tmp_path: Path, name: str, side: int, color: bool) -> None:
    """What is saved of them is a transformers folder that answers alike."""
    task = base.get("image-classification")
    settings = {"image_size": side, "color": color}
    schema = Schema(task.name, ("a", "b", "c"), settings)
    torch.manual_seed(3)
    model = task.load(name, schema)
    processor = task.processor(name, settings)
    values = processor.collate(processor.encode(task.example_items()))["pixel_values"]
    assert values.shape == (3, 3 if color else 1, side, side)
    model.model.save_pretrained(tmp_path)  # type: ignore[union-attr, operator]
    processor.save(tmp_path)
    again = task.load(tmp_path, schema)
    with torch.inference_mode():
        first, second = (m(torch.from_numpy(values)) for m in (model, again))
    torch.testing.assert_close(first, second)
    torch.manual_seed(3)
    same = task.load(name, schema)
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), same.parameters(), strict=True)
    )


def test_other_names_from_nothing_are_refused() -> None:
    with pytest.raises(InvalidData, match="scratch:resnet"):
        base.get("image-classification").load("scratch:transformer", Schema("x", ("a", "b")))
    with pytest.raises(InvalidData, match="--base"):
        base.get("text-classification").load("scratch:vit", Schema("x", ("a", "b")))


def test_folders_that_cannot_be_read_safely_are_refused(tmp_path: Path) -> None:
    task, schema = base.get("text-classification"), Schema("x", ("a", "b"))
    with pytest.raises(InvalidData, match="cannot be used"):
        task.load(tmp_path, schema)
    model = BertModel(BertConfig(**TINY))
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")  # pickle
    for load in (lambda: task.load(tmp_path, schema), lambda: task.encoder(tmp_path)):
        with pytest.raises(InvalidData, match="safetensors"):
            load()


def test_remote_code_is_never_run(tmp_path: Path) -> None:
    (tmp_path / "modeling_evil.py").write_text("raise SystemExit('ran')\n", "utf-8")
    config = {
        "model_type": "evil",
        "auto_map": {"AutoConfig": "modeling_evil.C", "AutoModel": "modeling_evil.M"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    task = base.get("text-classification")
    with pytest.raises(InvalidData):
        task.load(tmp_path, Schema("x", ("a", "b")))
    with pytest.raises(InvalidData):
        task.encoder(tmp_path)
