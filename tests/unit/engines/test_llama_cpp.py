"""Models that openvino-genai does not know run in llama.cpp. What holds for both libraries is in
`test_genai`; here is what llama.cpp's server has to be brought to."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from feilun.engines import genai, llama_cpp
from feilun.engines._llama_cpp import _Spelling
from feilun.engines.base import open_engine, prompt_of
from feilun.engines.card import Card, read_card, write_card
from feilun.errors import EnvironmentProblem, InvalidData
from feilun.modalities.language import gguf
from feilun.store.dataset import DatasetWriter
from feilun.tasks import base as tasks
from feilun.training.job import TrainJob
from feilun.types import EngineRequest, Example, Schema
from helpers.absent import hide
from helpers.gguf import tiny_gguf
from helpers.jobs import train

OTHER = "smollm3"
QUESTIONS = ["Are you open?", "运费是多少？", "x", "👩‍👩‍👧"]
CARD = Card("llama-cpp", Schema("chat", (), {}), "prompt", precision="f16", extra={"longest": 24})


def _data(folder: Path, task: str, rows: dict[str, Any]) -> Path:
    made = tasks.get(task)
    with DatasetWriter(folder, {"text": "text"}) as writer:
        for number, (item, label) in enumerate(rows.items()):
            writer.add(Example(f"r{number}", item, made.family.target(label), "train"))
        labels = ("person",) if task == "token-classification" else ()
        writer.close(Schema(task, labels, made.Settings().model_dump()))
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    tiny_gguf(folder / "any.gguf", architecture=OTHER, context=512)
    return folder


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[genai.GenaiEngine]:
    folder = tmp_path_factory.mktemp("version")
    tiny_gguf(folder / "model.gguf")
    with closing(llama_cpp.load(folder, CARD, streams=None, threads=1)) as found:
        yield found


def test_a_base_of_another_architecture_is_served(base: Path, tmp_path: Path) -> None:
    data = _data(tmp_path / "data", "chat", {"Are you open?": "From nine.", "Where?": "In Oslo."})
    (tmp_path / "out").mkdir()
    settings = {"shots": 1, "max_tokens": 8}
    job = TrainJob(
        "prompt", "chat", data, base, tmp_path / "out", tmp_path / "s", settings=settings
    )
    assert train(job).figures["rows"] == 2
    assert read_card(tmp_path / "out").format == "llama-cpp"
    read = prompt_of(tmp_path / "out", "Are you open?")
    assert read is not None
    assert "From nine." in read
    with closing(open_engine(tmp_path / "out")) as found:
        assert found.info["engine"] == "llama-cpp"
        assert found.most(EngineRequest(["x"]))["tokens_out"] == 8
        first, second = found.predict(["Are you open?", "Where?"])
        assert first["generated_text"]
        assert found.predict(["Where?"]) == [second]


def test_it_labels_and_extracts_by_a_prompt(base: Path, tmp_path: Path) -> None:
    rows = {f"{name} opens": [{"start": 0, "end": 3, "label": "person"}] for name in ("Ada", "Bob")}
    data = _data(tmp_path / "data", "token-classification", rows)
    (tmp_path / "out").mkdir()
    settings = {"shots": 1, "max_tokens": 40}
    job = TrainJob(
        "few-shot", "token-classification", data, base, tmp_path / "out", tmp_path / "s",
        settings=settings,
    )  # fmt: skip
    train(job)
    with closing(open_engine(tmp_path / "out")) as found:
        (answer,) = found.predict(["Ada opens"])
        assert isinstance(answer["entities"], list)


def test_it_is_the_model_that_openvino_runs(engine: genai.GenaiEngine, tmp_path: Path) -> None:
    """The same file in both: what is likely, and what is written."""
    tiny_gguf(tmp_path / "model.gguf")
    card = replace(CARD, format="gguf")
    with closing(genai.load(tmp_path, card, streams=None, threads=1)) as other:
        assert engine.predict(QUESTIONS) == other.predict(QUESTIONS)
        for question in QUESTIONS:
            for answer in ("open", "你好 👩‍👩‍👧", "é"):  # the second in bytes of characters
                (one, count), (two, same) = (
                    each.likelihood(question, answer) for each in (engine, other)
                )
                assert count == same
                assert abs(one - two) / count < 0.03
        one, two = (each.continued("open open", " open") for each in (engine, other))
        assert one[0] == pytest.approx(two[0], abs=0.05)
        assert one[1] == two[1]


def test_tokens_within_a_character_are_counted(engine: genai.GenaiEngine) -> None:
    """llama.cpp's server tells only how many they were, and the whole character."""
    for question in QUESTIONS:
        request = EngineRequest([question], stream=True)

        async def ask(request: EngineRequest = request) -> list[Any]:
            return [chunk async for chunk in engine.submit(request)]

        *pieces, last = asyncio.run(ask())
        assert last.usage is not None
        assert len(pieces) == last.usage.units["tokens_out"]
        if last.outputs[0]["finish_reason"] == "length":
            assert len(pieces) == 24
    spelling = _Spelling(gguf.read(engine._generator._model))
    encode = engine._processor.tokenizer.encode
    for text in ("é", "好", "👩‍👩‍👧", "你好", "a é"):
        *before, end = encode(text, add_special_tokens=False).ids
        assert spelling.missing(text, end, len(before)) == before
    # What was no character is lost; how many tokens it was is not.
    assert spelling.missing("\ufffd\ufffdx", encode("x").ids[-1], 2) is None


def _told(engine: genai.GenaiEngine, question: str, **more: Any) -> tuple[str, list[float], int]:
    """The answer, the log-probabilities of its tokens, and how many tokens it has."""

    async def ask() -> list[Any]:
        request = EngineRequest([question], stream=True, options={"logprobs": 0, **more})
        return [chunk async for chunk in engine.submit(request)]

    last = asyncio.run(ask())[-1]
    (output,) = last.outputs
    logs = [one["logprob"] for one in output.get("logprobs", ())]
    return output["generated_text"], logs, last.usage.units["tokens_out"]


def test_probabilities_are_those_that_openvino_tells(
    engine: genai.GenaiEngine, tmp_path: Path
) -> None:
    tiny_gguf(tmp_path / "model.gguf")
    card = replace(CARD, format="gguf")
    with closing(genai.load(tmp_path, card, streams=None, threads=1)) as other:
        for question in QUESTIONS:
            text, logs, count = _told(engine, question)
            same, others, many = _told(other, question)
            assert (text, count) == (same, many)
            # A token is without its probability only where it was part of no character.
            assert len(others) - text.count("\ufffd") <= len(logs) <= len(others)
            assert len(logs) > len(others) / 2
            rest = iter(others)
            for one in logs:
                assert any(abs(one - each) < 0.05 for each in rest)
        # Tokens within characters: what the same answer is read with by the other library.
        schema = {
            "type": "object",
            "properties": {"city": {"enum": ["北京é"]}},
            "required": ["city"],
            "additionalProperties": False,
        }
        wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        text, logs, count = _told(engine, "Where?", response_format=wanted, max_tokens=60)
        assert json.loads(text) == {"city": "北京é"}
        read = list(other._asked_ids("Where?", {}))
        learnt = other._processor.ids(text)
        assert len(logs) == len(learnt) > len(text)
        _, found = other._asked_of([*read, *learnt], genai._echo(len(read)))
        assert logs == pytest.approx(found[len(read) :], abs=0.05)


def test_what_its_grammar_does_not_know_holds_all_the_same(engine: genai.GenaiEngine) -> None:
    """The rest of the schema binds; the whole of it is looked at when the answer is there."""
    schema = {
        "type": "object",
        "properties": {"a": {"type": "array", "items": {"enum": [1, 2]}, "uniqueItems": True}},
        "required": ["a"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}

    async def ask() -> str:
        options = {"response_format": wanted, "max_tokens": 60}
        request = EngineRequest(["Are you open?"], options=options)
        (last,) = [chunk async for chunk in engine.submit(request)]
        return str(last.outputs[0]["generated_text"])

    text = asyncio.run(ask())
    assert text.startswith('{"a":')
    cut = text if text.endswith("]}") else text.rstrip("12")[:-1].rstrip(",[") + "]}"
    assert set(json.loads(cut if "[" in cut else '{"a": []}')["a"]) <= {1, 2}


def test_nobody_else_reaches_it(engine: genai.GenaiEngine) -> None:
    """The server that comes with it listens on no port, and no file leads to its socket."""
    process = engine._generator._process
    assert process is not None
    inodes = set()
    for one in Path(f"/proc/{process.pid}/fd").iterdir():
        if stat.S_ISSOCK(one.stat().st_mode):
            inodes.add(str(one.readlink())[8:-1])
    assert inodes, "it has a socket"
    for kind in ("tcp", "tcp6"):
        lines = Path(f"/proc/{process.pid}/net/{kind}").read_text().splitlines()[1:]
        assert not inodes & {line.split()[9] for line in lines}
    paths = Path(f"/proc/{process.pid}/net/unix").read_text().splitlines()[1:]
    named = [line.split() for line in paths if len(line.split()) > 7]
    # A process that was forked for a test has sockets of its parent's, too.
    (path,) = {one[7] for one in named if one[6] in inodes and one[7].endswith("llama.sock")}
    assert not Path(path).exists()
    with socket.socket(socket.AF_UNIX) as client, pytest.raises(OSError, match="No such file"):
        client.connect(path)


def test_what_llama_cpp_does_not_open_is_told(tmp_path: Path) -> None:
    for architecture, said in (("nonsense", "'nonsense'"), ("granite", "granite.logit_scale")):
        folder = tmp_path / architecture
        folder.mkdir()
        tiny_gguf(folder / "model.gguf", architecture=architecture)
        with pytest.raises((InvalidData, EnvironmentProblem)) as raised:
            llama_cpp.load(folder, CARD, streams=None, threads=1)
        for lang in ("en", "zh"):
            assert said in raised.value.message(lang)
        if architecture == "nonsense":
            assert raised.value.code == "engines.unknown_llama_cpp"


def test_without_the_library_it_says_what_to_install(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = gguf.read(base / "any.gguf")
    assert genai.library(header) == "llama-cpp"
    hide(monkeypatch, "xllamacpp")
    with pytest.raises(InvalidData) as missing:
        genai.library(header)
    assert OTHER in missing.value.message("zh")
    write_card(tmp_path, CARD)
    with pytest.raises(EnvironmentProblem) as raised:
        llama_cpp.load(tmp_path, CARD, streams=None, threads=1)
    for said in (missing, raised):
        assert "feilun[llama-cpp]" in said.value.hint("en")
        assert "feilun[llama-cpp]" in said.value.hint("zh")
