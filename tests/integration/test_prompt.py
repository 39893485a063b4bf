"""A base that is a GGUF file answers behind the metered API as it is: told by a prompt, with
examples, judged like any other version. Everything is real but for what the model has to say."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest

from feilun.engines import _generator
from feilun.project import Project, Workspace
from helpers.gguf import tiny_gguf
from helpers.serving import Answering, serving

ANSWERS = {
    "kettle": "ten euros",
    "lamp": "twelve euros",
    "chair": "forty euros",
    "scarf": "nine euros",
    "水壶": "十欧元",
    "台灯": "十二欧元",
    "椅子": "四十欧元",
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("data")
    (folder / "base").mkdir()
    tiny_gguf(folder / "base" / "any-name.gguf", context=1024)
    rows = [
        f"{ask} {one}?,{said}" for one, said in ANSWERS.items() for ask in ("Price of", "多少钱")
    ]
    (folder / "faq.csv").write_text("\n".join(["question,answer", *rows]), "utf-8")
    with Workspace(tmp_path_factory.mktemp("workspace")) as workspace:
        project = workspace.init("shop", task="chat", base=str(folder / "base"))
        project.add(folder / "faq.csv")
        yield project


@pytest.fixture(scope="module")
def versions(shop: Project) -> list[Any]:
    settings = {
        "training.prompt.system_prompt": "Be short.",
        "training.prompt.shots": 2,
        "training.prompt.max_tokens": 12,
    }
    return list(shop.run(method="prompt", overrides=settings).stages)


@pytest.fixture(scope="module")
def server(shop: Project, versions: list[Any]) -> Iterator[Answering]:
    shop.deploy("shop@2", force=True, reason="for its nonsense")
    with serving(shop.workspace.store) as running:
        yield running


@pytest.fixture
def ai(server: Answering) -> Iterator[openai.OpenAI]:
    http = httpx.Client(trust_env=False)
    with openai.OpenAI(
        base_url=f"{server.address}/v1", api_key=server.key.secret, http_client=http
    ) as one:
        yield one


def test_a_base_is_judged_like_any_version(shop: Project, versions: list[Any]) -> None:
    memory, prompt = versions
    assert (memory.method, memory.promoted) == ("memory", True)
    assert (prompt.method, prompt.promoted) == ("prompt", False)  # what it says is nonsense
    assert prompt.variant == "prompt"


def test_it_writes_for_openais_client(ai: openai.OpenAI) -> None:
    ask: Any = {"model": "shop", "messages": [{"role": "user", "content": "Price of lamp?"}]}
    whole = ai.chat.completions.create(**ask)
    assert whole.usage is not None
    assert 0 < whole.usage.completion_tokens <= 12
    chunks = list(
        ai.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True})
    )
    text = "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    # Asked with the system prompt, two examples and the question.
    assert whole.usage.prompt_tokens > 100

    def again(_: int) -> str | None:
        return ai.chat.completions.create(**ask).choices[0].message.content

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(again, range(16))) == {text}


def test_a_prompt_that_is_too_long_costs_nothing(ai: openai.OpenAI) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as raised:
        ai.chat.completions.create(
            model="shop", messages=[{"role": "user", "content": "so long " * 200}]
        )
    assert "its answer included" in str(raised.value)


def test_its_process_ends_with_the_server(
    shop: Project, versions: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_generator, "subprocess", subprocess)  # not forked: a child of this one

    def generators() -> set[int]:
        mine = psutil.Process().children(recursive=True)
        return {one.pid for one in mine if "feilun.engines._generator" in one.cmdline()}

    before = generators()
    with serving(shop.workspace.store):
        assert generators() > before
    assert generators() == before


def test_without_a_gguf_file_it_says_so(shop: Project, tmp_path: Path) -> None:
    from feilun.tasks import base as tasks
    from feilun.training.methods import prompt

    assert "GGUF" in str(prompt.supports(tasks.get("chat"), tmp_path))
    assert prompt.supports(tasks.get("text-classification"), tmp_path) is not None
