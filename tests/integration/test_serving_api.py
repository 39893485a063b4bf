"""The API over real HTTP: what it answers, what it refuses, and that both have one shape."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from feilun.api.openapi import example_input
from feilun.billing.prices import set_price
from feilun.client import ApiError, AsyncClient, Client, Unreachable
from feilun.serving.internal import make_token
from feilun.tasks import base as tasks
from helpers.serving import Answering, add_version, client, make_key, make_workspace, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answering]:
    with make_workspace(tmp_path_factory.mktemp("workspace")) as store:
        store.catalog.add_project("pictures", "image-classification")
        store.catalog.set_live("pictures", add_version(store, "pictures").id)
        set_price(store.catalog, "reviews", 1.5, "USD")
        with serving(store) as running:
            yield running


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The error of a response, after a look at its shape."""
    assert response.headers["content-type"] == "application/json"
    assert list(response.json()) == ["error"]
    error: dict[str, Any] = response.json()["error"]
    assert list(error) == ["message", "type", "code", "param", "request_id"]
    assert error["message"]
    assert error["request_id"] == response.headers["x-request-id"]
    return error


def test_one_text_and_many(server: Answering) -> None:
    one = server.predict("great", model="reviews")
    assert one.status_code == 200
    body = one.json()
    assert list(body) == ["id", "model", "outputs", "usage"]
    assert body["model"] == "reviews@1"
    assert body["usage"] == {"inputs": 1}
    (output,) = body["outputs"]
    assert output["label"] == "good"
    assert 0.5 < output["score"] <= 1
    many = server.predict(["broken", {"text": "很好"}, "", 42], model="reviews@1").json()
    assert [output["label"] for output in many["outputs"]][:2] == ["bad", "good"]
    assert len(many["outputs"]) == 4


def test_all_scores_on_request(server: Answering) -> None:
    (output,) = server.predict("broken", model="reviews", all_scores=True).json()["outputs"]
    assert set(output["scores"]) == {"bad", "good"}
    assert output["scores"]["bad"] == output["score"]
    assert all(len(str(score)) <= 8 for score in output["scores"].values())


def test_pictures(server: Answering) -> None:
    pictures = tasks.get("image-classification").example_items()
    with Client(server.address, server.key.secret) as api:
        answer = api.predict(pictures, model="pictures")
        assert len(answer.labels) == len(pictures)
        assert answer.usage["inputs"] == len(pictures)
        assert api.predict({"image": pictures[0]}, model="pictures").labels == answer.labels[:1]
        with pytest.raises(ApiError) as caught:
            api.predict([pictures[0], b"no picture"], model="pictures")
        assert (caught.value.status, caught.value.param) == (422, "inputs[1]")


def test_a_call_is_in_the_ledger_and_in_the_log(server: Answering) -> None:
    body = server.predict(["great", "broken"], model="reviews").json()
    (event,) = server.store.ledger.events(call_id=body["id"])
    assert event.kind == "charge"
    assert event.units == {"calls": 1, "inputs": 2, "tokens": 0, "pixels": 0}
    assert (event.amount, event.currency) == (3000, "USD")
    assert event.price_version == server.store.catalog.prices("reviews")[0].id
    assert (event.customer, event.key_id) == (server.key.record.customer, server.key.record.id)
    assert (event.endpoint, event.model_version) == ("reviews", "reviews@1")
    assert event.engine_us > 0
    logged = server.store.ledger.prediction(body["id"], 1)
    assert logged.input == "broken"
    assert logged.output == body["outputs"][1]
    assert logged.margin is not None
    assert logged.expires is not None
    assert timedelta(days=29) < logged.expires - datetime.now(UTC) < timedelta(days=31)


def test_a_key_may_forbid_that_inputs_are_kept(server: Answering) -> None:
    with client(server.address, make_key(server.store, store_inputs=0).secret) as http:
        body = http.post("/v1/predict", json={"inputs": "private", "model": "reviews"}).json()
        logged = server.store.ledger.prediction(body["id"])
        assert (logged.input, logged.stored, logged.expires) == (None, False, None)
        refused = http.post("/v1/feedback", json={"prediction_id": body["id"], "label": "bad"})
        assert refused.status_code == 410
        assert error_of(refused)["code"] == "store.input_not_stored"


def test_failed_calls_cost_nothing(server: Answering) -> None:
    before = server.store.ledger.counts()["events"]
    for body in ({"inputs": []}, {"inputs": ["ok", None], "model": "reviews"}, {"inputs": "x" * 9}):
        assert server.http.post("/v1/predict", json={"model": "nope"} | body).status_code >= 400
    assert server.store.ledger.counts()["events"] == before


# Keys


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer fl_wrong", "Basic YTpi", "fl_wrong", "Bearer " + "x" * 9000],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/predict"),
        ("POST", "/v1/feedback"),
        ("GET", "/v1/models"),
        ("GET", "/v1/usage"),
    ],
)
def test_without_a_key_that_works(server: Answering, method: str, path: str, header: str) -> None:
    with client(server.address) as http:
        body = {"inputs": "x", "prediction_id": "p", "label": "l"} if method == "POST" else None
        response = http.request(method, path, json=body, headers={"authorization": header})
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    error = error_of(response)
    assert error["type"] == "authentication_error"
    assert error["code"] in ("billing.no_key", "billing.wrong_key")


def test_a_key_that_was_made_a_moment_ago_works_at_once(server: Answering) -> None:
    with client(server.address, make_key(server.store).secret) as http:
        assert http.get("/v1/models").status_code == 200


def test_wrong_keys_do_not_keep_the_database_busy(
    server: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    epoch = server.store.catalog.epoch
    monkeypatch.setattr(server.store.catalog, "epoch", lambda: asked.append(1) or epoch())
    begun = datetime.now(UTC)

    async def work() -> None:
        async with httpx.AsyncClient(base_url=server.address, trust_env=False) as http:
            headers = [{"authorization": f"Bearer fl_{n}"} for n in range(100)]
            await asyncio.gather(*(http.get("/v1/models", headers=h) for h in headers))

    asyncio.run(work())
    seconds = (datetime.now(UTC) - begun).total_seconds()
    assert len(asked) <= 3 + 12 * seconds  # ten looks a second, and the watch's two


def test_an_expired_key(server: Answering) -> None:
    key = make_key(server.store, expires=datetime.now(UTC) - timedelta(seconds=1))
    with client(server.address, key.secret) as http:
        response = http.post("/v1/predict", json={"inputs": "x"})
    assert error_of(response)["code"] == "billing.key_expired"


def test_a_revoked_key_stops_within_two_seconds(server: Answering) -> None:
    key = make_key(server.store)
    with client(server.address, key.secret) as http:
        body = {"inputs": "great", "model": "reviews"}
        assert http.post("/v1/predict", json=body).status_code == 200
        server.store.catalog.revoke_key(key.record.id)
        until = datetime.now(UTC) + timedelta(seconds=2)
        while http.post("/v1/predict", json=body).status_code == 200:
            assert datetime.now(UTC) < until
        assert error_of(http.post("/v1/predict", json=body))["code"] == "billing.key_revoked"


def test_a_key_for_one_project_opens_no_other(server: Answering) -> None:
    with client(server.address, make_key(server.store, project="reviews").secret) as http:
        assert [m["id"] for m in http.get("/v1/models").json()["data"]] == ["reviews"]
        assert http.post("/v1/predict", json={"inputs": "great"}).status_code == 200
        response = http.post("/v1/predict", json={"inputs": "great", "model": "pictures"})
        assert response.status_code == 404
        assert "pictures@" not in error_of(response)["message"]
        assert http.get("/v1/models/pictures").status_code == 404


# Feedback


def test_feedback(server: Answering) -> None:
    call = server.predict(["great", "broken"], model="reviews").json()["id"]
    body = {"prediction_id": call, "index": 1, "label": "good"}
    response = server.http.post("/v1/feedback", json=body)
    assert response.status_code == 200
    assert response.json()["label"] == "good"
    assert [f.label for f in server.store.ledger.feedback_of(call, 1)] == ["good"]
    no_reason = {"prediction_id": call, "index": 1, "rejected": "wrong_fact"}
    error = error_of(server.http.post("/v1/feedback", json=no_reason))
    assert (error["code"], error["param"]) == ("feedback.no_faults", "rejected")


def test_feedback_of_another_customer_is_refused_as_if_there_were_no_answer(
    server: Answering,
) -> None:
    call = server.predict("great", model="reviews").json()["id"]
    with client(server.address, make_key(server.store, "Bob").secret) as bob:
        told = []
        for prediction_id in (call, "pred_of_nobody"):
            body = {"prediction_id": prediction_id, "label": "bad"}
            response = bob.post("/v1/feedback", json=body)
            assert response.status_code == 404
            error = error_of(response)
            told.append(error["message"].replace(prediction_id, "ID") + error["code"])
    assert told[0] == told[1]
    assert server.store.ledger.feedback_of(call) == []


def test_feedback_to_an_expired_input(server: Answering) -> None:
    call = server.predict("great", model="reviews").json()["id"]
    server.store.ledger.purge_expired(datetime.now(UTC) + timedelta(days=31))
    response = server.http.post("/v1/feedback", json={"prediction_id": call, "label": "bad"})
    assert response.status_code == 410
    assert error_of(response)["code"] == "store.input_gone"


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"label": "x"}, "api.missing_field", "prediction_id"),
        ({"prediction_id": "p"}, "feedback.no_label", "label"),
        ({"prediction_id": "p", "rejected": 1}, "api.wrong_value", "rejected"),
        ({"prediction_id": "p", "label": "x", "more": 1}, "api.unknown_field", "more"),
        ({"prediction_id": "p", "label": "x", "index": -1}, "api.wrong_value", "index"),
        ({"prediction_id": "p", "label": "x", "index": 10**30}, "api.wrong_value", "index"),
        ({"prediction_id": 3, "label": "x"}, "api.wrong_value", "prediction_id"),
        ({"prediction_id": "p" * 101, "label": "x"}, "api.wrong_value", "prediction_id"),
        ([], "api.wrong_value", "body"),
    ],
)
def test_feedback_that_does_not_fit(server: Answering, body: Any, code: str, param: str) -> None:
    error = error_of(server.http.post("/v1/feedback", json=body))
    assert (error["code"], error["param"]) == (code, param)


# One shape, everywhere


def test_every_route_is_in_the_document_and_refuses_in_the_one_shape(server: Answering) -> None:
    document = server.http.get("/openapi.json").json()
    paths = document["paths"]
    assert {"/v1/predict", "/v1/feedback", "/v1/models", "/v1/usage", "/healthz", "/readyz"} <= set(
        paths
    )
    assert {"/metrics", "/docs", "/openapi.json", "/", "/internal/v1/load"} <= set(paths)
    with client(server.address) as http:
        for path, methods in paths.items():
            url = re.sub(r"\{\w+\}", "x", path)
            assert all(operation.get("description") for operation in methods.values()), path
            response = http.request("DELETE", url)
            assert response.status_code == 405
            if path.startswith("/v2"):  # the shape that the protocol prescribes
                assert list(response.json()) == ["error"]
                assert isinstance(response.json()["error"], str)
            else:
                assert error_of(response)["code"] == "api.wrong_method"
            allowed = {method.upper() for method in methods}
            told = set(response.headers["allow"].split(", "))
            assert allowed < told <= allowed | {"HEAD", "OPTIONS"}, path
            if path.startswith(("/v1", "/internal")):
                for method in methods:
                    response = http.request(method, url, json={})
                    assert response.status_code == 401
                    error_of(response)


def test_the_document_names_only_schemas_that_it_has(server: Answering) -> None:
    document = server.http.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    found = re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document))
    assert set(found) <= set(schemas)
    for name in tasks.names():
        assert "".join(part.capitalize() for part in name.split("-")) + "Input" in schemas


@pytest.mark.parametrize("path", ["/nope", "/v1/nope", "/v1/predict/", "/%2e%2e/etc/passwd"])
def test_what_is_not_there(server: Answering, path: str) -> None:
    response = server.http.get(path)
    assert response.status_code == 404
    assert error_of(response)["code"] == "api.no_route"


BODIES = [
    b"", b"{", b"[]", b"null", b"\x00\xff", b'{"inputs": "\xff"}', b'{"inputs": "\\ud8"}',
    b"[" * 10_000, b'{"inputs":' * 10_000, b'{"inputs": 1e999}', b"\xef\xbb\xbf{}",
    b'{"inputs": {"$base64": "!"}}', b'{"inputs": "a", "model": "../../etc/passwd"}',
    b'{"inputs": "a", "model": "\\u0000"}', b"--x\r\nContent-Disposition: form-data\r\n\r\n",
    b"inputs=a&model=b",
]  # fmt: skip


KINDS = [None, "", "text/plain", "application/x-www-form-urlencoded", "text/json; charset=x"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_a_body_is_read_alike_on_all_routes(
    server: Answering, kind: str | None, start: bytes
) -> None:
    """curl -d says it sends a form, PowerShell puts a byte order mark first."""
    headers = {} if kind is None else {"content-type": kind}
    key = make_key(server.store, store_inputs=30)

    def post(http: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
        sent = start + json.dumps(body).encode()
        response = http.post(path, content=sent, headers=headers)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    with client(server.address, key.secret) as http:
        call = post(http, "/v1/predict", {"inputs": ["great"], "model": "reviews"})["id"]
        said = post(http, "/v1/feedback", {"prediction_id": call, "label": "bad"})
        assert said["label"] == "bad"
        tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["great"]}
        post(http, "/v2/models/reviews/infer", {"inputs": [tensor]})
    with client(server.address, make_token(server.store.secret())) as http:
        assert post(http, "/internal/v1/load", {"version": "reviews@1"})["version"] == "reviews@1"
        post(http, "/internal/v1/predict?version=reviews@1", {"inputs": ["great"]})


def test_half_an_emoji_harms_no_input_beside_it(server: Answering) -> None:
    """A text cut in the middle of a surrogate pair, as JavaScript's slice cuts it."""
    key = make_key(server.store, store_inputs=30)
    with client(server.address, key.secret) as http:
        body = b'{"inputs": ["great \\ud83d", "great"], "model": "reviews"}'
        answer = http.post("/v1/predict", content=body)
        assert answer.status_code == 200
        cut, whole = answer.json()["outputs"]
        assert cut["label"] == whole["label"] == "good"
        said = b'{"prediction_id": "%s", "label": "\\ud83d"}' % answer.json()["id"].encode()
        assert http.post("/v1/feedback", content=said).json()["label"] == "\ufffd"


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/feedback", "/internal/v1/load"])
def test_malformed_bodies_are_never_our_failure(server: Answering, path: str) -> None:
    secret = server.key.secret
    if path.startswith("/internal"):
        secret = make_token(server.store.secret())
    with client(server.address, secret) as http:
        for body in BODIES:
            for kind in ("application/json", "text/plain", "multipart/form-data", ""):
                response = http.post(path, content=body, headers={"content-type": kind})
                assert 400 <= response.status_code < 500, body
                error_of(response)
    assert server.predict("great", model="reviews").status_code == 200


def test_bodies_that_are_too_large(server: Answering) -> None:
    large = b'{"inputs": "' + b"x" * (33 << 20) + b'"}'
    middle = b" " * (2 << 20)
    for path, content in (
        ("/v1/predict", large),
        ("/v1/feedback", middle),
        ("/internal/v1/predict", middle),
    ):
        response = server.http.post(path, content=content)
        assert response.status_code == 413
        assert error_of(response)["code"] == "api.body_too_large"
    many = server.predict(["x"] * 513, model="reviews")
    assert many.status_code == 413
    assert error_of(many)["code"] == "api.too_many_inputs"


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"NOT HTTP AT ALL\r\n\r\n", 400, "api.bad_http"),
        (b"GET /\xff\xfe HTTP/1.1\r\n\r\n", 400, "api.bad_http"),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000 + b"\r\n\r\n", 431, "api.headers_too_large"),
        (b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 40_000 + b"\r\n", 431, "api.headers_too_large"),
    ],
)
def test_what_is_not_http(server: Answering, raw: bytes, status: int, code: str) -> None:
    host, _, port = server.address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as sock:
        sock.sendall(raw)
        answer = b""
        try:
            while piece := sock.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert json.loads(body)["error"]["code"] == code


def test_errors_speak_the_callers_language(server: Answering) -> None:
    for path, body in (("/v1/predict", {"inputs": []}), ("/v1/feedback", {"label": "x"})):
        said = {}
        for lang in ("en", "zh-CN"):
            headers = {"accept-language": lang}
            said[lang] = error_of(server.http.post(path, json=body, headers=headers))["message"]
        assert said["en"].isascii()
        assert re.search("[\u4e00-\u9fff]", said["zh-CN"])


def test_a_request_keeps_its_own_id(server: Answering) -> None:
    for path in ("/healthz", "/nope"):
        headers = {"x-request-id": "mine-1"}
        assert server.http.get(path, headers=headers).headers["x-request-id"] == "mine-1"
        headers = {"x-request-id": "bad id\tх"}
        given = server.http.get(path, headers={k: v.encode() for k, v in headers.items()})
        assert given.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("path", ["/", "/docs", "/healthz", "/v1/models", "/v1/predict", "/nope"])
def test_security_headers(server: Answering, path: str) -> None:
    headers = server.http.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


# What watches read, and people


def test_pages_need_no_network(server: Answering) -> None:
    for path in ("/", "/docs"):
        for lang, word in (("en", "Documentation"), ("zh", "文档")):
            page = server.http.get(path, params={"lang": lang})
            assert page.headers["content-type"].startswith("text/html")
            assert f'<html lang="{lang}">' in page.text
            assert path == "/docs" or word in page.text
            outside = re.findall(r'(?:src|href)="(https?:)?//', page.text)
            assert not outside
            assert "<script" not in page.text
    docs = server.http.get("/docs").text
    for path in server.http.get("/openapi.json").json()["paths"]:
        assert f"</span>{path}<" in docs
    assert f"curl {server.address}/v1/predict" in docs
    english, chinese = example_input("en"), example_input("zh")
    assert english in docs
    chosen = server.http.get("/docs?lang=zh").text
    assert chinese in chosen
    assert english not in chosen


def test_health_and_readiness(server: Answering) -> None:
    assert server.http.get("/healthz").json() == {"status": "ok"}
    ready = server.http.get("/readyz")
    assert ready.status_code == 200
    assert ready.json() == {
        "status": "ready",
        "models": {"pictures": "pictures@1", "reviews": "reviews@1"},
        "failures": [],
    }


def test_metrics_hold_no_key_no_customer_and_no_text(server: Answering) -> None:
    server.predict("a text that is secret", model="reviews")
    text = server.http.get("/metrics").text
    assert 'feilun_requests_total{route="/v1/predict",status="200"}' in text
    assert 'feilun_model_info{endpoint="reviews",model="reviews",version="1"} 1.0' in text
    assert "feilun_request_seconds_bucket" in text
    for hidden in (server.key.secret[:10], server.key.record.customer, "secret"):
        assert hidden not in text


def test_own_usage(server: Answering) -> None:
    key = make_key(server.store, "Carol")
    with Client(server.address, key.secret) as api:
        assert api.usage()["data"] == []
        api.predict(["great"] * 4, model="reviews")
        (row,) = api.usage()["data"]
        assert (row["inputs"], row["amount"], row["model"]) == (4, "0.006", "reviews@1")
        tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
        assert server.http.get("/v1/usage", params={"since": tomorrow}).json()["data"] == []
        assert error_of(server.http.get("/v1/usage", params={"since": "x"}))["param"] == "since"


# The client


def test_the_client(server: Answering) -> None:
    with Client(server.address, server.key.secret) as api:
        answer = api.predict(["great", "broken"], model="reviews")
        assert answer.labels == ["good", "bad"]
        assert api.feedback(answer.id, "bad", index=0)["label"] == "bad"
        assert {model["id"] for model in api.models()} == {"reviews", "pictures"}
        scores = api.predict("great", model="reviews", all_scores=True).outputs[0]["scores"]
        assert set(scores) == {"bad", "good"}
    with Client(server.address, "fl_wrong", lang="zh") as api, pytest.raises(ApiError) as caught:
        api.models()
    assert (caught.value.status, caught.value.code) == (401, "billing.wrong_key")
    assert "密钥" in caught.value.message
    assert caught.value.request_id.startswith("req_")


def test_the_asynchronous_client(server: Answering) -> None:
    async def work() -> list[str]:
        async with AsyncClient(server.address, server.key.secret) as api:
            answers = await asyncio.gather(
                *(api.predict(text, model="reviews") for text in ("great", "broken"))
            )
            await api.feedback(answers[0].id, "bad")
            assert await api.models()
            assert (await api.usage())["data"]
            return [label for answer in answers for label in answer.labels]

    assert asyncio.run(work()) == ["good", "bad"]


def test_the_client_where_nothing_answers(server: Answering) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    with Client(address, "fl_x", patience=1) as api, pytest.raises(Unreachable) as caught:
        api.models()
    assert address in caught.value.message
    assert caught.value.status == 0


# The workspace's own processes


def test_golden_requests_leave_no_trace(server: Answering, tmp_path: Path) -> None:
    candidate = add_version(server.store, flipped=True).id
    before = server.store.ledger.counts()
    with client(server.address, make_token(server.store.secret())) as http:
        loaded = http.post("/internal/v1/load", json={"version": candidate})
        assert loaded.status_code == 200
        assert loaded.json()["version"] == candidate
        body = {"inputs": ["great", "broken"]}
        params = {"version": candidate}
        answer = http.post("/internal/v1/predict", params=params, json=body).json()
        assert [output["label"] for output in answer["outputs"]] == ["bad", "good"]
        assert all("scores" in output for output in answer["outputs"])
        assert "id" not in answer
        assert http.post("/internal/v1/unload", json={"version": candidate}).status_code == 200
        for wrong in ({"version": "reviews@99"}, {"version": "reviews@1", "variant": "int4"}):
            assert http.post("/internal/v1/load", json=wrong).status_code == 404
    assert server.store.ledger.counts() == before
    assert server.predict("great", model=candidate).status_code == 404


@pytest.mark.parametrize("token", ["", "internal_9999999999_00", "key"])
def test_nobody_else_may_use_the_internal_routes(server: Answering, token: str) -> None:
    secret = server.key.secret if token == "key" else token
    with client(server.address, secret) as http:
        response = http.post("/internal/v1/load", json={"version": "reviews@1"})
    assert response.status_code == 401
    assert error_of(response)["code"] == "api.not_internal"


def bomb(side: int) -> bytes:
    """A PNG of few bytes that says it has side × side pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 1_000_000, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_picture_bomb_takes_no_memory(server: Answering) -> None:
    process = psutil.Process()
    before = process.memory_info().rss
    with Client(server.address, server.key.secret) as api, pytest.raises(ApiError) as caught:
        api.predict(bomb(60_000), model="pictures")
    assert caught.value.status == 422
    assert process.memory_info().rss - before < 100 << 20
