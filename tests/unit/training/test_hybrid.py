"""Remembered answers are found by an encoder's vectors beside their terms."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from feilun import messages
from feilun.config import Settings
from feilun.engines.base import open_engine
from feilun.engines.card import read_card
from feilun.engines.memory import SEARCH, MemoryEngine
from feilun.errors import EnvironmentProblem, UsageError
from feilun.pipeline.steps.plan import draw
from feilun.project import Project, Workspace
from feilun.tasks import base as tasks
from feilun.training.bases import resolve, starters
from feilun.training.settings import method, methods_for
from feilun.types import EngineRequest
from helpers.gguf import tiny_gguf
from helpers.llama import write_causal
from helpers.tiny import head_version

CHAT = tasks.get("chat")
ROWS = [
    {"question": f"w{n} w{n + 1} {asked}?", "answer": f"w{n + 2} w{n + 3}."}
    for n in range(0, 48, 4)
    for asked in ("w60", "w61", "w62")
]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The encoder's weights are drawn at random: BM25 has to find what is asked."""
    base = head_version(tmp_path_factory.mktemp("base")) / "encoder"
    with Workspace(tmp_path_factory.mktemp("w")) as workspace:
        project = workspace.init("shop", task="chat", base=str(base))
        project.add(ROWS)
        yield project


@pytest.fixture(scope="module")
def version(project: Project) -> Path:
    share = {"training.hybrid.lexical": 0.9}
    memory, hybrid = project.run(method="hybrid", overrides=share).stages
    assert (memory.method, hybrid.method) == ("memory", "hybrid")
    store = project.workspace.store
    return store.artifacts.path(store.catalog.model_version("shop@2").artifact() or "")


def test_remembered_answers_are_found_by_both(version: Path) -> None:
    assert read_card(version).format == "memory"
    assert read_card(version).method == "hybrid"
    assert read_card(version / SEARCH).extra["lexical"] == 0.9
    with closing(open_engine(version, threads=1)) as engine:
        assert isinstance(engine, MemoryEngine)
        assert engine.info["threads"] == 1
        kept = {f"w{n + 1} w{n} please": f"w{n + 2} w{n + 3}." for n in range(0, 48, 4)}
        kept = {question: answer for question, answer in kept.items() if answer in engine._answers}
        assert len(kept) > 6
        asked = list(kept)
        found = engine.predict(asked)
        # What the gate's threshold leaves unanswered is looked at, too.
        nearest = engine.raw(asked)
        assert [one.text for one in nearest] == list(kept.values())
        assert all(0 < one.sure < 1 for one in nearest)
        question, place = next(iter(engine._known.items()))
        (known,) = engine.predict([question.upper() + "!"])
        assert (known["generated_text"], known["score"]) == (engine._answers[place], 1.0)

        async def ask() -> list[Any]:
            request = EngineRequest(asked[:1], stream=True)
            return [chunk async for chunk in engine.submit(request)]

        *pieces, last = asyncio.run(ask())
        assert "".join(one.delta for one in pieces) == found[0]["generated_text"]
        assert last.outputs[0]["score"] == found[0]["score"]
    with pytest.raises(EnvironmentProblem):
        engine._search.raw(["x"])  # type: ignore[union-attr]


@pytest.mark.slow
def test_it_takes_an_encoder_of_its_own(tmp_path: Path, project: Project) -> None:
    """A chat's usual base writes; the starter that reads is taken where none is named."""
    how = method("hybrid")
    assert "hybrid" in methods_for(CHAT)
    tiny_gguf(tmp_path / "m.gguf")
    assert "hybrid" not in methods_for(CHAT, tmp_path)
    for lang, said in (("en", "that writes"), ("zh", "生成文本")):
        messages.use(lang)  # type: ignore[arg-type]
        assert said in str(how.supports(CHAT, tmp_path))
    messages.use("en")
    with pytest.raises(UsageError, match="that writes"):
        project.run(method="hybrid", overrides={"project.base": str(tmp_path)})
    settings = Settings(workspace=tmp_path)
    assert resolve(None, CHAT, settings, default="minilm") == starters()["minilm"]


def test_auto_tries_it_where_its_own_encoder_reads_the_questions(tmp_path: Path) -> None:
    base = write_causal(tmp_path / "base")
    asked = {"en": "When do you deliver the {}?", "zh": "请问{}什么时候送到？"}
    with Workspace(tmp_path / "w") as workspace:
        for lang, words in asked.items():
            project = workspace.init(lang, task="chat", base=str(base))
            project.add([{"question": words.format(n), "answer": f"{n}."} for n in range(40)])
            config, settings = project.scope.resolved(None)
            context = project.scope.context(None)
            found, _, notes = draw(replace(context, config=config, method_settings=settings))
            stages = {one["method"]: one for one in found["rungs"]}
            told = any("hybrid" in line and "minilm" in line for line in notes)
            if lang == "zh":
                assert list(stages)[:1] == ["memory"]
                assert "hybrid" not in stages
                assert told
                continue
            assert list(stages)[:2] == ["memory", "hybrid"]
            assert stages["hybrid"]["base"] == {"folder": str(starters()["minilm"])}
            assert stages["hybrid"]["base_name"] == "minilm"
            assert stages["lora"]["base"] == {"folder": str(base)}
            assert not told
