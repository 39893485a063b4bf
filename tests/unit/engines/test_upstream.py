"""Conversations that another server answers, and all that may be wrong with that server."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from feilun.engines import upstream
from feilun.engines.card import Card
from feilun.errors import BadAnswer, EnvironmentProblem, FeilunError, InvalidData, Overloaded
from feilun.types import Chunk, EngineRequest, Schema

USAGE = {"prompt_tokens": 7, "completion_tokens": 2}


def _event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def _piece(text: str = "", reason: str | None = None) -> bytes:
    return _event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": reason}]})


WHOLE = _piece("Good ") + _piece("morning. 你好") + _piece(reason="stop")
DONE = b"data: [DONE]\n\n"
CALL = {"index": 0, "id": "x", "function": {"name": "price", "arguments": '{"a":'}}
REST = {"index": 0, "function": {"arguments": "1}"}}
SAID: dict[str, tuple[int, bytes]] = {
    "whole": (200, WHOLE + _event({"choices": [], "usage": USAGE}) + DONE),
    "without usage": (200, WHOLE + DONE),
    "wrong usage": (200, WHOLE + _event({"choices": [], "usage": {**USAGE, "prompt_tokens": -1}})),
    "dear usage": (
        200,
        WHOLE + _event({"usage": {"prompt_tokens": 10**9, "completion_tokens": 10**9}}) + DONE,
    ),
    "calls": (
        200,
        _event({"choices": [{"delta": {"tool_calls": [CALL]}}]})
        + _event({"choices": [{"delta": {"tool_calls": [REST]}, "finish_reason": "tool_calls"}]})
        + DONE,
    ),
    "cut": (200, _piece("Good ")),
    "torn": (200, _piece("Good ") + b'data: {"choices": [{"del\n\n'),
    "no stream": (200, b"<html>It works!</html>"),
    "list": (200, b"data: [1, 2]\n\n"),
    "error inside": (200, _piece("Good ") + _event({"error": {"message": "out of memory"}})),
    "endless line": (200, b"data: " + b"x" * (2 << 20)),
    "500": (500, b"oops"),
    "401": (401, b'{"error": {"message": "no such key"}}'),
    "429": (429, b"{}"),
    "400": (400, b'{"error": {"message": "no temperature here"}}'),
    "redirect": (307, b""),
}


class _Handler(BaseHTTPRequestHandler):
    heard: list[tuple[str, dict[str, Any], str | None]] = []  # noqa: RUF012

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.heard.append((self.path, body, self.headers["authorization"]))
        if body["model"] == "hangs":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(_piece("Good "))
            self.wfile.flush()
            self.server.released.wait(20)  # type: ignore[attr-defined]
            return
        status, said = SAID[body["model"]]
        self.send_response(status)
        if status == 307:
            self.send_header("location", f"{self.path}?again")
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        return None


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.released = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.released.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()
    thread.join()


def _engine(address: str, model: str) -> upstream.UpstreamEngine:
    extra = {"address": address, "model": model, "key": "TEST_UPSTREAM_KEY"}
    card = Card("upstream", Schema("chat", (), {}), "upstream", extra=extra)
    return upstream.UpstreamEngine(card)


def _ask(address: str, model: str, **options: Any) -> list[Chunk]:
    found: list[Chunk] = []

    async def ask() -> None:
        engine = _engine(address, model)
        request = EngineRequest(["Hello"], stream=True, options=options)
        try:
            async for chunk in engine.submit(request):
                found.append(chunk)
        finally:
            await engine._client().aclose()

    try:
        asyncio.run(ask())
    except FeilunError as error:
        error.delivered = "".join(chunk.delta for chunk in found)  # type: ignore[attr-defined]
        raise
    return found


def test_a_conversation_is_passed_on(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_UPSTREAM_KEY", "secret")
    *pieces, last = _ask(address, "whole", temperature=0.5, max_tokens=20)
    assert [one.delta for one in pieces] == ["Good ", "morning. 你好"]
    assert last.outputs[0]["generated_text"] == "Good morning. 你好"
    assert last.outputs[0]["finish_reason"] == "stop"
    assert last.usage is not None
    assert last.usage.units == {"tokens_in": 7, "tokens_out": 2}
    path, body, key = _Handler.heard[-1]
    assert (path, key) == ("/v1/chat/completions", "Bearer secret")
    assert body["messages"] == [{"role": "user", "content": "Hello"}]
    assert (body["temperature"], body["max_tokens"], body["stream"]) == (0.5, 20, True)


@pytest.mark.parametrize("model", ["without usage", "wrong usage", "dear usage"])
def test_counts_that_are_not_sound_are_not_charged(address: str, model: str) -> None:
    last = _ask(address, model, max_tokens=20)[-1]
    request = EngineRequest(["Hello"], options={"max_tokens": 20})
    most = _engine(address, model).most(request)
    assert last.usage is not None
    assert 0 < last.usage.units["tokens_in"] <= most["tokens_in"]
    assert 0 < last.usage.units["tokens_out"] <= most["tokens_out"]


def test_tools_are_called(address: str) -> None:
    tool = {"type": "function", "function": {"name": "price", "parameters": {}}}
    last = _ask(address, "calls", tools=[tool])[-1]
    (call,) = last.outputs[0]["tool_calls"]
    assert call["function"] == {"name": "price", "arguments": '{"a":1}'}
    assert last.outputs[0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("model", "kind", "code", "delivered"),
    [
        ("cut", BadAnswer, "upstream_broken", "Good "),
        ("torn", BadAnswer, "upstream_broken", "Good "),
        ("no stream", BadAnswer, "upstream_broken", ""),
        ("list", BadAnswer, "upstream_broken", ""),
        ("error inside", BadAnswer, "upstream_broken", "Good "),
        ("endless line", BadAnswer, "upstream_broken", ""),
        ("500", BadAnswer, "upstream_failed", ""),
        ("redirect", BadAnswer, "upstream_failed", ""),
        ("401", EnvironmentProblem, "upstream_key", ""),
        ("429", Overloaded, "upstream_busy", ""),
        ("400", InvalidData, "upstream_refused", ""),
    ],
)
def test_what_goes_wrong_there_is_told(
    address: str, model: str, kind: type[FeilunError], code: str, delivered: str
) -> None:
    before = len(_Handler.heard)
    with pytest.raises(kind) as raised:
        _ask(address, model)
    assert raised.value.code == f"engines.{code}"
    assert raised.value.delivered == delivered  # type: ignore[attr-defined]
    assert "127.0.0.1" in raised.value.message("zh")
    assert len(_Handler.heard) == before + 1  # not asked again, and nowhere else


def test_a_server_that_hangs_is_left(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "_SILENT", 0.2)
    with pytest.raises(BadAnswer) as raised:
        _ask(address, "hangs")
    assert raised.value.code == "engines.upstream_silent"
    assert raised.value.delivered == "Good "  # type: ignore[attr-defined]


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(BadAnswer):
        _ask("http://127.0.0.1:9/v1", "whole")


def test_many_are_asked_for_an_evaluation(address: str) -> None:
    engine = _engine(address, "whole")
    assert [one["generated_text"] for one in engine.predict(["a", "b"])] == [
        "Good morning. 你好"
    ] * 2
    before = len(_Handler.heard)
    engine.warm_up()
    assert len(_Handler.heard) == before  # it may cost money
    engine.close()


@pytest.mark.parametrize(
    "given",
    ["", "api.example.com", "ftp://x/v1", "http://", "https://me:pw@x/v1", "https://x/v1?key=1"],
)
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(InvalidData):
        upstream.address_of(given)


def test_an_address_is_kept_in_one_form() -> None:
    assert upstream.address_of(" https://x/v1/ ") == "https://x/v1"
    assert upstream.address_of("https://x/v1/chat/completions") == "https://x/v1"
