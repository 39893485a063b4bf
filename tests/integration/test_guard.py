"""The guard before a model whose answers are texts: what is refused, what is masked, what is cut,
in whole answers and in streams of any tokens; and what each costs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from feilun.billing.plans import parse_plan, set_plan, subscribe
from feilun.project import Workspace
from helpers.serving import Answering, add_version, make_key
from helpers.toys import add_parrot, answering, write_site

GUARD = {
    "deny": ["Project Heron", "白鹭计划"],
    "mask_personal": True,
    "max_characters": 2000,
    "model": "tone",
    "refuse": ["bad"],
}
PLAN = {"currency": "EUR", "rates": [{"unit": "tokens_out", "tiers": [{"per_1000": "1.00"}]}]}
KIND = "A lovely text, long enough that it fills more than one window of what is held back; "


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answering]:
    site = write_site(tmp_path_factory.mktemp("site"))
    with Workspace(tmp_path_factory.mktemp("workspace")) as workspace:
        store = workspace.store
        add_parrot(store, {"project": {"guard": GUARD}})
        store.catalog.add_project("tone", "text-classification")
        store.catalog.set_live("tone", add_version(store, "tone").id)
        set_plan(store.catalog, "tokens", parse_plan(PLAN, "here"))
        subscribe(store.catalog, make_key(store).record.customer, "tokens")
        with answering(store, site) as running:
            yield running


def _ask(server: Answering, say: str, stream: bool, **more: Any) -> tuple[str, str, Any]:
    """The text, why it ended, and the last event of the call."""
    # The question is not what it has said, as the guard would see that too.
    hidden = "".join(f"\\u{ord(one):04x}" for one in say)
    content = f'{{"say": "{hidden}", "good great love": 1}}'
    body = {"model": "parrot", "messages": [{"role": "user", "content": content}], "stream": stream}
    answer = server.http.post("/v1/chat/completions", json=body | more)
    assert answer.status_code == 200, answer.text
    if not stream:
        (choice,) = answer.json()["choices"]
        call, text = answer.json()["id"], choice["message"]["content"]
        reason = choice["finish_reason"]
    else:
        lines = [one[6:] for one in answer.text.split("\n") if one.startswith("data: {")]
        chunks = [json.loads(one) for one in lines]
        choices = [one["choices"][0] for one in chunks]
        text = "".join(one["delta"].get("content") or "" for one in choices)
        call, reason = chunks[0]["id"], choices[-1]["finish_reason"]
    return text, reason, list(server.store.ledger.events(call_id=call))[-1]


@pytest.mark.parametrize("stream", [False, True])
def test_personal_data_is_masked(server: Answering, stream: bool) -> None:
    say = f"{KIND}write to ada@example.com or call 138 0013 8000, please. {KIND}"
    text, reason, end = _ask(server, say, stream)
    assert text == f"{KIND}write to [email] or call [phone], please. {KIND}"
    assert reason == "stop"
    assert end.units["tokens_out"] == sum(1 for _ in _tokens(say))
    (row,) = server.store.ledger.recent_predictions("parrot", limit=1)
    assert "ada@example.com" not in json.dumps(row.output)


@pytest.mark.parametrize("secret", ["project HERON", "白鹭计划", "Ｐｒｏｊｅｃｔ heron"])
def test_what_is_on_the_list_never_leaves(server: Answering, secret: str) -> None:
    say = f"{KIND}and {secret} is next. {KIND}"
    text, reason, end = _ask(server, say, True)
    assert (text, reason) == (f"{KIND}and ", "content_filter")
    before = sum(1 for _ in _tokens(text))
    assert before <= end.units["tokens_out"] <= before + 1
    assert (end.kind, end.amount) == ("settle", end.units["tokens_out"] * 1000)
    (row,) = server.store.ledger.recent_predictions("parrot", limit=1)
    assert (row.prediction_id, row.output["abstained"]) == (end.call_id, True)
    text, reason, end = _ask(server, say, False)
    assert (text, reason) == ("", "content_filter")
    assert end.units.get("tokens_out", 0) == end.amount == 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_classifier_looks_before_anything_leaves(server: Answering, stream: bool) -> None:
    text, reason, _ = _ask(server, "awful broken bad hate. " * 3, stream)
    assert (text, reason) == ("", "content_filter")
    text, reason, _ = _ask(server, "good great love. " * 15, stream)
    assert (text, reason) == ("good great love. " * 15, "stop")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        ("What is project heron?", 400, "guard.not_asked"),
        ("awful broken bad hate", 400, "guard.not_asked"),
        ("good " * 1000, 413, "guard.too_long"),
    ],
)
def test_what_may_not_be_asked_costs_nothing(
    server: Answering, content: str, status: int, code: str, stream: bool
) -> None:
    before = len(list(server.store.ledger.events()))
    messages = [{"role": "user", "content": content}]
    body = {"model": "parrot", "messages": messages, "stream": stream}
    answer = server.http.post("/v1/chat/completions", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert len(list(server.store.ledger.events())) == before


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_masked_must_still_fit(server: Answering, stream: bool) -> None:
    form = {"response_format": {"type": "json_object"}}
    text, reason, _ = _ask(server, '{"phone": "138 0013 8000"}', stream, **form)
    assert (json.loads(text), reason) == ({"phone": "[phone]"}, "stop")
    order = json.dumps({"say": '{"phone": 13800138000}', "good great love": 1})
    body = {"model": "parrot", "messages": [{"role": "user", "content": order}], "stream": stream}
    answer = server.http.post("/v1/chat/completions", json=body | form)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "chat.unfit")
    # Probabilities of tokens would tell what is masked.
    answer = server.http.post("/v1/chat/completions", json=body | {"logprobs": True})
    assert answer.json()["error"]["param"] == "logprobs"


def test_of_several_answers_each_is_looked_at(server: Answering) -> None:
    prompts = [f"good {KIND}", "good: " + "ada@example.com " * 8]
    body = {"model": "parrot", "prompt": prompts, "stream": True}
    answer = server.http.post("/v1/completions", json=body)
    texts = ["", ""]
    for line in answer.text.split("\n"):
        if line.startswith("data: {"):
            for choice in json.loads(line[6:])["choices"]:
                texts[choice["index"]] += choice["text"]
    assert texts == [prompts[0], "good: " + "[email] " * 8]


def _tokens(text: str) -> Iterator[int]:
    """As the parrot cuts them: of one, two and three characters."""
    place, size = 0, 1
    while place < len(text):
        yield place
        place, size = place + size, size % 3 + 1
