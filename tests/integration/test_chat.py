"""A shop that answers questions: from a file of messages to a live API, called by OpenAI's own
client, corrected, and updated. Everything is real."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from feilun.billing.plans import parse_plan, set_plan
from feilun.client import ApiError, Client
from feilun.project import Project, Workspace
from helpers.serving import Answering, make_key, serving

GOODS = ["kettle", "lamp", "chair", "scarf", "teapot", "mirror", "clock", "umbrella", "desk"]
THINGS = ["水壶", "台灯", "椅子", "围巾", "茶壶", "镜子", "闹钟", "雨伞", "书桌"]
ASKED = {
    "The {0} costs {1} euros.": ("How much is the {0}?", "What does the {0} cost?"),
    "The {0} arrives within {1} days.": ("When will my {0} arrive?", "How long does a {0} take?"),
    "{0}的价格是 {1} 欧元。": ("{0}多少钱？", "请问{0}的价格是多少"),
    "{0}在 {1} 天内送达。": ("{0}几天能到？", "{0}什么时候送到"),
}
PLAN = {
    "currency": "EUR",
    "rates": [
        {"unit": "tokens_in", "tiers": [{"per_1000": "1.00"}]},
        {"unit": "tokens_out", "tiers": [{"up_to": 50, "per_1000": "4.00"}, {"per_1000": "2.00"}]},
    ],
}


def _tool(parameters: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "price", "parameters": parameters}}


def _form(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "goods", "schema": schema}}


TOOLS = [_tool({"type": "object"})]
KETTLE = "The kettle costs 10 euros."


def _file(folder: Path) -> Path:
    rows = []
    for number, (good, thing) in enumerate(zip(GOODS, THINGS, strict=True)):
        for answer, questions in ASKED.items():
            name = good if answer.isascii() else thing
            said = answer.format(name, 10 + number)
            for question in questions:
                asked = {"role": "user", "content": question.format(name)}
                messages = [asked, {"role": "assistant", "content": said}]
                rows.append({"messages": messages})
    file = folder / "faq.jsonl"
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    return file


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with Workspace(tmp_path_factory.mktemp("workspace")) as workspace:
        project = workspace.init("shop", task="chat")
        settings = project.file.read_text("utf-8")
        project.file.write_text(f"{settings}\n[update]\nmin_corrections = 1\n", "utf-8")
        project.add(_file(tmp_path_factory.mktemp("data")))
        (stage,) = project.run(method="memory").stages
        assert (stage.version, stage.method, stage.promoted) == ("shop@1", "memory", True)
        yield project


@pytest.fixture(scope="module")
def server(shop: Project) -> Iterator[Answering]:
    with serving(shop.workspace.store) as running:
        set_plan(running.store.catalog, "tokens", parse_plan(PLAN, "here"))
        yield running


@pytest.fixture
def ai(server: Answering) -> Iterator[openai.OpenAI]:
    with _client(server, server.key.secret) as client:
        yield client


def _client(server: Answering, secret: str) -> openai.OpenAI:
    http = httpx.Client(trust_env=False)
    base = f"{server.address}/v1"
    return openai.OpenAI(base_url=base, api_key=secret, max_retries=0, http_client=http)


def _ask(ai: openai.OpenAI, text: str, **more: Any) -> Any:
    messages: Any = [{"role": "user", "content": text}]
    return ai.chat.completions.create(model="shop", messages=messages, **more)


def test_a_question_is_answered(ai: openai.OpenAI) -> None:
    answer = _ask(ai, "How much is the kettle?", temperature=0, seed=1)
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content) == ("assistant", KETTLE)
    assert (choice.finish_reason, answer.model, answer.object) == (
        "stop",
        "shop@1",
        "chat.completion",
    )
    usage = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (6, 6, 12)
    assert choice.score == 1.0  # a question that is known as it is
    assert _ask(ai, "how much is the KETTLE").choices[0].message.content == KETTLE
    assert _ask(ai, "请问茶壶的价格是多少").choices[0].message.content == "茶壶的价格是 14 欧元。"


def test_what_is_not_known_is_said(ai: openai.OpenAI) -> None:
    english = _ask(ai, "Who won the football match yesterday?").choices[0]
    assert english.message.content == "I do not know the answer to that."
    assert english.abstained is True
    chinese = _ask(ai, "明天会下雨吗").choices[0]
    assert (chinese.message.content, chinese.abstained) == ("这个问题我不知道答案。", True)


def test_a_conversation_is_answered_by_its_last_question(ai: openai.OpenAI) -> None:
    messages: Any = [
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Good morning."},
        {"role": "user", "content": [{"type": "text", "text": "How much is the kettle?"}]},
    ]
    answer = ai.chat.completions.create(model="shop", messages=messages)
    assert answer.choices[0].message.content == KETTLE
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 3 + 1 + 3 + 6  # all that was said


def test_a_stream_says_the_same_piece_by_piece(ai: openai.OpenAI) -> None:
    whole = _ask(ai, "茶壶几天能到？")
    chunks = list(_ask(ai, "茶壶几天能到？", stream=True, stream_options={"include_usage": True}))
    assert len({chunk.id for chunk in chunks}) == 1
    *pieces, end, usage = chunks
    assert [chunk.choices[0].delta.role for chunk in pieces] == [
        "assistant",
        *[None] * (len(pieces) - 1),
    ]
    said = [chunk.choices[0].delta.content for chunk in pieces]
    assert "".join(said) == whole.choices[0].message.content
    assert len(said) == whole.usage.completion_tokens == usage.usage.completion_tokens
    assert (end.choices[0].finish_reason, end.usage) == ("stop", None)
    assert (usage.choices, usage.usage) == ([], whole.usage)
    *rest, last = _ask(ai, "茶壶几天能到？", stream=True)
    assert all(chunk.usage is None for chunk in rest)
    assert last.usage == whole.usage  # in the final chunk, asked for or not


def test_an_answer_ends_at_its_limit(ai: openai.OpenAI) -> None:
    answer = _ask(ai, "How much is the kettle?", max_completion_tokens=3)
    assert answer.choices[0].message.content == "The kettle costs"
    assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("length", 3)
    *pieces, end = _ask(ai, "How much is the kettle?", max_tokens=3, stream=True)
    assert len(pieces) == 3
    assert end.choices[0].finish_reason == "length"


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"functions": []}, "api.unknown_field", "functions"),
        ({"tools": TOOLS}, "chat.not_honoured", "tools"),
        ({"tools": TOOLS, "tool_choice": "none"}, "chat.not_honoured", "tools"),
        ({"tool_choice": "required"}, "chat.only_value", "tool_choice"),
        ({"logprobs": True}, "chat.not_honoured", "logprobs"),
        ({"top_logprobs": 2}, "chat.top_without_logprobs", "top_logprobs"),
        ({"frequency_penalty": 0.5}, "chat.not_honoured", "frequency_penalty"),
        ({"store": True}, "chat.only_value", "store"),
        ({"service_tier": "flex"}, "chat.only_value", "service_tier"),
        ({"modalities": ["audio"]}, "chat.only_value", "modalities"),
        ({"logit_bias": {"1": 100}}, "chat.only_value", "logit_bias"),
        ({"stop": [str(n) for n in range(10_000)]}, "chat.too_many_stops", "stop"),
        ({"stop": ["a", ""]}, "chat.bad_stop", "stop[1]"),
        ({"stop": "x" * 257}, "chat.bad_stop", "stop"),
        ({"seed": 2**63}, "chat.out_of_range", "seed"),
        ({"response_format": {"type": "xml"}}, "chat.bad_format", "response_format"),
        ({"response_format": _form({"type": "text"})}, "chat.schema_value", None),
        ({"response_format": _form({"pattern": "a*"})}, "chat.schema_keyword", None),
        ({"response_format": _form({"$ref": "#"})}, "chat.schema_circle", None),
        ({"response_format": _form({"$ref": "#/$defs/x"})}, "chat.schema_no_target", None),
        ({"response_format": _form({"title": "x" * 100_000})}, "chat.schema_too_large", None),
        ({"response_format": {"type": "json_schema"}}, "chat.bad_format", "response_format"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a b"}}},
            "chat.bad_name",
            "response_format.json_schema.name",
        ),
        ({"tools": [{"type": "web_search"}]}, "chat.bad_tool", "tools[0]"),
        ({"tools": TOOLS * 2}, "chat.tool_twice", "tools"),
        ({"tools": TOOLS * 200}, "chat.too_many_tools", "tools"),
        ({"tools": TOOLS, "tool_choice": {"type": "function"}}, "chat.bad_choice", "tool_choice"),
        (
            {"tools": [_tool({"type": "object", "description": "x" * 100_000})]},
            "chat.schema_too_large",
            "tools[0].function.parameters",
        ),
        ({"stream_options": {"include_usage": True}}, "chat.options_without_stream", None),
        ({"stream": True, "stream_options": {"x": 1}}, "api.unknown_field", "stream_options.x"),
        ({"n": 17}, "chat.out_of_range", "n"),
        ({"n": 0}, "chat.out_of_range", "n"),
        ({"max_tokens": 0}, "chat.out_of_range", "max_tokens"),
        ({"temperature": 3}, "chat.out_of_range", "temperature"),
        ({"max_tokens": 1, "max_completion_tokens": 1}, "chat.two_limits", "max_tokens"),
        ({"messages": []}, "chat.no_question", "messages"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "chat.no_question", "messages"),
        ({"messages": [{"role": "user", "content": " "}]}, "chat.nothing_said", None),
        ({"messages": [{"role": "user"}]}, "chat.no_content", "messages[0].content"),
        ({"messages": [{"role": "critic", "content": "x"}]}, "chat.bad_role", "messages[0].role"),
        (
            {"messages": [{"role": "tool", "content": "x"}]},
            "chat.unknown_call",
            "messages[0].tool_call_id",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": 1}]}]},
            "chat.bad_call",
            "messages[0].tool_calls[0]",
        ),
        ({"messages": [{"role": "user", "content": "x" * 1_000_001}]}, "api.text_too_long", None),
        (
            {"messages": [{"role": "user", "content": "x"}, {"role": "system", "content": "y"}]},
            "chat.late_system",
            "messages[1].role",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "chat.bad_part",
            "messages[0].content[0]",
        ),
    ],
)
def test_what_cannot_be_asked_is_named(
    server: Answering, body: dict[str, Any], code: str, param: str | None
) -> None:
    asked = {"model": "shop", "messages": [{"role": "user", "content": "x"}], **body}
    answer = server.http.post("/v1/chat/completions", json=asked)
    error = answer.json()["error"]
    assert error["code"] == code
    assert answer.status_code in (400, 413, 422)
    assert param is None or error["param"] == param


def _events(server: Answering, customer: str) -> list[Any]:
    return list(server.store.ledger.events(customer=customer))


def test_a_stream_is_held_and_settled_by_its_tokens(server: Answering) -> None:
    key = make_key(server.store, "Bea", "tokens")
    with _client(server, key.secret) as ai:
        for _ in range(8):  # beyond the first tier of the month's tokens
            list(_ask(ai, "When will my scarf arrive?", stream=True))
    events = _events(server, key.record.customer)
    holds, ends = events[::2], events[1::2]
    assert [(e.kind, e.outcome) for e in ends] == [("settle", "ok")] * 8
    assert all(end.amount <= hold.amount for hold, end in zip(holds, ends, strict=True))
    tokens = 7
    assert sum(e.amount for e in ends) == 8 * 6 * 1000 + 50 * 4000 + (8 * tokens - 50) * 2000
    assert not server.store.ledger.holds(customer=key.record.customer)


def test_who_cannot_pay_the_most_gets_nothing(server: Answering) -> None:
    limits = {"monthly_budget": "0.03"}
    key = make_key(server.store, "Cleo", "tokens", limits=limits)
    with _client(server, key.secret) as ai:
        with pytest.raises(openai.RateLimitError) as caught:
            _ask(ai, "How much is the kettle?", stream=True)
        assert caught.value.code == "billing.key_budget_used"
        assert not _events(server, key.record.customer)
        # Less is asked for, so that it has enough; what was left over counts no more.
        for _ in range(2):
            assert list(_ask(ai, "How much is the kettle?", stream=True, max_tokens=1))
    assert len(_events(server, key.record.customer)) == 4


def test_a_stream_that_is_sent_again_is_charged_once(server: Answering) -> None:
    key = make_key(server.store, "Dora")
    body = {"messages": [{"role": "user", "content": "How much is the desk?"}], "stream": True}
    headers = {"authorization": f"Bearer {key.secret}", "idempotency-key": "one"}

    def ask(_: int) -> httpx.Response:
        with httpx.Client(base_url=server.address, trust_env=False) as http:
            return http.post("/v1/chat/completions", json=body, headers=headers)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(4)))
    assert len({answer.content for answer in answers}) == 1
    kinds = {answer.headers["content-type"] for answer in answers}
    assert kinds == {"text/event-stream; charset=utf-8"}
    assert [e.kind for e in _events(server, key.record.customer)] == ["hold", "settle"]


def test_nobody_hears_what_was_said_to_another(server: Answering) -> None:
    """What one customer told must not come out in another's answer, however calls mingle."""

    def ask(number: int) -> str:
        secret = f"canary-{number}"
        messages: Any = [
            {"role": "user", "content": f"My code is {secret}."},
            {"role": "assistant", "content": f"I note {secret}."},
            {"role": "user", "content": f"How much is the {GOODS[number % len(GOODS)]}? {secret}"},
        ]
        with _client(server, server.key.secret) as ai:
            chunks = ai.chat.completions.create(model="shop", messages=messages, stream=True)
            return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)

    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(ask, range(60)))
    assert not any("canary" in text for text in said)
    assert sum(GOODS[n % len(GOODS)] in text for n, text in enumerate(said)) > 40


@pytest.mark.slow
def test_a_correction_becomes_the_next_version(shop: Project, server: Answering) -> None:
    asked = {"messages": [{"role": "user", "content": "Do you repair umbrellas?"}], "stream": True}
    answer = server.http.post("/v1/chat/completions", json=asked)
    id_ = json.loads(answer.text.split("\n")[0].removeprefix("data: "))["id"]
    right = "Yes, we repair umbrellas for 5 euros."
    with Client(server.address, server.key.secret) as api:
        said = api.feedback(id_, rejected="incomplete", note="what does it cost?")
        assert (said["label"], said["rejected"]) == (None, "incomplete")
        assert said["note"] == "what does it cost?"
        with pytest.raises(ApiError, match="wrong_fact, incomplete") as caught:
            api.feedback(id_, right, rejected="ugly")
        assert (caught.value.status, caught.value.param) == (422, "rejected")
        first = next(iter(shop.review(10)))
        assert (first.why, first.prediction.prediction_id) == ("rejected", id_)
        assert api.feedback(id_, right)["label"] == right
    turned = shop.update()
    data = shop.workspace.store.catalog.latest_data("shop")
    assert data is not None
    assert data.info["feedback"]
    assert turned.stages[0].version == "shop@2"
    outputs = shop.model("shop@2").predict("Do you repair umbrellas?").outputs
    assert outputs[0]["generated_text"] == right
