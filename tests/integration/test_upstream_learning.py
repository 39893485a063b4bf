"""Calls that a second feilun answered teach a model of one's own: it is judged against the other
server, answers the sure calls here and passes on the rest, and what that saves is told in money."""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import openai
import pytest

from feilun.cli.app import run
from feilun.errors import InvalidSettings, NotFound
from feilun.pipeline.steps.upstream import first_step
from feilun.project import Project, Workspace
from feilun.project.margins import margin
from feilun.project.upstream import Upstream
from feilun.store.ledger_records import Prediction
from helpers.serving import Answering, make_key, serving

GOODS = (
    "lamp", "soap", "kettle", "pillow", "ladder", "violin", "carpet", "mirror", "basket", "hammer",
    "teapot", "blanket", "camera", "wallet", "candle", "saddle",
)  # fmt: skip
WORDINGS = (
    "How much is the {}?", "What does the {} cost?", "Price of the {} please", "The {}: how much?",
    "I want to buy the {}, what is it?", "Tell me the price of the {}", "Cost of one {}?",
    "Is the {} expensive?", "What do you ask for the {}?", "How much do I pay for the {}?",
)  # fmt: skip
ANSWERS = {goods: f"The {goods} costs {n + 3} euros." for n, goods in enumerate(GOODS)}
QUESTIONS = [wording.format(goods) for wording in WORDINGS for goods in GOODS]
SECRET = frozenset(QUESTIONS[-20:])
"""What a customer asks whose key keeps nothing."""
REJECTED = "How much is the lighthouse?"
"""What the other server answered wrongly, as the customer says."""
SETTINGS = """
[upstream]
min_calls = 100
price_in = 0.5
price_out = 2.0
audit = 0.0
"""
HOW = {"training.method": "memory", "data.test": 0.3, "data.validation": 0.2}


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answering]:
    folder = tmp_path_factory.mktemp("provider")
    file = folder / "faq.csv"
    with file.open("w", newline="", encoding="utf-8") as opened:
        rows = [(f"How much is the {goods}?", answer) for goods, answer in ANSWERS.items()]
        csv.writer(opened).writerows([("question", "answer"), *rows])
    with Workspace(folder) as workspace:
        project = workspace.init("faq", task="chat")
        project.add(file)
        project.run(method="memory")
        with serving(workspace.store) as running:
            yield running


def _set(project: Project, text: str) -> None:
    file = project.file
    file.write_text(file.read_text("utf-8") + text, "utf-8")
    tomllib.loads(file.read_text("utf-8"))


def _ask(server: Answering, secret: str, question: str) -> Any:
    body = {"model": "support", "messages": [{"role": "user", "content": question}]}
    headers = {"authorization": f"Bearer {secret}"}
    answer = server.http.post("/v1/chat/completions", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def _log(server: Answering, project: str) -> list[Prediction]:
    return server.store.ledger.recent_predictions(project, limit=None)


@pytest.fixture(scope="module")
def turned(
    provider: Answering, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """Three updates: with too few calls, before the terms were agreed to, and after."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEST_PROVIDER_KEY", provider.key.secret)
        with Workspace(tmp_path_factory.mktemp("support")) as workspace:
            other = Upstream(f"{provider.address}/v1", "faq", "TEST_PROVIDER_KEY")
            project = workspace.init("support", task="chat", upstream=other)
            _set(project, SETTINGS)
            workspace.apply_prices()
            with serving(workspace.store) as running:
                ada = make_key(workspace.store, "Ada", store_inputs=30).secret
                eve = make_key(workspace.store, "Eve", store_inputs=0).secret
                for question in QUESTIONS:
                    _ask(running, eve if question in SECRET else ada, question)
                odd = _ask(running, ada, REJECTED)
                word = {"prediction_id": odd["id"], "rejected": "wrong_fact"}
                bearer = {"authorization": f"Bearer {ada}"}
                told = running.http.post("/v1/feedback", json=word, headers=bearer)
                assert told.json()["rejected"] == "wrong_fact"
                found: dict[str, Any] = {"project": project, "server": running, "key": ada}
                found["few"] = project.update(overrides={**HOW, "upstream.min_calls": 1000})
                found["terms"] = project.update(overrides=HOW)
                before = len(_log(provider, "faq"))
                found["update"] = project.update(overrides={**HOW, "upstream.learn": True})
                found["asked by the update"] = len(_log(provider, "faq")) - before
                deadline = monotonic() + 120
                while _ask(running, ada, "What does the lamp cost?")["model"] != "support@2":
                    assert monotonic() < deadline
                yield found


def test_nothing_is_learnt_before_there_is_enough_and_the_terms_were_read(
    turned: dict[str, Any],
) -> None:
    assert "140 different questions" in turned["few"].reason
    assert "1000" in turned["few"].reason
    assert "learn = true" in turned["terms"].reason
    assert not turned["few"].stages
    assert not turned["terms"].stages


def test_only_what_a_key_lets_be_kept_is_learnt(turned: dict[str, Any]) -> None:
    project = turned["project"]
    rows = list(project.scope.context().dataset(project.scope.data()).examples())
    assert len(rows) == 140
    assert {one.source for one in rows} == {"upstream"}
    assert not {*SECRET, REJECTED} & {str(one.item) for one in rows}
    assert {one.split for one in rows} == {"train", "validation", "test"}


def test_an_own_version_goes_live_that_is_as_good(turned: dict[str, Any]) -> None:
    update = turned["update"]
    assert update.promoted, update.stages[-1].reasons
    (reason, *_) = update.stages[-1].reasons
    assert "support@1, which passes all of them on" in reason
    assert turned["asked by the update"] == 0, "the kept answers are the reference"


def test_sure_calls_are_answered_here_and_the_rest_is_passed_on(
    turned: dict[str, Any], provider: Answering
) -> None:
    server, ledger = turned["server"], turned["server"].store.ledger
    asked = [*QUESTIONS[:12], "Do you sell elephants?", "Where is the zoo?"]
    before = len(_log(provider, "faq"))
    (units,) = [row.units for row in ledger.usage(project="support")]
    answers = [_ask(server, turned["key"], one) for one in asked]
    passed = len(_log(provider, "faq")) - before
    assert 2 <= passed < len(asked)
    (now,) = [row.units for row in ledger.usage(project="support")]
    assert now["inputs"] - units["inputs"] == len(asked)
    assert now["upstream_inputs"] - units["upstream_inputs"] == passed
    said = [one["choices"][0]["message"]["content"] for one in answers]
    assert ANSWERS["soap"] in said
    log = _log(server, "support")[: len(asked)]
    assert sum("passed_on" in one.output for one in log) == passed
    assert not any("passed_on" in one["choices"][0] for one in answers)
    assert not any("upstream" in str(one["usage"]) for one in answers)


def test_a_stream_is_whole_whoever_answers(turned: dict[str, Any]) -> None:
    server = turned["server"]
    client = openai.OpenAI(
        base_url=f"{server.address}/v1",
        api_key=turned["key"],
        http_client=httpx.Client(trust_env=False),
        max_retries=0,
    )
    with client:
        for question in ("How much is the soap?", "Where is the zoo?"):
            ask: Any = {"model": "support", "messages": [{"role": "user", "content": question}]}
            whole = client.chat.completions.create(**ask)
            pieces = list(
                client.chat.completions.create(
                    **ask, stream=True, stream_options={"include_usage": True}
                )
            )
            said = "".join(one.choices[0].delta.content or "" for one in pieces if one.choices)
            assert said == whole.choices[0].message.content
            assert pieces[-1].usage == whole.usage
            twice = client.chat.completions.create(**ask, n=2)
            assert [one.message.content for one in twice.choices] == [said, said]


def test_what_it_saves_is_told_in_money(turned: dict[str, Any]) -> None:
    project, server = turned["project"], turned["server"]
    rows = server.store.ledger.usage(project="support", by=("model_version",))
    first, live = (row.units for row in rows)
    found = project.upstream()
    assert found.inputs == live["inputs"]
    assert found.here == 1 - live["upstream_inputs"] / live["inputs"]
    paid = 0.5 * first["tokens_in"] + 2.0 * first["tokens_out"]  # for 1,000 tokens each
    assert found.before == pytest.approx(paid / first["inputs"])
    assert found.cost is not None
    assert found.cost < found.before
    line = found.line()
    assert f"{100 * found.here:.0f} % of calls answered here" in line
    assert "USD per 1,000" in line
    assert line in str(project.workspace.status().tables()[-1].notes)
    earned = margin(project.workspace.scope, by="model").rows
    (row,) = [one for one in earned if one["name"] == found.version]
    assert float(row["cost"]) == pytest.approx(found.cost * found.inputs / 1000, rel=0.2)


def test_the_command_says_it_in_both_languages(
    turned: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEILUN_WORKSPACE", str(turned["project"].workspace.folder))
    monkeypatch.setenv("FEILUN_LANG", "en")
    assert run(["upstream"]) == 0
    assert "calls answered here at equal quality" in capsys.readouterr().out
    monkeypatch.setenv("FEILUN_LANG", "zh")
    assert run(["upstream"]) == 0
    assert "由本地回答，质量相当" in capsys.readouterr().out


def test_the_share_rises_step_by_step(turned: dict[str, Any]) -> None:
    project = turned["project"]
    project.rollback()
    assert project.live.id == "support@1"
    with pytest.raises(NotFound, match="no version of support stands on a step"):
        project.raise_share()
    _set(project, "learn = true\nsteps = [0, 10, 100]\n")
    version = project.model("support@2").record
    assert first_step(project.scope.context(), version) == ("shadow", 1.0)
    project.deploy("support@2", shadow=True)
    first = project.raise_share()
    assert (first.role, first.share) == ("canary", 0.1)
    last = project.raise_share()
    assert (last.role, last.version) == ("live", "support@2")
    assert project.live.id == "support@2"
    assert first_step(project.scope.context(), version) is None, "it passes on only what is unsure"


def test_steps_that_do_not_rise_are_refused(turned: dict[str, Any]) -> None:
    for steps in ([10, 5, 100], [0, 10], [100, 100]):
        with pytest.raises(InvalidSettings, match="the steps rise"):
            turned["project"].config({"upstream.steps": steps})


def test_a_project_that_passes_nothing_on_is_told(tmp_path: Path) -> None:
    with Workspace(tmp_path) as workspace:
        project = workspace.init("own", task="chat")
        with pytest.raises(NotFound, match="not passed on"):
            project.upstream()
