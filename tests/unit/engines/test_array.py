"""The float engine and an OpenVINO variant of the same version, whole lists and many calls."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from feilun.compression.convert import convert, processor_of, write_variant
from feilun.engines.base import Engine, open_engine
from feilun.engines.card import read_card, write_card
from feilun.engines.torch import load_module
from feilun.errors import CorruptArtifact, EnvironmentProblem
from feilun.types import Chunk, EngineRequest
from helpers.tiny import LABELS, head_version, texts

ITEMS = texts(120)


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return head_version(tmp_path_factory.mktemp("head") / "version")


@pytest.fixture(scope="module")
def variant(version: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    card = read_card(version)
    folder = tmp_path_factory.mktemp("variant") / "fp32"
    write_variant(convert(version, card), folder, card, processor_of(version, card), "fp32")
    return folder


@pytest.fixture(scope="module")
def engine(variant: Path) -> Iterator[Engine]:
    opened = open_engine(variant)
    yield opened
    opened.close()


def submit(engine: Engine, requests: Sequence[EngineRequest]) -> list[Chunk]:
    async def one(request: EngineRequest) -> Chunk:
        found = [chunk async for chunk in engine.submit(request)]
        assert len(found) == 1
        return found[0]

    async def main() -> list[Chunk]:
        return await asyncio.gather(*map(one, requests))

    return asyncio.run(main())


def test_the_variant_answers_as_torch_does(version: Path, engine: Engine) -> None:
    with_torch = open_engine(version)
    expected = with_torch.raw(ITEMS)
    assert expected.dtype == np.float32
    assert expected.shape == (len(ITEMS), 2)
    assert 0 < expected.argmax(axis=1).sum() < len(ITEMS)
    assert np.allclose(engine.raw(ITEMS), expected, atol=1e-3)
    assert with_torch.info["engine"] == "torch"
    assert engine.info["engine"] == "openvino"
    with_torch.close()


def test_order_is_restored_and_batching_changes_nothing(engine: Engine) -> None:
    alone = np.concatenate([engine.raw([item]) for item in ITEMS[:30]])
    assert np.allclose(engine.raw(ITEMS)[:30], alone, atol=1e-4)


def test_calls_are_answered_as_the_list_is(engine: Engine) -> None:
    expected = engine.predict(ITEMS, all_scores=True)
    sizes = [1, 2, 50, 1, 66]
    starts = np.cumsum([0, *sizes])
    requests = [
        EngineRequest(ITEMS[start : start + size], all_scores=size == 50)
        for start, size in zip(starts, sizes, strict=False)
    ]
    chunks = submit(engine, requests)
    outputs = [output for chunk in chunks for output in chunk.outputs]
    for output, wanted in zip(outputs, expected, strict=True):
        assert output["label"] == wanted["label"]
        assert output["score"] == pytest.approx(wanted["score"], abs=0.03)
    assert [set(o) for o in chunks[0].outputs] == [{"label", "score"}]
    assert set(chunks[2].outputs[0]["scores"]) == set(LABELS)
    assert submit(engine, [EngineRequest([])])[0].outputs == []


def test_usage_counts_real_tokens(engine: Engine) -> None:
    before = engine.usage
    chunks = submit(engine, [EngineRequest(["w1 w2 w3"]), EngineRequest(["", "w1"])])
    usages = [chunk.usage for chunk in chunks]
    assert [usage.tokens for usage in usages if usage] == [5, 2 + 3]
    assert [usage.inputs for usage in usages if usage] == [1, 2]
    assert all(usage.engine_seconds > 0 for usage in usages if usage)
    assert engine.usage.tokens - before.tokens == 10
    assert engine.usage.inputs - before.inputs == 3


def test_warm_up_counts_for_nobody(variant: Path) -> None:
    engine = open_engine(variant, streams=1, threads=1)
    engine.warm_up()
    assert engine.usage.inputs == 0
    assert engine.info["streams"] == 1
    assert engine.info["threads"] == 1
    engine.close()


def test_a_closed_engine_takes_no_more(variant: Path) -> None:
    engine = open_engine(variant)
    submit(engine, [EngineRequest(["w1"])])
    engine.close()
    engine.close()
    with pytest.raises(EnvironmentProblem):
        submit(engine, [EngineRequest(["w1"])])
    with pytest.raises(EnvironmentProblem):
        engine.predict(["w1"])


def test_a_variant_needs_nothing_of_its_version(variant: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(variant, moved)
    write_card(moved, replace(read_card(moved), point={"temperature": 4.0}))
    cool = open_engine(moved).predict(ITEMS[:10])
    plain = open_engine(variant).predict(ITEMS[:10])
    assert [one["label"] for one in cool] == [one["label"] for one in plain]
    assert all(a["score"] < b["score"] for a, b in zip(cool, plain, strict=True))


def test_numbers_that_are_not_finite_are_never_an_answer(version: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(version, broken)
    file = broken / "head.safetensors"
    save_file(load_file(file) | {"bias": np.array([np.nan, 0], np.float32)}, file)
    engine = open_engine(broken)
    with pytest.raises(CorruptArtifact, match="not finite"):
        engine.predict(["w1"])
    with pytest.raises(CorruptArtifact, match="not finite"):
        submit(engine, [EngineRequest(["w1"])])
    engine.close()


def test_damaged_files_are_named(version: Path, variant: Path, tmp_path: Path) -> None:
    head = tmp_path / "head"
    shutil.copytree(version, head)
    tensors = load_file(head / "head.safetensors")
    save_file(tensors | {"bias": np.zeros(7, np.float32)}, head / "head.safetensors")
    with pytest.raises(CorruptArtifact, match="2 labels"):
        load_module(head)
    (head / "head.safetensors").write_bytes(b"no weights")
    with pytest.raises(CorruptArtifact, match=r"head\.safetensors"):
        load_module(head)
    half = tmp_path / "half"
    shutil.copytree(variant, half)
    (half / "model.xml").write_text("<net>", "utf-8")
    with pytest.raises(CorruptArtifact, match=r"model\.xml"):
        open_engine(half)


def test_without_torch_the_float_says_what_to_install(
    version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EnvironmentProblem, match=r"feilun\[train\]"):
        open_engine(version)
