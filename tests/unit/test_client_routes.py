"""The client's calls of search, rerank and chat: what it sends, and what it makes of the answers,
whole and in pieces."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from feilun.client import ApiError, AsyncClient, Client, Match, Piece, Unreachable, _wire
from helpers.misbehaving import Turn, answers, both, breaks_off, drops, misbehaving, refuses

FOUND = {
    "id": "pred_1",
    "model": "faq@1",
    "results": [{"document": {"text": "By boat."}, "relevance_score": 0.5}],
    "usage": {"total_tokens": 3},
}
RANKED = {
    "id": "pred_2",
    "model": "faq@1",
    "results": [{"index": 1, "relevance_score": 0.75}, {"index": 0, "relevance_score": 0.25}],
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "price", "arguments": "{}"}}


@pytest.fixture(params=[0, 1], ids=["sync", "async"])
def which(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_wire, "_FIRST", 0.05)


def test_search_and_rerank(which: int) -> None:
    with misbehaving(drops, answers(FOUND), refuses(503), answers(RANKED)) as server:
        wanted = {"wanted": {"model": "faq", "k": 3}}
        found = both(server.url, "search", "How?", **wanted)[which]()
        assert (found.id, found.model, found.usage) == ("pred_1", "faq@1", {"total_tokens": 3})
        assert found.matches == (Match("By boat.", 0.5),)
        ranked = both(server.url, "rerank", "How?", ["a", "b"], wanted={"top_n": 2})[which]()
        assert ranked.texts == ["b", "a"]
        assert ranked.matches[0] == Match("b", 0.75, 1)
        first, again, *rest = server.requests
        assert first.line.split()[1] == "/v1/search"
        assert json.loads(first.body) == {"query": "How?", "k": 3, "model": "faq"}
        assert (first.key, first.body) == (again.key, again.body)
        assert rest[0].line.split()[1] == "/v1/rerank"
        assert json.loads(rest[0].body) == {"query": "How?", "documents": ["a", "b"], "top_n": 2}


def test_one_model(which: int) -> None:
    with misbehaving(answers({"id": "a/b"})) as server:
        assert both(server.url, "model", "a/b")[which]() == {"id": "a/b"}
        assert server.requests[0].line.split()[1] == "/v1/models/a%2Fb"


def test_a_reply(which: int) -> None:
    message = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    body = {"id": "p", "model": "m@1", "choices": [choice], "usage": {"total_tokens": 2}}
    with misbehaving(answers(body)) as server:
        reply = both(server.url, "chat", "Hello", wanted={"temperature": 0})[which]()
        assert (reply.text, reply.finish_reason, reply.tool_calls) == ("", "tool_calls", (CALL,))
        assert reply.usage == {"total_tokens": 2}
        assert reply.body == body
        said = [{"role": "user", "content": "Hello"}]
        assert json.loads(server.requests[0].body) == {"messages": said, "temperature": 0}


# Pieces


def _event(choices: list[dict[str, Any]], **more: Any) -> bytes:
    chunk = {"id": "p", "choices": choices, **more}
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"


def _delta(text: str, ended: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": {"content": text}, "finish_reason": ended}


PIECES = [_event([_delta("今天 ")]), b": a comment\n\n", _event([_delta("good")])]
LAST = _event([{"index": 0, "delta": {}, "finish_reason": "stop"}], usage={"total_tokens": 4})
DONE = b"data: [DONE]\n\n"


def streams(*parts: bytes) -> Turn:
    """Sends `parts` and closes the connection."""

    def turn(connection: Any) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        connection.sendall(head)
        for part in parts:
            connection.sendall(part)

    return turn


def _read(url: str, which: int, took: list[Piece] | None = None, **options: Any) -> list[Piece]:
    found: list[Piece] = [] if took is None else took

    def plain() -> None:
        with Client(url, "fl_x", **options) as api:
            found.extend(api.chat_stream([{"role": "user", "content": "Hi"}], max_tokens=9))

    async def later() -> None:
        async with AsyncClient(url, "fl_x", **options) as api:
            async for piece in api.chat_stream([{"role": "user", "content": "Hi"}], max_tokens=9):
                found.append(piece)

    ways: list[Callable[[], Any]] = [plain, lambda: asyncio.run(later())]
    ways[which]()
    return found


def test_pieces_come_in_their_order_with_the_usage_in_the_last(which: int) -> None:
    with misbehaving(refuses(503), drops, streams(*PIECES, LAST, DONE)) as server:
        found = _read(server.url, which)
        assert [piece.text for piece in found] == ["今天 ", "good", ""]
        assert [piece.finish_reason for piece in found] == [None, None, "stop"]
        assert found[-1].usage == {"total_tokens": 4}
        assert len(server.requests) == 3
        assert len({request.key for request in server.requests}) == 1
        body = json.loads(server.requests[0].body)
        assert (body["stream"], body["max_tokens"]) == (True, 9)


def test_pieces_of_an_answer_end_with_the_whole_of_it(which: int) -> None:
    whole = {"generated_text": "今天 good"}
    parts = [{"id": "p", "model": "m@1", "index": 0, "delta": text} for text in ("今天 ", "good")]
    parts.append({"id": "p", "model": "m@1", "outputs": [whole], "usage": {"inputs": 1}})
    sent = [b"data: " + json.dumps(part).encode() + b"\n\n" for part in parts]
    found: list[Piece] = []

    async def later(url: str) -> None:
        async with AsyncClient(url, "fl_x") as api:
            found.extend([one async for one in api.predict_stream("hi", model="m")])

    with misbehaving(refuses(503), streams(*sent, DONE)) as server:
        if which:
            asyncio.run(later(server.url))
        else:
            with Client(server.url, "fl_x") as api:
                found.extend(api.predict_stream("hi", model="m"))
        assert [piece.text for piece in found] == ["今天 ", "good", ""]
        assert [piece.output for piece in found] == [None, None, whole]
        assert found[-1].usage == {"inputs": 1}
        body = {"inputs": "hi", "stream": True, "model": "m"}
        assert json.loads(server.requests[1].body) == body


@pytest.mark.parametrize("last", [b"", b'data: {"error": {"code": "x.y", "message": "no"}}\n\n'])
def test_what_breaks_after_a_piece_is_raised_and_not_sent_again(which: int, last: bytes) -> None:
    with misbehaving(streams(*PIECES, last)) as server:
        took: list[Piece] = []
        with pytest.raises(ApiError if last else Unreachable) as caught:
            _read(server.url, which, took)
        assert [piece.text for piece in took] == ["今天 ", "good"]
        assert caught.value.code == ("x.y" if last else "unreachable")
        assert len(server.requests) == 1


def test_a_refused_stream_says_why(which: int) -> None:
    with misbehaving(refuses(400, "chat.not_chat")) as server:
        with pytest.raises(ApiError) as caught:
            _read(server.url, which)
        assert (caught.value.status, caught.value.code) == (400, "chat.not_chat")
    with misbehaving(*[breaks_off] * 3) as server, pytest.raises(Unreachable):
        _read(server.url, which, retries=1)
