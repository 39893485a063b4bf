"""A language model that answers from passages is believed only as far as they say the same."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from feilun import messages
from feilun.engines._prompts import fill, lacking
from feilun.engines.base import Engine, open_engine
from feilun.engines.rag import cited
from feilun.errors import InvalidSettings, UsageError
from feilun.families.answers import Passage
from feilun.project import Project, Workspace
from feilun.types import EngineRequest
from helpers.gguf import tiny_gguf

PASSAGES = [
    Passage("returns.md", "You can send goods back within 14 days of delivery.", "Returns"),
    Passage("shipping.md", "满 99 元包邮，不足 99 元收 8 元运费。", "运费"),
    Passage("shop.md", "The shop opens at nine. It closes at six."),
]


@pytest.mark.parametrize(
    ("written", "answer", "documents"),
    [
        ("You can send goods back within 14 days. [1]", "You can send goods back within 14 days.",
         ["returns.md"]),
        ("It opens at nine [3]. It closes at six [3].", "It opens at nine. It closes at six.",
         ["shop.md"]),
        # A wrong number, or none, does not hide the passage that says it.
        ("Goods can be sent back within 14 days of delivery [2].",
         "Goods can be sent back within 14 days of delivery.", ["returns.md"]),
        ("不足 99 元收 8 元运费【2】。", "不足 99 元收 8 元运费。", ["shipping.md"]),
        ("The shop opens at nine. Goods go back within 14 days of delivery.",
         "The shop opens at nine. Goods go back within 14 days of delivery.",
         ["shop.md", "returns.md"]),
        # What no passage says is dropped, other numbers above all.
        ("You can send goods back within 30 days of delivery [1].", "", []),
        ("The shop opens at nine. Our founder was born in Paris.", "The shop opens at nine.",
         ["shop.md"]),
        ("I do not know.", "", []),
        ("", "", []),
        ("[1]", "", []),
        ("Passage [99] of [0]", "", []),
    ],
)  # fmt: skip
def test_only_sentences_that_a_passage_says_stay(
    written: str, answer: str, documents: list[str]
) -> None:
    said, used = cited(written, PASSAGES)
    assert said == answer
    assert [one.document for one in used] == documents


def test_values_are_no_variables() -> None:
    told = 'Answer {question} as {"a": 1} from {passages}'
    assert fill(told, {"question": "{passages}", "passages": "P"}) == (
        'Answer {passages} as {"a": 1} from P'
    )
    assert lacking(told, ("passages", "question"), ()) is None
    assert lacking("{question} {text}", ("passages", "question"), ()) == "+{passages}, -{text}"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    messages.use("en")
    folder = tmp_path_factory.mktemp("rag")
    (folder / "docs").mkdir()
    for one in PASSAGES:
        (folder / "docs" / one.document).write_text(f"# {one.heading}\n\n{one.text}\n", "utf-8")
    (folder / "rules.csv").write_text("match,answer\nhuman,Call 400-123.\n", "utf-8")
    (folder / "base").mkdir()
    tiny_gguf(folder / "base" / "m.gguf", context=512)
    with Workspace(folder / "w") as workspace:
        project = workspace.init("help", task="question-answering", base=str(folder / "base"))
        project.add(folder / "docs", folder / "rules.csv")
        project.run(method="rag", overrides={"training.rag.max_tokens": 12})
        yield project


@pytest.fixture(scope="module")
def engine(project: Project) -> Iterator[Engine]:
    store = project.workspace.store
    version = store.catalog.model_version("help@2")
    assert version.method == "rag"
    opened = open_engine(store.artifacts.path(version.artifact() or ""))
    yield opened
    opened.close()


def test_nonsense_fails_closed_and_rules_stand(engine: Engine) -> None:
    asked = ["Within how many days can I send goods back?", "运费是多少？", "a human please"]
    back, postage, human = engine.predict(asked)
    assert back["abstained"]
    assert (back["answer"], back["citations"]) == ("I do not know the answer to that.", [])
    assert postage["abstained"]
    assert (human["answer"], human["score"]) == ("Call 400-123.", 1.0)
    assert [one["document"] for one in back["passages"]][:1] == ["returns.md"]


def test_tokens_are_counted_and_bounded(engine: Engine) -> None:
    request = EngineRequest(["when does the shop open"] * 3)

    async def ask() -> Any:
        return [chunk async for chunk in engine.submit(request)][-1]

    chunk, most = asyncio.run(ask()), engine.most(request)
    units = chunk.usage.units
    assert chunk.usage.inputs == 3
    assert 0 < units["tokens_in"] <= most["tokens_in"]
    assert 0 < units["tokens_out"] <= most["tokens_out"] == 36


def test_a_prompt_needs_its_variables(project: Project) -> None:
    with pytest.raises(InvalidSettings, match=r"\+\{passages\}"):
        project.run(method="rag", overrides={"training.rag.prompt": "Answer {question}."})


def test_a_base_that_reads_is_refused(project: Project) -> None:
    with pytest.raises(UsageError, match="GGUF"):
        project.run(method="rag", overrides={"project.base": "minilm"})
