"""Causal language models are taught answers and their ends, by all weights and by adapters."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feilun.engines.base import open_engine
from feilun.engines.card import read_card
from feilun.engines.cascade import ask_how_sure
from feilun.engines.causal import CausalEngine
from feilun.errors import InvalidData, UsageError
from feilun.families.objective import IGNORED
from feilun.modalities.language.causal import CausalLessons, PromptProcessor, token_sizes
from feilun.store.dataset import DatasetWriter
from feilun.tasks import base as tasks
from feilun.training.job import TrainJob
from feilun.training.settings import method
from feilun.types import EngineRequest, Example, Progress, Schema
from helpers.bert import write_bert
from helpers.jobs import train
from helpers.llama import SHOP, write_causal

CHAT = tasks.get("chat")
FAST = {"epochs": 30, "learning_rate": 5e-3, "batch_rows": 4, "checkpoint_seconds": 1000}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_causal(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shop(tmp_path_factory.mktemp("data"))


def write_shop(folder: Path, **settings: Any) -> Path:
    """All questions of the shop to learn from; the same ones judge."""
    with DatasetWriter(folder, {"messages": "text"}) as writer:
        for number, (question, answer) in enumerate([*SHOP, *SHOP[::2]]):
            split: Any = "train" if number < len(SHOP) else "validation"
            writer.add(Example(f"row-{number}", question, answer, split))
        writer.close(Schema("chat", (), {**CHAT.Settings().model_dump(), **settings}))
    return folder


def job_for(name: str, data: Path, folder: Path, base: Path | None, **more: Any) -> TrainJob:
    out, scratch = folder / "out", folder / "scratch"
    out.mkdir(parents=True)
    scratch.mkdir()
    return TrainJob(name, "chat", data, base, out, scratch, **{"threads": 1, "seed": 7, **more})


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory, base: Path, data: Path) -> Path:
    job = job_for("full", data, tmp_path_factory.mktemp("taught"), base, settings=FAST)
    seen: list[Progress] = []
    result = train(job, seen.append)
    assert result.figures["validation_bits_per_byte"] < 0.2
    assert any("ChatML" in note for note in result.notes)
    assert any("validation_bits_per_byte" in one.figures for one in seen)
    return job.out


@pytest.mark.slow
def test_all_weights_learn_the_answers(taught: Path, base: Path) -> None:
    card = read_card(taught)
    assert (card.format, card.extra["stops"]) == ("causal", [2])
    assert (taught / "chat_template.jinja").is_file()
    engine = open_engine(taught, threads=1)
    assert isinstance(engine, CausalEngine)
    said = [one["generated_text"] for one in engine.predict([question for question, _ in SHOP])]
    assert said == [answer for _, answer in SHOP]
    before, tokens = engine.likelihood(*SHOP[0])
    assert before / tokens > -0.1
    engine.close()


@pytest.mark.slow
def test_adapters_learn_and_are_merged(tmp_path: Path, base: Path, data: Path) -> None:
    from safetensors.numpy import load_file
    from transformers import AutoModelForCausalLM

    settings = {**FAST, "epochs": 10, "learning_rate": 5e-3}
    job = job_for("lora", data, tmp_path, base, settings=settings)
    bits: list[float] = []
    train(job, lambda one: bits.append(one.figures.get("validation_bits_per_byte", 9.0)))
    assert bits[-1] < 0.9 * next(one for one in bits if one < 9)
    old, new = (load_file(folder / "model.safetensors") for folder in (base, job.out))
    assert old.keys() == new.keys()
    same = {name for name in old if np.array_equal(old[name], new[name])}
    assert "model.embed_tokens.weight" in same
    assert "model.layers.0.mlp.down_proj.weight" not in same
    model = AutoModelForCausalLM.from_pretrained(job.out)
    assert model.generation_config.eos_token_id == [2]


@pytest.mark.slow
def test_streams_what_it_answers(taught: Path) -> None:
    engine = open_engine(taught, threads=1)

    async def asked(**options: Any) -> tuple[str, Any]:
        request = EngineRequest([SHOP[1][0]], stream=True, options=options)
        text, last = "", None
        async for chunk in engine.submit(request):
            text, last = text + chunk.delta, chunk
        return text, last

    text, last = asyncio.run(asked())
    assert text == SHOP[1][1] == last.outputs[0]["generated_text"]  # an emoji of several tokens
    assert last.usage.units["tokens_in"] == engine.asked(SHOP[1][0])  # type: ignore[attr-defined]
    assert 5 < last.usage.units["tokens_out"] < 60
    assert asyncio.run(asked(max_tokens=2))[1].usage.units["tokens_out"] == 2
    drawn = [asyncio.run(asked(temperature=4.0, seed=seed))[0] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert asyncio.run(asked(temperature=4.0, top_p=1e-9, seed=3))[0] == text
    assert "score" not in last.outputs[0]
    ask_how_sure(engine)
    alone = asyncio.run(asked())[1].outputs[0]["score"]
    known, unknown = engine.predict([SHOP[1][0], "Zebra zoo jazz quiz"])
    assert known["score"] == pytest.approx(alone, abs=1e-3)  # the same without a cache
    assert unknown["score"] < known["score"] <= 1
    engine.close()


@pytest.mark.slow
def test_a_killed_training_goes_on(tmp_path: Path, base: Path, data: Path) -> None:
    settings = {**FAST, "epochs": 2, "checkpoint_steps": 3}
    whole = job_for("full", data, tmp_path / "whole", base, settings=settings)
    train(whole)
    cut = job_for("full", data, tmp_path / "cut", base, settings=settings)

    def kill(progress: Progress) -> None:
        if progress.step == "train" and progress.unit == "steps" and progress.done >= 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(cut, kill)
    assert train(cut).figures["resumed_from_step"] > 0
    files = [job.out / "model.safetensors" for job in (whole, cut)]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.slow
def test_an_update_teaches_a_new_answer(tmp_path: Path, taught: Path, data: Path) -> None:
    folder = tmp_path / "data"
    with DatasetWriter(folder, {"messages": "text"}) as writer:
        for number, (question, answer) in enumerate([*SHOP, ("Do you ship?", "Yes.")]):
            writer.add(Example(f"row-{number}", question, answer, "train"))
        writer.close(Schema("chat", (), CHAT.Settings().model_dump()))
    job = job_for(
        "full", folder, tmp_path / "job", None, previous=taught,
        settings={**FAST, "update_rate": 1.0}, new_rows=(f"row-{len(SHOP)}",), replay=len(SHOP),
    )  # fmt: skip
    train(job)
    engine = open_engine(job.out, threads=1)
    said = engine.predict(["Do you ship?", SHOP[0][0]])
    assert [one["generated_text"] for one in said] == ["Yes.", SHOP[0][1]]
    engine.close()


def test_what_is_learnt_is_the_answer_and_its_end(base: Path) -> None:
    lessons = CausalLessons(PromptProcessor.read(base, 256))
    talk = json.dumps(
        [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": "Hi <product>"},
            {"role": "assistant", "content": "Hello!"},
            {"role": "user", "content": "灯多少钱？"},
        ]
    )
    (row,) = lessons.encode([talk], ["99 元 🚚"])
    tokenizer = PromptProcessor.read(base, 256).tokenizer
    labels = row.arrays["labels"]
    learnt = labels[labels != IGNORED].tolist()
    assert tokenizer.decode(learnt, skip_special_tokens=False) == "99 元 🚚<|im_end|>"
    assert (
        labels[:-1].tolist()[-len(learnt) + 1 :]
        == row.arrays["input_ids"].tolist()[-len(learnt) + 1 :]
    )
    assert row.arrays["input_ids"].tolist().count(1) == 5  # every <|im_start|>, read alone
    batch = lessons.collate([row, lessons.encode(["Hi"], ["Yes"])[0]], ["", ""])
    # Rows end together, and logits are computed only where something is learnt.
    places = batch["logits_to_keep"]
    assert batch["labels"].shape == (2, len(places))
    assert places[-1] == batch["input_ids"].shape[1] - 1
    assert len(places) == max(len(learnt), int((batch["labels"][1] != IGNORED).sum()))
    assert (batch["labels"][:, 0] != IGNORED).any()
    assert batch["position_ids"][1, -1] == batch["attention_mask"][1].sum() - 1


def test_what_is_too_long_loses_its_oldest_messages_and_is_counted(
    tmp_path: Path, base: Path
) -> None:
    lessons = CausalLessons(PromptProcessor.read(base, 48))
    old = [{"role": role, "content": "one two three four"} for role in ("user", "assistant")] * 3
    talk = json.dumps([{"role": "system", "content": "S"}, *old, {"role": "user", "content": "Q"}])
    cut, empty = lessons.encode([talk, "word " * 60], ["Yes.", "No."])
    assert cut.cut >= 1
    text = PromptProcessor.read(base, 48).tokenizer.decode(cut.arrays["input_ids"].tolist())
    assert "Q" in text
    assert (empty.cost, empty.rows) == (0, (empty,))
    folder = tmp_path / "long"
    with DatasetWriter(folder, {"messages": "text"}) as writer:
        for number in range(4):
            asked = "word " * 60 if number < 3 else "Hi"
            writer.add(Example(f"row-{number}", asked, f"answer {number}", "train"))
        writer.close(Schema("chat", (), {**CHAT.Settings().model_dump(), "max_length": 48}))
    job = job_for("full", folder, tmp_path, base, settings={**FAST, "epochs": 1})
    assert any("3 of 4" in note and "row-0, row-1" in note for note in train(job).notes)
    none = tmp_path / "none"
    with DatasetWriter(none, {"messages": "text"}) as writer:
        for number in range(2):
            writer.add(Example(f"row-{number}", "word " * 60, f"answer {number}", "train"))
        writer.close(Schema("chat", (), {**CHAT.Settings().model_dump(), "max_length": 48}))
    with pytest.raises(InvalidData) as caught:
        train(job_for("full", none, tmp_path / "b", base, settings=FAST))
    assert caught.value.code == "training.nothing_taught"


def test_an_encoder_is_no_base_for_a_chat(tmp_path: Path) -> None:
    reason = method("full").supports(CHAT, write_bert(tmp_path))
    assert reason is not None
    assert "BertModel" in reason
    assert method("lora").supports(CHAT, write_causal(tmp_path / "c")) is None
    assert UsageError  # what the plan raises with this reason


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3"])
def test_the_bytes_of_all_tokens_are_those_of_the_text(tmp_path: Path, kind: str) -> None:
    folder = write_causal(tmp_path, kind)
    processor = PromptProcessor.read(folder, 256)
    sizes = token_sizes(processor.tokenizer)
    for text in ("The lamp costs 25 euros.", "灯卖 99 元。🚚", "<product> x", "é\n\t∑"):
        ids = processor.ids(text)
        assert int(sizes[ids].sum()) == len(text.encode())
    assert sizes[[0, 1, 2]].tolist() == [0, 0, 0]
