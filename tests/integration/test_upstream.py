"""An endpoint that passes its calls on to a second feilun, metered here, until a version of its own
is better."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from feilun.project import Project, Workspace
from feilun.project.upstream import Upstream
from helpers.serving import Answering, make_key, serving

ANSWERS = {f"How much is item {n}?": f"Item {n} costs {n} euros." for n in range(24)}


def _file(folder: Path) -> Path:
    file = folder / "faq.csv"
    with file.open("w", newline="", encoding="utf-8") as opened:
        csv.writer(opened).writerows([("question", "answer"), *ANSWERS.items()])
    return file


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answering]:
    folder = tmp_path_factory.mktemp("provider")
    with Workspace(folder) as workspace:
        project = workspace.init("faq", task="chat")
        project.add(_file(folder))
        project.run(method="memory")
        with serving(workspace.store) as running:
            yield running


@pytest.fixture(scope="module")
def support(
    provider: Answering, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Project, Answering]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEST_PROVIDER_KEY", provider.key.secret)
        with Workspace(tmp_path_factory.mktemp("support")) as workspace:
            other = Upstream(f"{provider.address}/v1", "faq", "TEST_PROVIDER_KEY")
            project = workspace.init("support", task="chat", upstream=other)
            with serving(workspace.store) as running:
                yield project, running


@pytest.fixture
def ai(support: tuple[Project, Answering]) -> Iterator[openai.OpenAI]:
    _, server = support
    key = make_key(server.store, "Ada", store_inputs=30)
    http = httpx.Client(trust_env=False)
    with openai.OpenAI(
        base_url=f"{server.address}/v1", api_key=key.secret, http_client=http, max_retries=0
    ) as one:
        yield one


def test_calls_are_passed_on_and_metered(
    ai: openai.OpenAI, support: tuple[Project, Answering], provider: Answering
) -> None:
    question = "How much is item 7?"
    ask: Any = {"model": "support", "messages": [{"role": "user", "content": question}]}
    there = provider.http.post("/v1/chat/completions", json={**ask, "model": "faq"}).json()
    answer = there["choices"][0]["message"]["content"]
    whole = ai.chat.completions.create(**ask)
    assert whole.choices[0].message.content == answer
    pieces = list(
        ai.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True})
    )
    assert len(pieces) > 4
    said = "".join(one.choices[0].delta.content or "" for one in pieces if one.choices)
    assert said == answer
    assert whole.usage is not None
    counts = there["usage"]["prompt_tokens"], there["usage"]["completion_tokens"]
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == counts
    assert pieces[-1].usage == whole.usage
    _, server = support
    (row, *_) = server.store.ledger.recent_predictions("support", limit=None, usable_only=False)
    assert answer in str(row.output)
    assert question in str(row.input)


def test_no_caller_names_an_address(ai: openai.OpenAI) -> None:
    with pytest.raises(openai.UnprocessableEntityError):
        ai.chat.completions.create(
            model="support",
            messages=[{"role": "user", "content": "Hi"}],
            extra_body={"address": "http://127.0.0.1:1/v1"},
        )


def test_the_providers_secret_is_kept_nowhere(
    support: tuple[Project, Answering], provider: Answering
) -> None:
    _, server = support
    secret = provider.key.secret.encode()
    files = [file for file in server.store.folder.rglob("*") if file.is_file()]
    assert files
    assert not [file for file in files if secret in file.read_bytes()]


@pytest.mark.slow
def test_an_own_version_is_judged_against_the_provider(
    support: tuple[Project, Answering], tmp_path: Path
) -> None:
    project, _ = support
    project.add(_file(tmp_path))
    (stage,) = project.run(method="memory").stages
    model = project.model(stage.version)
    report = model.evaluate()
    assert "support@1" in str(report.to_json())  # the live one, asked on the same rows
