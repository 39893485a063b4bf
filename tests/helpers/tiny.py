"""Versions small enough to build in a test: a linear one, and a two-layer BERT of 60 words."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from feilun.engines.card import Card, write_card
from feilun.store.dataset import DatasetWriter
from feilun.tasks import base as tasks
from feilun.types import Example, Item, Schema, Split

__all__ = ["LABELS", "dataset", "head_version", "linear_version", "schema", "texts"]

LABELS = ("bad", "good")
_WORDS = [f"w{number}" for number in range(55)]
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_WIDTH = 32


def schema() -> Schema:
    """Two labels, texts of up to 64 tokens."""
    return Schema("text-classification", LABELS, {"max_length": 64})


def texts(count: int, seed: int = 0, longest: int = 60) -> list[str]:
    """Texts of very different lengths, the empty one among them."""
    draw = random.Random(seed)
    return [" ".join(draw.choices(_WORDS, k=draw.randrange(longest))) for _ in range(count)]


def linear_version(folder: Path, seed: int = 0) -> Path:
    """A `linear` version with weights drawn at random over the task's own features."""
    from safetensors.numpy import save_file

    from feilun.engines.linear import WEIGHTS

    folder.mkdir(parents=True)
    size = tasks.get("text-classification").features(schema().settings).size
    draw = np.random.default_rng(seed)
    tensors = {
        "coef": draw.normal(size=(2, size)).astype(np.float32),
        "intercept": np.array([0.1, -0.1], np.float32),
        "idf": draw.uniform(1, 5, size).astype(np.float32),
    }
    save_file(tensors, folder / WEIGHTS)
    write_card(folder, Card("linear", schema(), "linear"))
    return folder


def head_version(folder: Path, seed: int = 0) -> Path:
    """A `head` version on an encoder with random weights."""
    import torch
    from safetensors.numpy import save_file
    from transformers import BertConfig, BertModel

    encoder = folder / "encoder"
    encoder.mkdir(parents=True)
    config = BertConfig(
        vocab_size=len(_SPECIAL) + len(_WORDS),
        hidden_size=_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    torch.manual_seed(seed)
    BertModel(config).save_pretrained(encoder)
    _tokenizer(encoder)
    task = tasks.get("text-classification")
    processor, module = task.processor(encoder, schema().settings), task.encoder(encoder)
    arrays = processor.collate(processor.encode(texts(100, seed)))
    vectors = module(**{name: torch.from_numpy(array) for name, array in arrays.items()}).numpy()
    draw = np.random.default_rng(seed)
    tensors = {
        "mean": vectors.mean(axis=0),
        "scale": vectors.std(axis=0),
        "weight": draw.normal(size=(2, _WIDTH)).astype(np.float32),
        "bias": np.zeros(2, np.float32),
    }
    save_file(tensors, folder / "head.safetensors")
    write_card(folder, Card("head", schema(), "head", config={"strength": 0.1}))
    return folder


def dataset(folder: Path, items: Sequence[Item], labels: Sequence[str | None], train: int) -> Path:
    """A data version whose first `train` rows are for training, the others for validation."""
    with DatasetWriter(folder, {"text": "text"}) as writer:
        for number, (item, label) in enumerate(zip(items, labels, strict=True)):
            split: Split = "train" if number < train else "validation"
            writer.add(Example(f"row-{number}", item, label, split))
        writer.close(schema())
    return folder


def _tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = {word: place for place, word in enumerate([*_SPECIAL, *_WORDS])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
