"""Vectors beside logits: the same numbers from torch, from OpenVINO and written down by hand, for
both formats that stand on an encoder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from feilun.compression.convert import convert, processor_of, write_variant
from feilun.compression.quantize import quantize
from feilun.engines.base import open_engine
from feilun.engines.card import Card, read_card, write_card
from feilun.types import EngineRequest, Output
from helpers.embedding import torch_vectors
from helpers.few import few
from helpers.tiny import LABELS, head_version, linear_version, schema, texts

TEXTS = texts(40, seed=3)


def fine_tuned(folder: Path) -> Path:
    """A `transformers` version: the tiny encoder under a classifier of its own."""
    import torch
    from transformers import AutoModelForSequenceClassification, BertModel

    head = head_version(folder / "head")
    torch.manual_seed(1)
    model = AutoModelForSequenceClassification.from_pretrained(
        head / "encoder", num_labels=len(LABELS), id2label=dict(enumerate(LABELS))
    )
    assert isinstance(model.base_model, BertModel)
    version = folder / "version"
    model.save_pretrained(version)
    (version / "tokenizer.json").write_bytes((head / "encoder" / "tokenizer.json").read_bytes())
    write_card(version, Card("transformers", schema(), "full"))
    # For the helper, which reads the encoder alone.
    model.base_model.save_pretrained(version / "encoder")
    (version / "encoder" / "tokenizer.json").write_bytes((version / "tokenizer.json").read_bytes())
    return version


def head(folder: Path) -> Path:
    return head_version(folder / "version")


def outputs(folder: Path, items: Sequence[str], **wanted: bool) -> list[Output]:
    async def main() -> list[Output]:
        request = EngineRequest(items, **wanted)
        (chunk,) = [chunk async for chunk in engine.submit(request)]
        return list(chunk.outputs)

    with closing(open_engine(folder)) as engine:
        return asyncio.run(main())


def unit(found: Sequence[Output]) -> np.ndarray:
    vectors = np.stack([one["vector"] for one in found])
    assert vectors.dtype == np.float32
    lengths: np.ndarray = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / lengths)


@pytest.mark.parametrize("make", few([head, fine_tuned], head))
def test_torch_openvino_and_the_long_way_agree(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    version = make(tmp_path)
    card = read_card(version)
    processor, model = processor_of(version, card), convert(version, card)
    assert len(model.outputs) == 2
    write_variant(model, tmp_path / "fp32", card, processor, "fp32")
    expected = np.array(torch_vectors(version, TEXTS))
    for folder in (version, tmp_path / "fp32"):
        np.testing.assert_allclose(unit(outputs(folder, TEXTS, vectors=True)), expected, atol=2e-5)
    plain = outputs(tmp_path / "fp32", TEXTS)
    asked = outputs(tmp_path / "fp32", TEXTS, vectors=True)
    assert [one["label"] for one in plain] == [one["label"] for one in asked]


@pytest.mark.slow
def test_in_eight_bits_they_stay_near(tmp_path: Path) -> None:
    version = head(tmp_path)
    card = read_card(version)
    processor = processor_of(version, card)
    small = quantize(convert(version, card), processor, texts(16), lambda share: None)
    write_variant(small, tmp_path / "int8", card, processor, "int8")
    got = unit(outputs(tmp_path / "int8", TEXTS, vectors=True))
    near = (got * np.array(torch_vectors(version, TEXTS))).sum(axis=1)
    assert near.min() > 0.9  # of a tiny network with random weights; MiniLM: .99


def test_only_who_asks_gets_them(tmp_path: Path) -> None:
    """Also where both stand in one batch."""
    version = head(tmp_path)

    async def main() -> list[list[Output]]:
        async def one(number: int) -> list[Output]:
            request = EngineRequest([TEXTS[number % 4]], vectors=number % 2 == 0)
            (chunk,) = [chunk async for chunk in engine.submit(request)]
            return list(chunk.outputs)

        return await asyncio.gather(*map(one, range(40)))

    with closing(open_engine(version)) as engine:
        assert engine.info["vectors"]
        found = asyncio.run(main())
        assert all("vector" not in one for one in engine.predict(TEXTS))
    for number, (one,) in enumerate(found):
        assert ("vector" in one) == (number % 2 == 0)


def test_the_linear_baseline_has_none(tmp_path: Path) -> None:
    version = linear_version(tmp_path / "version")
    with closing(open_engine(version)) as engine:
        assert not engine.info["vectors"]
    assert all("vector" not in one for one in outputs(version, TEXTS, vectors=True))
