"""Answers of a language model in one GGUF file: in pieces, together, each as if it were alone."""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import aclosing, closing, suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from feilun.engines import genai, llama_cpp
from feilun.engines._generator import Part
from feilun.engines._levels import write_cascade
from feilun.engines.base import open_engine, prompt_of
from feilun.engines.card import Card, write_card
from feilun.errors import CorruptArtifact, EnvironmentProblem, InvalidData, Overloaded
from feilun.types import Chunk, EngineRequest, Schema
from helpers.absent import hide
from helpers.gguf import tiny_gguf

QUESTIONS = [
    "Are you open?",
    "运费是多少？",
    "x",
    "Do you ship abroad, and how much is it?",
    "👩‍👩‍👧",
]
TOKENS = 24
CARD = Card("gguf", Schema("chat", (), {}), "prompt", extra={"longest": TOKENS})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gguf")
    tiny_gguf(folder / "model.gguf")
    return folder


@pytest.fixture(scope="module", params=[genai, llama_cpp], ids=lambda one: one.__name__[15:])
def engine(folder: Path, request: pytest.FixtureRequest) -> Iterator[genai.GenaiEngine]:
    """Both libraries answer alike."""
    found = request.param.load(folder, CARD, streams=None, threads=1)
    yield found
    found.close()


async def _chunks(engine: genai.GenaiEngine, *items: str, **options: Any) -> list[Chunk]:
    request = EngineRequest(list(items), stream=True, options=options)
    return [chunk async for chunk in engine.submit(request)]


def _ask(engine: genai.GenaiEngine, item: str, **options: Any) -> list[Chunk]:
    return asyncio.run(_chunks(engine, item, **options))


def _text(chunks: list[Chunk]) -> str:
    return str(chunks[-1].outputs[0]["generated_text"])


def test_pieces_are_the_whole_answer(engine: genai.GenaiEngine) -> None:
    for question in QUESTIONS:
        chunks = _ask(engine, question)
        *_, last = chunks
        assert "".join(one.delta for one in chunks) == _text(chunks)
        assert last.usage is not None
        written, reason = last.usage.units["tokens_out"], last.outputs[0]["finish_reason"]
        assert reason == ("length" if written == TOKENS else "stop")
        assert last.usage.units["tokens_in"] == engine.asked(question)


def test_what_a_version_reads_is_told_word_for_word(
    engine: genai.GenaiEngine, tmp_path: Path
) -> None:
    tiny_gguf(tmp_path / "model.gguf")
    write_card(tmp_path, CARD)
    for question in QUESTIONS:
        read = prompt_of(tmp_path, question)
        assert read is not None
        assert question in read
        assert len(engine._processor.ids(read)) == engine.asked(question)
    told = replace(CARD, extra={**CARD.extra, "system_prompt": "Be brief."})
    write_card(tmp_path, told)
    instructed = prompt_of(tmp_path, "x")
    assert instructed is not None
    assert instructed.index("Be brief.") < instructed.rindex("x")


def test_an_answer_is_the_same_alone_and_among_others(engine: genai.GenaiEngine) -> None:
    """Nothing that another customer says is read: not in this call, and not in an earlier one."""
    alone = [_text(_ask(engine, question)) for question in QUESTIONS]
    assert [one["generated_text"] for one in engine.predict(QUESTIONS)] == alone
    lots = random.Random(0)
    asked = [lots.randrange(len(QUESTIONS)) for _ in range(30)]

    async def customer(place: int) -> str:
        await asyncio.sleep(lots.random() / 5)
        secret = f"My secret is {lots.random()}. {QUESTIONS[asked[place]]}"
        # Two that begin alike, of which one is broken off, run beside the one that is looked at.
        request = EngineRequest([secret], stream=True, customer=f"other {place}")
        async with aclosing(engine.submit(request)) as others:  # type: ignore[type-var]
            await anext(others)
            return _text(await _chunks(engine, QUESTIONS[asked[place]]))

    async def everybody() -> list[str]:
        return await asyncio.gather(*map(customer, range(len(asked))))

    assert asyncio.run(everybody()) == [alone[place] for place in asked]


@pytest.mark.parametrize("engine", [genai], indirect=True)  # where a step is one for all
def test_items_of_one_call_are_written_together(engine: genai.GenaiEngine) -> None:
    async def ask() -> list[Chunk]:
        return [one async for one in engine.submit(EngineRequest(QUESTIONS))]

    before = engine._generator.steps
    (last,) = asyncio.run(ask())
    assert engine._generator.steps - before < 2 * TOKENS
    texts = [one["generated_text"] for one in last.outputs]
    assert texts == [_text(_ask(engine, question)) for question in QUESTIONS]


def test_characters_of_several_tokens_are_held_until_they_are_whole(
    engine: genai.GenaiEngine,
) -> None:
    whole = "We are open 你好 👩‍👩‍👧‍👦 é"
    ids = engine._processor.tokenizer.encode(whole, add_special_tokens=False).ids
    text = genai._Text(engine)
    found = [token.text for one in ids for token in text.add(Part([one], []))]
    assert "".join(found) == whole
    assert len(found) == len(ids)
    assert "\ufffd" not in "".join(found)
    assert found.count("") > 10  # bytes of characters that were not whole yet
    broken = genai._Text(engine)
    assert [one.text for one in broken.add(Part(ids[-1:], [], "length"))] == ["\ufffd"]
    # A stop token may come by itself: what is charged has left all the same.
    halted = genai._Text(engine)
    stop = next(iter(engine._stops))
    parts = [Part(ids[-2:-1], []), Part([stop], [], "stop")]
    assert [one.text for part in parts for one in halted.add(part)] == ["\ufffd"]


def test_a_seed_repeats_what_chance_wrote(engine: genai.GenaiEngine) -> None:
    options = {"temperature": 1.0, "max_tokens": 8}
    first = _text(_ask(engine, "x", seed=1, **options))
    assert _text(_ask(engine, "x", seed=1, **options)) == first
    others = {_text(_ask(engine, "x", seed=seed, **options)) for seed in range(2, 6)}
    assert others != {first}


def test_likelihoods_are_those_of_what_is_written(engine: genai.GenaiEngine) -> None:
    told = _ask(engine, "Are you open?", logprobs=0, max_tokens=1)[-1].outputs[0]["logprobs"]
    first, second = (engine.likelihood("Are you open?", text) for text in ("open", "open open"))
    assert (first[1], second[1]) == (2, 3)  # with the token that ends the answer
    assert second[0] < first[0] < told[0]["logprob"] < 0  # the likeliest token is likelier


def test_leaving_ends_the_work(engine: genai.GenaiEngine) -> None:
    async def leave() -> int:
        request = EngineRequest(["Are you open?"], stream=True, options={"max_tokens": 200})
        async with aclosing(engine.submit(request)) as chunks:  # type: ignore[type-var]
            await anext(chunks)
            await anext(chunks)
        assert engine._generator.running == 0
        assert engine.info["oldest"] is None
        await asyncio.sleep(0.2)
        steps = engine._generator.steps
        await asyncio.sleep(0.2)
        return engine._generator.steps - steps

    assert asyncio.run(leave()) == 0


def test_what_is_too_long_is_told(engine: genai.GenaiEngine) -> None:
    with pytest.raises(InvalidData) as raised:
        _ask(engine, "so long " * 100)
    assert raised.value.code == "engines.prompt_too_long"
    long = "a" * 200
    left = 256 - engine.asked(long)
    chunks = _ask(engine, long, max_tokens=1000)
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.units["tokens_out"] <= left
    assert engine.most(EngineRequest([long], options={"max_tokens": 1000}))["tokens_out"] == left
    assert engine.predict(["so long " * 100]) == [{"generated_text": ""}]


def test_too_many_at_once_are_turned_away(folder: Path) -> None:
    engine = genai.load(folder, CARD, streams=None, threads=1)
    engine._generator._most = 3

    async def crowd() -> list[Any]:
        calls = [_chunks(engine, "x") for _ in range(6)]
        return await asyncio.gather(*calls, return_exceptions=True)

    with closing(engine):
        found = asyncio.run(crowd())
    turned = [one for one in found if isinstance(one, Overloaded)]
    assert len(turned) == 3
    assert {one.code for one in turned} == {"engines.queue_full"}
    assert all(one.params["retry_after"] for one in turned)


def test_answers_are_held_to_a_schema(engine: genai.GenaiEngine) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"enum": ["Oslo", "北京"]}, "open": {"type": "boolean"}},
        "required": ["city", "open"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    for question in QUESTIONS[:2]:
        text = _text(_ask(engine, question, response_format=wanted, max_tokens=150))
        with suppress(json.JSONDecodeError):  # cut by its limit, in endless white space
            found = json.loads(text)
            assert found["city"] in ("Oslo", "北京")
            assert isinstance(found["open"], bool)
        assert text.strip().startswith("{")


def test_a_call_that_has_to_come_comes(engine: genai.GenaiEngine) -> None:
    arguments = {
        "type": "object",
        "properties": {"of": {"enum": ["tea", "茶"]}},
        "required": ["of"],
        "additionalProperties": False,
    }
    names = ("price", "stock")
    tools = [
        {"type": "function", "function": {"name": name, "parameters": arguments}} for name in names
    ]
    wants: tuple[Any, ...] = ("required", {"type": "function", "function": {"name": "stock"}})
    for choice, allowed in zip(wants, (names, names[1:]), strict=True):
        chunks = _ask(engine, "How much?", tools=tools, tool_choice=choice, max_tokens=200)
        output = chunks[-1].outputs[0]
        if output["finish_reason"] == "length":  # cut by its limit, in endless white space
            continue
        (call,) = output["tool_calls"]
        assert call["function"]["name"] in allowed
        assert json.loads(call["function"]["arguments"])["of"] in ("tea", "茶")
        assert (output["finish_reason"], output["generated_text"]) == ("tool_calls", "")
        assert [one for chunk in chunks[:-1] for one in chunk.calls] == [call]
    referring = {"type": "object", "properties": {"x": {"$ref": "#/$defs/A"}}, "$defs": {"A": {}}}
    tools = [{"type": "function", "function": {"name": "r", "parameters": referring}}]
    chunks = _ask(engine, "x", tools=tools, tool_choice="required", max_tokens=200)
    assert not chunks[-1].outputs[0]["generated_text"].strip("{} \n")


@pytest.mark.parametrize("engine", [genai], indirect=True)
def test_a_schema_that_the_library_fails_on_harms_nobody_else(engine: genai.GenaiEngine) -> None:
    wanted = {"type": "json_schema", "json_schema": {"schema": {"type": "nonsense"}}}
    before = _text(_ask(engine, "x"))
    with pytest.raises(InvalidData) as raised:
        _ask(engine, "x", response_format=wanted)
    assert raised.value.code == "engines.not_constrained"
    assert _text(_ask(engine, "x")) == before


async def _asked_until(engine: genai.GenaiEngine, end: Callable[[int], None]) -> None:
    """Waits for an answer that cannot come, because the process is stopped, and ends it by `end`,
    which is given the process's id."""
    process = engine._generator._process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    async with aclosing(engine.submit(EngineRequest(["x"], stream=True))) as chunks:  # type: ignore[type-var]
        first = asyncio.ensure_future(anext(chunks))
        while not engine._generator.running:
            await asyncio.sleep(0.01)
        end(process.pid)
        await first


def test_a_killed_process_is_replaced(engine: genai.GenaiEngine) -> None:
    before = _text(_ask(engine, "x"))
    with pytest.raises(EnvironmentProblem) as raised:
        asyncio.run(_asked_until(engine, lambda process: os.kill(process, signal.SIGKILL)))
    assert raised.value.code == "engines.abandoned"
    assert _text(_ask(engine, "x")) == before


def test_nothing_is_left_when_it_is_closed(folder: Path) -> None:
    engine = genai.load(folder, CARD, streams=None, threads=1)
    process = engine._generator._process
    assert process is not None
    engine.close()
    engine.close()
    assert process.poll() is not None
    with pytest.raises(EnvironmentProblem) as raised:
        _ask(engine, "x")
    assert raised.value.code == "engines.closed"
    with pytest.raises(EnvironmentProblem):
        engine.raw(["x"])


def test_an_abandoned_engine_fails_its_calls(folder: Path) -> None:
    engine = genai.load(folder, CARD, streams=None, threads=1)

    with pytest.raises(EnvironmentProblem) as raised:
        asyncio.run(_asked_until(engine, lambda process: engine.abandon()))
    assert raised.value.code == "engines.abandoned"


def test_a_damaged_version_is_told(tmp_path: Path) -> None:
    file = tiny_gguf(tmp_path / "model.gguf")
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(CorruptArtifact) as raised:
        genai.load(tmp_path, CARD, streams=None, threads=1)
    assert "bytes of" in raised.value.message("en")


def test_an_unknown_architecture_is_told(tmp_path: Path) -> None:
    tiny_gguf(tmp_path / "model.gguf", architecture="bloom")
    with pytest.raises(InvalidData) as raised:
        genai.load(tmp_path, CARD, streams=None, threads=1)
    assert "bloom" in raised.value.message("en")
    assert "qwen3" in raised.value.message("zh")


def test_without_the_library_it_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, "openvino_genai")
    with pytest.raises(EnvironmentProblem) as raised:
        genai.load(folder, CARD, streams=None, threads=1)
    assert "feilun[language]" in raised.value.hint("en")


def test_the_process_ends_with_its_parent(folder: Path) -> None:
    """Also where the parent had no time to end it."""
    engine = genai.load(folder, CARD, streams=None, threads=1)
    process = engine._generator._process
    assert process is not None
    assert process.stdin is not None
    engine._generator._down.put(None)  # the writer closes the pipe, as the end of a parent does
    until = monotonic() + 60
    while process.poll() is None and monotonic() < until:
        sleep(0.02)
    assert process.poll() is not None
    engine.close()


def test_how_sure_an_answer_is_is_said_where_a_cascade_asks_for_it(
    engine: genai.GenaiEngine, folder: Path, tmp_path: Path
) -> None:
    asked = [one for one in QUESTIONS if _text(_ask(engine, one))]
    plain = engine.predict(asked)
    assert not any("score" in one for one in plain)
    stage, last = tmp_path / "lm", tmp_path / "upstream"
    shutil.copytree(folder, stage)
    write_card(stage, CARD)
    last.mkdir()
    extra = {"address": "http://127.0.0.1:9/v1", "model": "m"}
    write_card(last, Card("upstream", CARD.schema, "upstream", extra=extra))
    write_cascade(tmp_path / "both", [("own", stage), ("upstream", last)], [0.0])
    with closing(open_engine(tmp_path / "both")) as both:
        answers = both.predict(asked)
        assert [one["generated_text"] for one in answers] == [
            one["generated_text"] for one in plain
        ]
        for question, one in zip(asked, answers, strict=True):
            *_, chunk = asyncio.run(_chunks(both, question))  # type: ignore[arg-type]
            assert chunk.outputs[0]["score"] == pytest.approx(one["score"], abs=1e-3)
            told = _ask(engine, question, logprobs=0)[-1].outputs[0]["logprobs"]
            whole = math.prod(math.exp(token["logprob"]) for token in told)
            # The token that stops counts, too, and adds nothing to what is told.
            assert 0 < one["score"] ** (len(told) + 1) <= whole + 1e-6
