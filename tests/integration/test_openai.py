"""The OpenAI shapes, spoken by the official client against a real server."""

from __future__ import annotations

import base64
import html
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import openai
import pytest

from feilun.billing.prices import set_price
from feilun.client import AsyncClient, Client
from helpers.embedding import add_encoder, torch_vectors
from helpers.serving import Answering, make_key, make_workspace, serving

FIRST = "reviews"  # the first endpoint by name, of which the page speaks
TEXTS = ["w1 w2 w3", "w9", "", "w1 " * 40, "w5 w5 w7 w8"]


@pytest.fixture(scope="module")
def version() -> list[Path]:
    return []


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, version: list[Path]) -> Iterator[Answering]:
    with make_workspace(tmp_path_factory.mktemp("workspace")) as store:
        version.append(add_encoder(store, tmp_path_factory.mktemp("version")))
        set_price(store.catalog, "words", 2, "USD")
        with serving(store) as running:
            yield running


@pytest.fixture
def ai(server: Answering) -> Iterator[openai.OpenAI]:
    with _client(server.address, server.key.secret) as client:
        yield client


def _client(address: str, secret: str, retries: int = 0) -> openai.OpenAI:
    """Unmodified; but this machine's proxies are not for the loopback."""
    http = httpx.Client(trust_env=False)
    return openai.OpenAI(
        base_url=f"{address}/v1", api_key=secret, max_retries=retries, http_client=http
    )


def test_models(ai: openai.OpenAI) -> None:
    models = {model.id: model for model in ai.models.list()}
    assert set(models) == {"reviews", "words"}
    assert (models["words"].object, models["words"].owned_by) == ("model", "words")
    assert models["words"].created > 1_700_000_000
    assert models["words"].embeddings is True  # type: ignore[attr-defined]
    assert models["reviews"].embeddings is False  # type: ignore[attr-defined]
    assert ai.models.retrieve("words@1").id == "words"
    with pytest.raises(openai.NotFoundError) as caught:
        ai.models.retrieve("nope")
    assert caught.value.code == "serving.no_model"


def test_vectors_are_those_of_the_encoder(
    ai: openai.OpenAI, server: Answering, version: list[Path]
) -> None:
    answer = ai.embeddings.create(model="words", input=TEXTS)
    assert answer.model == "words@1"
    assert [row.index for row in answer.data] == list(range(len(TEXTS)))
    got = np.array([row.embedding for row in answer.data])
    np.testing.assert_allclose(got, torch_vectors(version[0], TEXTS), atol=2e-5)
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, atol=1e-6)
    tokens = sum(min(len(text.split()), 62) + 2 for text in TEXTS)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == tokens
    alone = ai.embeddings.create(model="words@1", input=TEXTS[0])
    np.testing.assert_allclose(alone.data[0].embedding, got[0], atol=2e-5)


def test_numbers_and_base64_are_the_same(ai: openai.OpenAI, server: Answering) -> None:
    numbers = ai.embeddings.create(model="words", input=TEXTS, encoding_format="float")
    body = {"model": "words", "input": TEXTS, "encoding_format": "base64"}
    packed = server.http.post("/v1/embeddings", json=body).json()["data"]
    for number, one in zip(numbers.data, packed, strict=True):
        row = np.frombuffer(base64.b64decode(one["embedding"]), "<f4")
        np.testing.assert_allclose(number.embedding, row, atol=1e-8)


def test_fewer_dimensions(ai: openai.OpenAI) -> None:
    whole = np.array(ai.embeddings.create(model="words", input="w1 w2").data[0].embedding)
    part = np.array(
        ai.embeddings.create(model="words", input="w1 w2", dimensions=8).data[0].embedding
    )
    assert part.shape == (8,)
    np.testing.assert_allclose(part, whole[:8] / np.linalg.norm(whole[:8]), atol=1e-6)
    for wrong in (0, -1, len(whole) + 1):
        with pytest.raises(openai.UnprocessableEntityError) as caught:
            ai.embeddings.create(model="words", input="w1", dimensions=wrong)
        assert caught.value.param == "dimensions"


def test_embeddings_are_charged_and_leave_no_rows_for_feedback(server: Answering) -> None:
    before = server.store.ledger.counts()["predictions"]
    body = server.http.post("/v1/embeddings", json={"model": "words", "input": TEXTS}).json()
    (event,) = server.store.ledger.events(call_id=body["id"])
    assert (event.kind, event.amount, event.model_version) == ("charge", 10_000, "words@1")
    assert event.units["inputs"] == len(TEXTS)
    assert event.units["tokens"] == body["usage"]["total_tokens"]
    assert server.store.ledger.counts()["predictions"] == before
    said = server.http.post("/v1/feedback", json={"prediction_id": body["id"], "label": "good"})
    assert said.status_code == 404


def test_what_cannot_be_answered_is_refused_and_costs_nothing(
    ai: openai.OpenAI, server: Answering
) -> None:
    before = server.store.ledger.counts()["events"]
    with pytest.raises(openai.BadRequestError) as caught:
        ai.embeddings.create(model="reviews", input="great")
    assert (caught.value.code, caught.value.param) == ("api.no_vectors", "model")
    for tokens in ([1, 2, 3], [[1, 2], [3]]):
        with pytest.raises(openai.UnprocessableEntityError) as refused:
            ai.embeddings.create(model="words", input=tokens)
        assert refused.value.code == "api.token_input"
        assert "send the text itself" in str(refused.value)
    with pytest.raises(openai.UnprocessableEntityError):
        ai.embeddings.create(model="words", input=[])
    with pytest.raises(openai.APIStatusError) as large:
        ai.embeddings.create(model="words", input=["w1"] * 513)
    assert large.value.status_code == 413
    assert server.store.ledger.counts()["events"] == before


def test_it_raises_its_own_exceptions(ai: openai.OpenAI, server: Answering) -> None:
    with (
        _client(server.address, "fl_wrong") as stranger,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        stranger.models.list()
    assert caught.value.code == "billing.wrong_key"
    assert caught.value.request_id == caught.value.response.headers["x-request-id"]
    with pytest.raises(openai.BadRequestError):
        ai.post("/embeddings", cast_to=object, content=b"{", options={})
    with pytest.raises(openai.NotFoundError):
        ai.moderations.create(input="w1")
    with pytest.raises(openai.BadRequestError) as refused:
        ai.completions.create(model="words", prompt="w1")
    assert refused.value.code == "chat.no_texts"
    with pytest.raises(openai.BadRequestError) as refused:
        ai.chat.completions.create(model="words", messages=[{"role": "user", "content": "w1"}])
    assert refused.value.code == "chat.not_chat"


def test_an_answer_has_the_request_id_that_was_sent(server: Answering) -> None:
    body = {"model": "words", "input": "w1"}
    sent = server.http.post("/v1/embeddings", json=body, headers={"x-request-id": "mine-1"})
    assert sent.headers["x-request-id"] == "mine-1"


def test_too_many_calls_are_its_rate_limit_error(server: Answering) -> None:
    """With the server's own Retry-After, which the client obeys when it may try again."""
    key = make_key(server.store, "Slow", limits={"rate": 0.5, "burst": 1})
    with _client(server.address, key.secret) as client:
        client.embeddings.create(model="words", input="w1")
        with pytest.raises(openai.RateLimitError) as caught:
            client.embeddings.create(model="words", input="w1")
    assert int(caught.value.response.headers["retry-after"]) >= 1
    assert caught.value.response.headers["x-ratelimit-limit-requests"]
    with _client(server.address, key.secret, retries=3) as patient:
        assert patient.embeddings.create(model="words", input="w1").model == "words@1"


def test_our_own_client_gives_the_same(server: Answering, ai: openai.OpenAI) -> None:
    import asyncio

    theirs = ai.embeddings.create(model="words", input=TEXTS)
    with Client(server.address, server.key.secret) as api:
        ours = api.embeddings(TEXTS, model="words")
        assert api.embeddings("w1", model="words", dimensions=4).vectors[0].__len__() == 4

    async def main() -> object:
        async with AsyncClient(server.address, server.key.secret) as api:
            return (await api.embeddings(TEXTS, model="words")).vectors

    assert asyncio.run(main()) == ours.vectors
    assert ours.model == theirs.model
    np.testing.assert_allclose(ours.vectors, [row.embedding for row in theirs.data], atol=1e-7)


def test_batched_with_predictions_everyone_gets_what_they_asked_for(server: Answering) -> None:
    """Vectors and labels come from the same batches; neither finds its way into the other."""
    results: list[dict[str, object]] = []

    def ask(path: str, body: dict[str, object]) -> None:
        with Client(server.address, server.key.secret) as api:
            results.append(api._http.post(path, json=body).json())

    threads = [
        threading.Thread(
            target=ask,
            args=(path, {"model": "words", field: ["w1 w2", f"w{n}"]}),
        )
        for n in range(8)
        for path, field in (("/v1/predict", "inputs"), ("/v1/embeddings", "input"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 16
    for body in results:
        if "outputs" in body:
            assert all(set(output) == {"label", "score"} for output in body["outputs"])  # type: ignore[attr-defined]
        else:
            assert all(len(row["embedding"]) == 32 for row in body["data"])  # type: ignore[attr-defined]


def test_the_page_shows_how_to_ask(server: Answering) -> None:
    """What the documentation shows can be sent as it stands."""
    page = html.unescape(server.http.get("/docs").text)
    for path in ("/v1/embeddings", "/v2/models/reviews/infer", "/v1/predict"):
        shown = page[page.index(f"curl {server.address}{path} ") :]
        body = shown[shown.index("-d '") + 4 : shown.index("}'") + 1].replace(FIRST, "words")
        url = path.replace(FIRST, "words")
        assert server.http.post(url, content=body.encode()).status_code == 200, body


def test_heads_and_options(server: Answering) -> None:
    head = server.http.head("/v1/models")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 0
    for path, allowed in (
        ("/v1/models", {"GET", "HEAD", "OPTIONS"}),
        ("/v1/embeddings", {"POST", "OPTIONS"}),
        ("/v2/models/words/infer", {"POST", "OPTIONS"}),
    ):
        asked = server.http.options(
            path, headers={"origin": "https://shop.example", "access-control-request-method": "GET"}
        )
        assert asked.status_code == 204
        assert set(asked.headers["allow"].split(", ")) == allowed
        assert not [name for name in asked.headers if name.startswith("access-control")]
    answered = server.http.get("/v1/models", headers={"origin": "https://shop.example"})
    assert not [name for name in answered.headers if name.startswith("access-control")]


def test_no_body_follows_a_head(server: Answering) -> None:
    host, port = server.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 5) as raw:
        raw.sendall(b"HEAD /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        answer = b""
        while part := raw.recv(4096):
            answer += part
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"\r\n\r\n")  # no body follows
