"""Cross-encoders: two texts joined for one network, trained, converted, explained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feilun.compression.compress import compress
from feilun.config import CompressionConfig
from feilun.engines.base import open_engine
from feilun.modalities.text.pairs import PairProcessor
from feilun.store.dataset import Dataset, DatasetWriter
from feilun.tasks import base as tasks
from feilun.tasks.base import Processor
from feilun.types import Example, Schema
from helpers.bert import write_bert
from helpers.jobs import job_for, train
from helpers.rows import reviews

TASK = "text-pair-classification"
SETTINGS = {"max_length": 32, "feature_bits": 12}
FAST = {"epochs": 10, "learning_rate": 3e-3, "batch_rows": 16, "checkpoint_seconds": 1000,
        "patience": 10, "augment": "off"}  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("base"), separated=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the second text says of a product decides; the first, drawn by itself, says the opposite
    half the time: a network that mixes them up is often wrong."""
    rows = reviews(560, noise=0)
    folder = tmp_path_factory.mktemp("data")
    with DatasetWriter(folder, {"text": "text", "other": "text"}) as writer:
        for number, ((one, _), (other, label)) in enumerate(
            zip(rows[:280], rows[280:], strict=True)
        ):
            split = ("train", "train", "train", "validation", "test")[number % 5]
            item = {"text": one, "other": other}
            writer.add(Example(f"row-{number}", item, label, split))  # type: ignore[arg-type]
        writer.close(Schema(TASK, ("bad", "great"), SETTINGS))
    return folder


def accuracy(engine: object, data: Path) -> float:
    rows = Dataset(data)
    found = engine.raw(rows.items("test"))  # type: ignore[attr-defined]
    return float((found.argmax(axis=1) == rows.labels("test")).mean())


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora"])
def test_it_reads_both_texts_in_their_order(
    base: Path, data: Path, tmp_path: Path, method: str
) -> None:
    settings = FAST if method == "full" else {**FAST, "learning_rate": 6e-3}
    job = replace(job_for(method, data, tmp_path, base, settings=settings), task=TASK)
    train(job)
    engine = open_engine(job.out, threads=1)
    assert accuracy(engine, data) > 0.8
    if method == "full":
        made = compress(job.out, data, tmp_path / "made", CompressionConfig(), lambda _: None)
        served = open_engine(made.folder("fp32"), threads=1)
        served.warm_up()
        items = Dataset(data).items("test")
        np.testing.assert_allclose(served.raw(items), engine.raw(items), atol=1e-3)
        served.close()
    engine.close()


def test_a_pair_is_joined_as_the_tokenizer_says_and_cut_at_the_longer_text(base: Path) -> None:
    processor = PairProcessor.read(base, 12)
    short, long = processor.encode(
        [{"other": "stale", "text": "tea lovely"}, {"text": "tea", "other": "coffee " * 30}]
    )
    words = [processor.tokenizer.id_to_token(n) for n in short.arrays["input_ids"]]
    assert words == ["[CLS]", "tea", "lovely", "[SEP]", "stale", "[SEP]"]
    assert short.arrays["types"].tolist() == [0, 0, 0, 0, 1, 1]
    assert (short.cost, short.cut) == (6, 0)
    assert (long.cost, long.cut) == (12, 30 - 8)
    assert processor.tokenizer.id_to_token(int(long.arrays["input_ids"][1])) == "tea"
    arrays = processor.collate([short, long])
    assert arrays["token_type_ids"][0].tolist() == [0, 0, 0, 0, 1, 1, *[0] * 6]
    share = processor.unknown_share([{"text": "tea xyzzy", "other": "stale coffee"}])
    assert share == pytest.approx(0.25)


@pytest.mark.slow
def test_a_head_reads_each_text_by_itself(base: Path, data: Path, tmp_path: Path) -> None:
    import torch

    task = tasks.get(TASK)
    processor, encoder = task.processor(base, SETTINGS), task.encoder(base)
    alone = tasks.get("text-classification")
    one_text, one_encoder = alone.processor(base, SETTINGS), alone.encoder(base)

    def vectors(processor: Processor, encoder: Any, items: list[Any]) -> Any:
        arrays = processor.collate(processor.encode(items))
        return encoder(**{name: torch.from_numpy(array) for name, array in arrays.items()})

    with torch.inference_mode():
        pair = {"text": "tea lovely", "other": "stale bread"}
        found = vectors(processor, encoder, [pair, {**pair, "other": "stale bread, late again"}])
        (u,) = vectors(one_text, one_encoder, ["tea lovely"])
    assert found.shape == (2, 4 * 32)
    torch.testing.assert_close(found[0, :32], u)
    torch.testing.assert_close(found[0, :32], found[1, :32])
    v = found[0, 32:64]
    torch.testing.assert_close(found[0, 64:], torch.cat([(u - v).abs(), u * v]))
    job = replace(job_for("head", data, tmp_path, base, settings={"augment": "off"}), task=TASK)
    train(job)
    engine = open_engine(job.out, threads=1)
    assert accuracy(engine, data) > 0.7
    engine.close()
