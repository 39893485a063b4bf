"""Everything that OpenAI's client and LangChain's ask of a language model, answered by a fake one
whose tokens end anywhere, in a server of its own: stop words, choices, probabilities, forms, tools,
and what each is charged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from feilun.billing.plans import parse_plan, set_plan, subscribe
from feilun.project import Workspace
from helpers.serving import Answering, make_key
from helpers.toys import add_parrot, answering, write_site

PLAN = {
    "currency": "EUR",
    "rates": [
        {"unit": "tokens_in", "tiers": [{"per_1000": "1.00"}]},
        {"unit": "tokens_cached", "tiers": [{"per_1000": "0.10"}]},
        {"unit": "tokens_out", "tiers": [{"per_1000": "4.00"}]},
    ],
}
TOOL = {
    "type": "function",
    "function": {
        "name": "price",
        "description": "What something costs.",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"of": {"type": "string"}},
            "required": ["of"],
            "additionalProperties": False,
        },
    },
}
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "euros": {"type": "number", "minimum": 0}},
    "required": ["name", "euros"],
    "additionalProperties": False,
}
GOODS: Any = {"name": "goods", "strict": True, "schema": SCHEMA}
FORM: Any = {"type": "json_schema", "json_schema": GOODS}
CALL = '<tool_call>{"name": "price", "arguments": {"of": "茶"}}</tool_call>'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answering]:
    site = write_site(tmp_path_factory.mktemp("site"))
    with Workspace(tmp_path_factory.mktemp("workspace")) as workspace:
        store = workspace.store
        add_parrot(store)
        set_plan(store.catalog, "tokens", parse_plan(PLAN, "here"))
        subscribe(store.catalog, make_key(store).record.customer, "tokens")
        with answering(store, site) as running:
            yield running


@pytest.fixture(scope="module")
def ai(server: Answering) -> Iterator[openai.OpenAI]:
    http = httpx.Client(trust_env=False)
    secret = server.key.secret
    with openai.OpenAI(
        base_url=f"{server.address}/v1", api_key=secret, max_retries=0, http_client=http
    ) as client:
        yield client


def _ask(ai: openai.OpenAI, said: Any, **more: Any) -> Any:
    text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    messages: Any = [{"role": "user", "content": text}]
    return ai.chat.completions.create(model="parrot", messages=messages, **more)


def _charged(server: Answering, call_id: str) -> tuple[dict[str, int], int]:
    events = list(server.store.ledger.events(call_id=call_id))
    end = events[-1]
    assert end.kind in ("charge", "settle"), events
    return dict(end.units), end.amount


def _text(chunks: Any) -> str:
    return "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)


@pytest.mark.parametrize("stop", ["END", ["never", "END"], ["终", "END"]])
def test_a_stop_word_ends_the_answer_and_no_piece_of_it_leaves(
    ai: openai.OpenAI, server: Answering, stop: Any
) -> None:
    said = "Some tea, E and EN but END, and more."
    whole = _ask(ai, said, stop=stop)
    assert whole.choices[0].message.content == "Some tea, E and EN but "
    assert whole.choices[0].finish_reason == "stop"
    chunks = list(_ask(ai, said, stop=stop, stream=True))
    assert _text(chunks) == "Some tea, E and EN but "
    assert chunks[-1].usage == whole.usage  # in the final chunk, unasked
    units, amount = _charged(server, chunks[0].id)
    # Each token that left counts, the stop word does not: 23 characters in tokens of 1, 2, 3.
    assert units["tokens_out"] == whole.usage.completion_tokens == 12
    assert amount == units["tokens_in"] * 1000 + 12 * 4000


def test_several_choices_are_metered_for_all(ai: openai.OpenAI, server: Answering) -> None:
    order = {"draw": 4}
    one = _ask(ai, order, seed=7).choices[0].message.content
    whole = _ask(ai, order, seed=7, n=3)
    said = [choice.message.content for choice in whole.choices]
    assert [choice.index for choice in whole.choices] == [0, 1, 2]
    assert said[0] == one
    assert len(set(said)) > 1
    assert said[1] == _ask(ai, order, seed=8).choices[0].message.content
    units, amount = _charged(server, whole.id)
    single = _ask(ai, order).usage.prompt_tokens
    assert units["inputs"] == 3
    assert units["tokens_in"] == single  # it was read once
    assert units["tokens_out"] == whole.usage.completion_tokens
    assert amount == single * 1000 + units["tokens_out"] * 4000
    texts = ["", "", ""]
    for chunk in _ask(ai, order, seed=7, n=3, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == said
    rows = server.store.ledger.recent_predictions("parrot", limit=None)
    assert sum(row.prediction_id == whole.id for row in rows) == 3


def test_probabilities_come_where_the_engine_has_them(ai: openai.OpenAI) -> None:
    whole = _ask(ai, "tea 茶", logprobs=True, top_logprobs=2)
    told = whole.choices[0].logprobs.content
    assert "".join(one.token for one in told) == "tea 茶"
    assert told[0].top_logprobs[0].logprob == told[0].logprob == -0.1
    assert [len(one.top_logprobs) for one in told] == [2] * len(told)
    chunks = list(_ask(ai, "tea 茶", logprobs=True, stream=True))
    each = [chunk.choices[0].logprobs for chunk in chunks]
    streamed = [one for found in each if found for one in found.content]
    assert [(one.token, one.logprob) for one in streamed] == [
        (one.token, one.logprob) for one in told
    ]
    older = ai.completions.create(model="parrot", prompt="tea 茶", logprobs=1)
    assert older.choices[0].logprobs is not None
    assert older.choices[0].logprobs.tokens == [one.token for one in told]
    assert older.choices[0].logprobs.text_offset == [0, 1, 3]


def test_an_answer_that_fits_its_form_is_delivered(ai: openai.OpenAI) -> None:
    said = '{"say": "{\\"name\\": \\"tea\\", \\"euros\\": 3.5}"}'
    assert json.loads(_ask(ai, said, response_format=FORM).choices[0].message.content) == {
        "name": "tea",
        "euros": 3.5,
    }
    chunks = _ask(ai, said, response_format=FORM, stream=True)
    assert json.loads(_text(chunks))["euros"] == 3.5
    assert _ask(ai, {"say": "{}"}, response_format={"type": "json_object"}).choices


@pytest.mark.parametrize(
    ("said", "form"),
    [
        ('{"name": "tea", "euros": -1}', FORM),
        ('{"name": "tea"}', FORM),
        ('{"name": "tea", "euros": 1, "more": 1}', FORM),
        ('{"name": "tea", "euros": 1', FORM),
        ('Here it is: {"name": "tea", "euros": 1}', FORM),
        ('{"name": "tea", "euros": NaN}', FORM),
        ("[]", {"type": "json_object"}),
        ("", {"type": "json_object"}),
    ],
)
def test_an_answer_that_does_not_fit_never_leaves(
    ai: openai.OpenAI, server: Answering, said: str, form: Any
) -> None:
    before = len(list(server.store.ledger.events()))
    with pytest.raises(openai.APIStatusError) as caught:
        _ask(ai, {"say": said}, response_format=form)
    assert (caught.value.status_code, caught.value.code) == (502, "chat.unfit")
    assert len(list(server.store.ledger.events())) == before
    # Nothing of a stream had left, so that it fails as a whole call does.
    with pytest.raises(openai.APIStatusError) as caught:
        list(_ask(ai, {"say": said}, response_format=form, stream=True))
    assert (caught.value.status_code, caught.value.code) == (502, "chat.unfit")
    hold, release = list(server.store.ledger.events())[before:]
    assert (hold.kind, release.kind, hold.amount + release.amount) == ("hold", "release", 0)


def test_an_answer_that_was_cut_does_not_fit(ai: openai.OpenAI) -> None:
    said = {"say": '{"name": "tea", "euros": 1}'}
    with pytest.raises(openai.APIStatusError) as caught:
        _ask(ai, said, response_format=FORM, max_tokens=4)
    assert caught.value.code == "chat.unfit_cut"


def test_tools_are_called_and_their_results_are_read(ai: openai.OpenAI) -> None:
    said = {"say": f"One moment. {CALL}"}
    whole = _ask(ai, said, tools=[TOOL])
    (choice,) = whole.choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", "One moment. ")
    (call,) = choice.message.tool_calls
    assert (call.type, call.function.name) == ("function", "price")
    assert json.loads(call.function.arguments) == {"of": "茶"}

    chunks = list(_ask(ai, said, tools=[TOOL], stream=True))
    assert _text(chunks) == "One moment. "
    (told,) = [one for c in chunks for one in c.choices[0].delta.tool_calls or ()]
    assert (told.index, told.function.name) == (0, "price")
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    assert chunks[-1].usage == whole.usage

    messages: Any = [
        {"role": "user", "content": "How much is tea?"},
        {"role": "assistant", "content": None, "tool_calls": [call.to_dict()]},
        {"role": "tool", "tool_call_id": call.id, "content": "3.50 euros"},
    ]
    answer = ai.chat.completions.create(model="parrot", messages=messages, tools=[TOOL])  # type: ignore[list-item]
    assert answer.choices[0].message.content == "3.50 euros"
    # Unasked, the same text is text.
    assert _ask(ai, said).choices[0].message.tool_calls is None
    assert _ask(ai, said, tools=[TOOL], tool_choice="none").choices[0].message.tool_calls is None


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("said", "choice", "code"),
    [
        (CALL.replace('"茶"', "1"), "auto", "chat.unfit_call"),
        ("It costs 3 euros.", "required", "chat.no_call"),
        ("It costs 3 euros.", {"type": "function", "function": {"name": "price"}}, "chat.no_call"),
    ],
)
def test_a_call_that_is_not_as_asked_never_leaves(
    ai: openai.OpenAI, said: str, choice: Any, code: str, stream: bool
) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        _ask(ai, {"say": said}, tools=[TOOL], tool_choice=choice, stream=stream)
    assert (caught.value.status_code, caught.value.code) == (502, code)


def test_cached_tokens_have_a_price_of_their_own(ai: openai.OpenAI, server: Answering) -> None:
    used = {"tokens_in": 10, "tokens_cached": 90, "tokens_out": 5}
    whole = _ask(ai, {"say": "tea", "usage": used})
    assert whole.usage.prompt_tokens == 100
    assert whole.usage.prompt_tokens_details.cached_tokens == 90
    units, amount = _charged(server, whole.id)
    assert units["tokens_cached"] == 90
    assert amount == 10 * 1000 + 90 * 100 + 5 * 4000


def test_completions_answer_prompts(ai: openai.OpenAI, server: Answering) -> None:
    made = ai.completions.create(model="parrot", prompt=["tea", "soap and more"], n=2, stop=" and")
    assert [choice.text for choice in made.choices] == ["tea", "tea", "soap", "soap"]
    assert made.object == "text_completion"
    units, _ = _charged(server, made.id)
    assert units["inputs"] == 4
    texts = {0: "", 1: ""}
    for chunk in ai.completions.create(
        model="parrot", prompt=["tea", "soap"], stream=True, stream_options={"include_usage": True}
    ):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == {0: "tea", 1: "soap"}
    assert chunk.usage is not None
    assert chunk.usage.completion_tokens > 0


def test_responses_answer_in_events(ai: openai.OpenAI, server: Answering) -> None:
    whole = ai.responses.create(model="parrot", input="tea, please", instructions="Be kind.")
    assert (whole.output_text, whole.status) == ("tea, please", "completed")
    assert whole.usage is not None
    units, _ = _charged(server, whole.id)
    assert (units["tokens_in"], units["tokens_out"]) == (
        whole.usage.input_tokens,
        whole.usage.output_tokens,
    )
    with ai.responses.stream(model="parrot", input="tea, please") as events:
        kinds = [event.type for event in events]
        final = events.get_final_response()
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-1] == "response.completed"
    assert kinds.count("response.output_text.delta") == final.usage.output_tokens  # type: ignore[union-attr]
    assert final.output_text == "tea, please"
    cut = ai.responses.create(model="parrot", input="tea, please", max_output_tokens=2)
    assert (cut.status, cut.output_text) == ("incomplete", "tea")
    assert cut.incomplete_details is not None
    assert cut.incomplete_details.reason == "max_output_tokens"


def test_responses_call_tools_and_keep_forms(ai: openai.OpenAI) -> None:
    flat: Any = {"type": "function", **TOOL["function"]}  # type: ignore[dict-item]
    said = json.dumps({"say": CALL}, ensure_ascii=False)
    made = ai.responses.create(model="parrot", input=said, tools=[flat])
    (item,) = made.output
    assert (item.type, item.name, item.arguments) == ("function_call", "price", '{"of": "茶"}')
    events = list(ai.responses.create(model="parrot", input=said, tools=[flat], stream=True))
    assert "response.function_call_arguments.done" in [event.type for event in events]
    conversation: Any = [
        {"role": "user", "content": [{"type": "input_text", "text": "How much is tea?"}]},
        item.to_dict(),
        {"type": "function_call_output", "call_id": item.call_id, "output": "3.50 euros"},
    ]
    assert ai.responses.create(model="parrot", input=conversation).output_text == "3.50 euros"
    form: Any = {"format": {"type": "json_schema", "name": "goods", "schema": SCHEMA}}
    with pytest.raises(openai.APIStatusError) as caught:
        ai.responses.create(model="parrot", input="no JSON", text=form)
    assert caught.value.code == "chat.unfit"


def test_langchain_speaks_to_it(server: Answering) -> None:
    from langchain_core.messages import HumanMessage
    from langchain_openai import ChatOpenAI, OpenAI

    def model(**more: Any) -> ChatOpenAI:
        return ChatOpenAI(
            model="parrot",
            base_url=f"{server.address}/v1",
            api_key=server.key.secret,  # type: ignore[arg-type]
            max_retries=0,
            **more,
        )

    answer = model(temperature=0, stop=[" more"]).invoke("tea and more")
    assert answer.content == "tea and"
    assert answer.usage_metadata is not None
    chunks = list(model(stream_usage=True).stream("tea and more"))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk  # type: ignore[assignment]
    assert whole.content == "tea and more"
    assert whole.usage_metadata is not None
    assert whole.usage_metadata == model().invoke("tea and more").usage_metadata

    def price(of: str) -> str:
        """What something costs."""
        return "3.50"

    called = model().bind_tools([price]).invoke([HumanMessage(json.dumps({"say": CALL}))])
    assert [(one["name"], one["args"]) for one in called.tool_calls] == [("price", {"of": "茶"})]
    formed = model().with_structured_output(SCHEMA | {"title": "goods"}, method="json_schema")
    assert formed.invoke(json.dumps({"say": '{"name": "tea", "euros": 3}'})) == {
        "name": "tea",
        "euros": 3,
    }
    assert model(use_responses_api=True).invoke("tea").text == "tea"
    older = OpenAI(
        model="parrot",
        base_url=f"{server.address}/v1",
        api_key=server.key.secret,
        max_tokens=9,  # type: ignore[arg-type]
    )
    assert older.invoke("tea and more") == "tea and more"
    assert "".join(older.stream("tea and more")) == "tea and more"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/responses"])
def test_halves_of_characters_do_not_get_through(server: Answering, path: str) -> None:
    """Half a surrogate pair is no character: it is read as U+FFFD, as in files."""
    text = '"tea \\ud83d and \\udc00 more"'
    inputs = {
        "/v1/chat/completions": f'"messages": [{{"role": "user", "content": {text}}}]',
        "/v1/completions": f'"prompt": {text}, "stop": ["\\udc00"]',
        "/v1/responses": f'"input": {text}',
    }
    for stream in ("false", "true"):
        raw = f'{{"model": "parrot", "stream": {stream}, {inputs[path]}}}'
        answer = server.http.post(path, content=raw.encode())
        assert answer.status_code == 200, answer.text
        assert "tea " in "".join(answer.text.split('"content":"')) or stream == "true"
        if path == "/v1/completions":  # the stop text was read the same way, and ends it
            assert "more" not in answer.text
        elif stream == "false":
            assert "tea \ufffd and \ufffd more" in answer.text


@pytest.mark.parametrize(
    ("path", "body", "code", "param"),
    [
        ("/v1/completions", {"prompt": ""}, "chat.empty_prompt", "prompt"),
        ("/v1/completions", {"prompt": ["tea", " "]}, "chat.empty_prompt", "prompt[1]"),
        ("/v1/completions", {"prompt": []}, "chat.empty_prompt", "prompt"),
        ("/v1/completions", {"prompt": [1, 2]}, "api.token_input", "prompt[0]"),
        ("/v1/completions", {"prompt": ["x"] * 17}, "chat.too_many_answers", "prompt"),
        ("/v1/completions", {"prompt": "x", "echo": True}, "chat.only_value", "echo"),
        ("/v1/completions", {"prompt": "x", "suffix": "y"}, "chat.only_value", "suffix"),
        ("/v1/completions", {"prompt": "x", "best_of": 3}, "chat.only_value", "best_of"),
        ("/v1/completions", {"prompt": "x" * 1_000_001}, "api.text_too_long", "prompt"),
        ("/v1/completions", {"prompt": "x" * 60_000}, "engines.prompt_too_long", None),
        ("/v1/completions", {"prompt": "x", "magic": 1}, "api.unknown_field", "magic"),
        ("/v1/responses", {"input": " "}, "chat.empty_prompt", "input"),
        ("/v1/responses", {"input": []}, "chat.no_question", None),
        ("/v1/responses", {"input": [{"type": "image"}]}, "chat.bad_item", "input[0]"),
        ("/v1/responses", {"input": "x", "store": True}, "chat.only_value", "store"),
        ("/v1/responses", {"input": "x", "truncation": "auto"}, "chat.only_value", "truncation"),
        ("/v1/responses", {"input": "x", "background": True}, "chat.only_value", "background"),
        ("/v1/responses", {"input": "x", "previous_response_id": "y"}, "api.unknown_field", None),
        ("/v1/responses", {"input": "x", "include": ["y"]}, "chat.only_value", "include"),
        ("/v1/responses", {"input": "x", "text": {"form": 1}}, "api.unknown_field", "text.form"),
        (
            "/v1/responses",
            {"instructions": "a", "input": [{"role": "system", "content": "b"}]},
            "chat.two_systems",
            "instructions",
        ),
        (
            "/v1/responses",
            {"input": [{"type": "function_call_output", "call_id": "c", "output": "1"}]},
            "chat.unknown_call",
            "messages[0].tool_call_id",
        ),
        (
            "/v1/responses",
            {"input": "x", "text": {"format": {"type": "json_schema", "name": "a"}}},
            "api.missing_field",
            "text.format.json_schema.schema",
        ),
    ],
)
def test_what_cannot_be_asked_is_named_and_free(
    server: Answering, path: str, body: dict[str, Any], code: str, param: str | None
) -> None:
    before = len(list(server.store.ledger.events()))
    for stream in (False, True):
        answer = server.http.post(path, json={"model": "parrot", "stream": stream, **body})
        error = answer.json()["error"]
        assert (error["code"], answer.status_code // 100) == (code, 4)
        assert param is None or error["param"] == param
    assert len(list(server.store.ledger.events())) == before
