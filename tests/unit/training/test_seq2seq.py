"""Encoders with decoders are taught translations, by all weights and by adapters, and write them
token by token."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from feilun.config import Settings
from feilun.engines.base import open_engine
from feilun.engines.card import read_card
from feilun.engines.seq2seq import Seq2SeqEngine
from feilun.errors import InvalidData
from feilun.families.objective import IGNORED
from feilun.modalities.language.seq2seq import PairProcessor, Seq2SeqLessons
from feilun.store.dataset import DatasetWriter
from feilun.tasks import base as tasks
from feilun.training import bases
from feilun.training.body import describe
from feilun.training.job import TrainJob
from feilun.types import EngineRequest, Example, Progress, Schema
from helpers.bert import write_bert
from helpers.few import few
from helpers.jobs import train
from helpers.llama import write_causal
from helpers.pairs import PAIRS, write_pair

TASK = tasks.get("translation")
FAST = {"epochs": 40, "learning_rate": 1e-2, "batch_rows": 4, "checkpoint_seconds": 1000}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pair(tmp_path_factory.mktemp("base") / "t5")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    with DatasetWriter(folder, {"text": "text"}) as writer:
        for number, (text, said) in enumerate([*PAIRS, *PAIRS[::4]]):
            split: Any = "train" if number < len(PAIRS) else "validation"
            writer.add(Example(f"row-{number}", text, said, split))
        writer.close(Schema("translation", (), TASK.Settings().model_dump()))
    return folder


def _job(name: str, data: Path, folder: Path, base: Path | str, **settings: Any) -> TrainJob:
    out, scratch = folder / "out", folder / "scratch"
    out.mkdir(parents=True)
    scratch.mkdir()
    more: dict[str, Any] = {"threads": 1, "seed": 7, "settings": {**FAST, **settings}}
    return TrainJob(name, "translation", data, base, out, scratch, **more)


@pytest.fixture(scope="module", params=["t5", "marian"])
def taught(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest, data: Path
) -> Path:
    folder = tmp_path_factory.mktemp("taught")
    kind, rate = request.param, {"t5": 1e-2, "marian": 3e-3}[request.param]
    base = write_pair(folder / "base", kind)
    job = _job("full", data, folder, base, learning_rate=rate)
    result = train(job)
    assert result.figures["validation_bits_per_byte"] < 0.2
    return job.out


@pytest.mark.slow
def test_all_weights_learn_the_answers(taught: Path) -> None:
    assert read_card(taught).format == "seq2seq"
    engine = open_engine(taught, threads=1)
    assert isinstance(engine, Seq2SeqEngine)
    outputs = engine.predict([text for text, _ in PAIRS])
    assert [one["translation_text"] for one in outputs] == [said for _, said in PAIRS]
    assert all(0.5 < one["score"] <= 1 for one in outputs)
    engine.close()


@pytest.mark.slow
def test_a_stream_writes_what_many_rows_get(taught: Path) -> None:
    engine = open_engine(taught, threads=1)

    async def written(text: str, **options: Any) -> tuple[list[str], Any, Any]:
        deltas, last = [], None
        async for chunk in engine.submit(EngineRequest([text], stream=True, options=options)):
            deltas += [chunk.delta] if chunk.delta else []
            last = chunk
        assert last is not None
        return deltas, last.outputs[0], last.usage

    for text, said in PAIRS[:3]:
        deltas, output, usage = asyncio.run(written(text))
        assert "".join(deltas) == output["translation_text"] == said
        (alone,) = engine.predict([text])
        assert output["score"] == pytest.approx(alone["score"], abs=1e-4)
        assert usage.units["tokens_in"] == engine.asked(text)  # type: ignore[attr-defined]
    long = next(text for text, said in PAIRS if engine.count(said) > 1)  # type: ignore[attr-defined]
    _, cut, usage = asyncio.run(written(long, max_tokens=1))
    assert cut["finish_reason"] == "length"
    assert usage.units["tokens_out"] == 1
    hot = {"temperature": 1.5, "seed": 3}
    assert asyncio.run(written("Open it", **hot))[0] == asyncio.run(written("Open it", **hot))[0]
    engine.close()


def test_adapters_learn_and_are_merged(tmp_path: Path, data: Path) -> None:
    base = write_pair(tmp_path / "bart", "bart")
    job = _job("lora", data, tmp_path, base, epochs=2)
    train(job)
    old, new = (load_file(folder / "model.safetensors") for folder in (base, job.out))
    same = {name for name in new if name in old and np.array_equal(old[name], new[name])}
    assert "model.shared.weight" in same
    for part in ("encoder.layers.0.fc1", "decoder.layers.1.encoder_attn.q_proj"):
        assert f"model.{part}.weight" not in same
    engine = open_engine(job.out, threads=1)
    assert len(engine.predict(["Open the file"])[0]["translation_text"]) < 100
    engine.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", few(["scratch:t5-nano", "scratch:llama-nano"], "scratch:t5-nano"))
def test_it_begins_from_nothing_by_name_and_size(tmp_path: Path, data: Path, name: str) -> None:
    class Killed(Exception):
        pass

    def note(progress: Progress) -> None:
        bits = progress.figures.get("validation_bits_per_byte")
        learnt.extend([bits] if bits is not None else [])

    def kill(progress: Progress) -> None:
        if progress.unit == "steps" and progress.done >= 12:
            raise Killed

    learnt: list[float] = []
    several = {"epochs": 4, "checkpoint_steps": 4}
    whole, cut = (_job("full", data, tmp_path / one, name, **several) for one in ("whole", "cut"))
    train(whole, note)
    with pytest.raises(Killed):
        train(cut, kill)
    assert train(cut).figures["resumed_from_step"] >= 4
    assert learnt[-1] < 0.9 * learnt[0]
    weights = [(job.out / "model.safetensors").read_bytes() for job in (whole, cut)]
    assert weights[0] == weights[1]
    engine = open_engine(cut.out, threads=1)
    assert engine.predict(["Open the file"])[0].keys() >= {"translation_text"}
    assert engine.card.schema.task == "translation"
    engine.close()
    found = describe(name), describe(cut.out)
    assert found[0].width == found[1].width == 64
    assert found[0].layers // (2 if "t5" in name else 1) == found[1].layers
    assert "no 'scratch:t5-huge'" in str(_refused("scratch:t5-huge"))


def _refused(base: str) -> InvalidData:
    with pytest.raises(InvalidData) as caught:
        bases.resolve(base, TASK, Settings())
    return caught.value


def test_what_is_learnt_stands_where_the_outputs_stand(base: Path) -> None:
    processor = PairProcessor.read(base, 256)
    lessons = Seq2SeqLessons(processor)
    rows = lessons.encode(["Open the file", "Copy the page"], ["打开文件", "复"])
    arrays = lessons.collate(rows, [])
    labels, given = arrays["labels"], arrays["decoder_input_ids"]
    assert labels.shape == given.shape
    assert given[0, 0] == processor.begin == 0
    for row, one in enumerate(rows):
        size = len(one.arrays["labels"])
        assert given[row, 1:size].tolist() == labels[row, : size - 1].tolist()
        assert labels[row, size - 1] == processor.end == 1  # the end is learnt
        assert (labels[row, size:] == IGNORED).all()
    assert (labels == IGNORED).any()
    assert arrays["input_ids"].shape == arrays["attention_mask"].shape
    assert lessons.extra["longest"] > labels.shape[1]
    short = PairProcessor.read(base, 8)
    long = Seq2SeqLessons(short).encode(["Open the file " * 9], ["打开文件" * 9])[0]
    assert long.cut > 0
    assert len(long.arrays["labels"]) == 8
    assert long.arrays["labels"][-1] == short.end
    assert np.issubdtype(long.arrays["labels"].dtype, np.integer)


def test_what_is_learnt_can_be_read(tmp_path: Path, base: Path) -> None:
    """The text and the answer as the network gets them, with the tokens that end them."""
    shown = TASK.rendered(base, "Open the file", "打开文件", {})
    assert shown == (("Open the file</s>", False), ("打开文件</s>", True))
    causal = write_causal(tmp_path / "causal")
    (read, learnt), (said, counts) = TASK.rendered(causal, "Open the file", "打开", {}) or ()
    assert (learnt, counts) == (False, True)
    assert "Open the file" in read
    assert said.startswith("打开")
    assert said != "打开"


def test_bases_that_write_nothing_are_refused(tmp_path: Path) -> None:
    encoder = write_bert(tmp_path / "bert")
    assert "BertModel" in (TASK.unfit(encoder) or "")
    assert TASK.unfit(write_pair(tmp_path / "t5")) is None
    with pytest.raises(InvalidData):
        TASK.load(None, Schema("translation", ()))
