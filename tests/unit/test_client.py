"""The client for callers: what it sends again and what it does not, against servers that answer
and servers that misbehave. All of them are real, on the loopback."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from feilun.client import (
    Answer,
    ApiError,
    AsyncClient,
    Client,
    Embeddings,
    RateLimitError,
    Unreachable,
    _wire,
)
from helpers.misbehaving import (
    GOOD,
    Misbehaving,
    Turn,
    answers,
    both,
    breaks_off,
    drips,
    drops,
    hangs,
    misbehaving,
    refuses,
)
from helpers.serving import Answering, make_workspace, serving


@pytest.fixture(params=[0, 1], ids=["sync", "async"])
def which(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first pause a tenth of what it is: these tests are many."""
    monkeypatch.setattr(_wire, "_FIRST", 0.05)


# What is sent again


@pytest.mark.parametrize(
    "turn",
    [drops, breaks_off, refuses(503), refuses(429), answers(b"<html>", 502), answers(b"", 504)],
    ids=["dropped", "half an answer", "503", "429", "502 of a proxy", "504 of a proxy"],
)
def test_a_prediction_is_tried_again_under_one_key(turn: Turn, which: int) -> None:
    with misbehaving(turn, turn) as server:
        answer = both(server.url, "predict", "great")[which]()
        assert answer == Answer("pred_1", "reviews@1", tuple(GOOD["outputs"]), {})
        assert len(server.requests) == 3
        assert len({request.key for request in server.requests}) == 1
        assert len(server.requests[0].key) == 32
        assert len({request.body for request in server.requests}) == 1


def test_every_call_has_a_key_of_its_own(which: int) -> None:
    with misbehaving() as server:
        ask = both(server.url, "predict", "great")[which]
        ask(), ask()
        both(server.url, "predict", "great", wanted={"idempotency_key": "mine"})[which]()
        first, second, third = (request.key for request in server.requests)
        assert first != second
        assert third == "mine"


def test_feedback_and_reading_are_tried_again_too(which: int) -> None:
    """Saying the same again adds nothing."""
    with misbehaving(drops, answers({"id": "fb_1"}), drops, answers({"data": [{"id": "m"}]})) as s:
        assert both(s.url, "feedback", "pred_1", "good")[which]() == {"id": "fb_1"}
        assert both(s.url, "models")[which]() == [{"id": "m"}]
        assert s.requests[0].body == s.requests[1].body


def test_what_nobody_keeps_is_not_sent_twice(which: int) -> None:
    """Embeddings of many texts bear no key: what became of the first call is not known."""
    texts = ["x"] * 200
    for turn in (drops, answers(b"", 502)):
        with misbehaving(turn) as server:
            with pytest.raises(ApiError):
                both(server.url, "embeddings", texts)[which]()
            assert [request.key for request in server.requests] == [""]
    packed = {
        "id": "p",
        "model": "m@1",
        "usage": {},
        "data": [{"index": 0, "embedding": "AACAPw=="}],
    }
    with misbehaving(refuses(503), answers(packed)) as server:  # refused is not carried out
        found = both(server.url, "embeddings", texts)[which]()
        assert found == Embeddings("p", "m@1", ((1.0,),), {})


def test_a_server_that_comes_back_is_found(which: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    started: list[Misbehaving] = []

    def later() -> None:
        time.sleep(0.6)
        started.append(Misbehaving([], port))

    thread = threading.Thread(target=later)
    thread.start()
    try:
        answer = both(f"http://127.0.0.1:{port}", "predict", "x", retries=12)[which]()
        assert answer.model == "reviews@1"
    finally:
        thread.join()
        started[0].close()


# How long it waits


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_it_comes_again_when_it_was_told_to(
    which: int, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    pause = _wire.Patience.pause

    def noted(self: _wire.Patience, error: ApiError, sent: bool = True) -> float:
        pauses.append(pause(self, error, sent))
        return pauses[-1]

    monkeypatch.setattr(_wire.Patience, "pause", noted)
    told = "2"
    if form == "date":
        told = format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)
    with misbehaving(refuses(429, retry_after=told)) as server:
        both(server.url, "predict", "x")[which]()
        assert len(server.requests) == 2
    (waited,) = pauses
    assert 1 < waited <= 3.1


def test_it_does_not_wait_longer_than_its_patience(which: int) -> None:
    with misbehaving(refuses(429, retry_after="60")) as server:
        with pytest.raises(RateLimitError) as caught:
            both(server.url, "predict", "x", patience=10)[which]()
        assert caught.value.retry_after == 60
        assert len(server.requests) == 1


def test_its_time_is_bounded_whatever_the_server_does(which: int) -> None:
    for turn in (hangs(2), drips):
        with misbehaving(*[turn] * 9) as server:
            with pytest.raises(Unreachable):
                both(server.url, "predict", "x", timeout=0.2, patience=1)[which]()
            assert 2 <= len(server.requests) < 9  # once more, and not for as long as it hangs


def test_it_gives_up_after_its_retries(which: int) -> None:
    with misbehaving(*[refuses(503)] * 9) as server:
        with pytest.raises(ApiError) as caught:
            both(server.url, "predict", "x", retries=1)[which]()
        assert caught.value.status == 503
        assert len(server.requests) == 2


def test_pauses_grow_and_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_wire, "_FIRST", 0.5)
    error = ApiError("no", status=503)
    pauses = []
    for _ in range(40):
        patience = _wire.Patience(_wire.Request("GET", "/"), 9, 1000)
        pauses.append([patience.pause(error) for _ in range(8)])
    for place, most in enumerate((0.5, 1, 2, 4, 8, 8, 8, 8)):
        column = [row[place] for row in pauses]
        assert most / 2 <= min(column) < max(column) <= most
        assert len(set(column)) > 30


# What is not sent again


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 413, 422, 500])
def test_what_is_refused_for_good_is_raised_at_once(which: int, status: int) -> None:
    with misbehaving(refuses(status, "some.code")) as server:
        with pytest.raises(ApiError) as caught:
            both(server.url, "predict", "x")[which]()
        error = caught.value
        assert (error.status, error.code, error.request_id) == (status, "some.code", "req_1")
        assert len(server.requests) == 1


def test_a_refusal_that_does_not_pass_is_raised_at_once(which: int) -> None:
    """A month's quota is not over in a few seconds."""
    with misbehaving(refuses(429, "billing.quota", x_should_retry="false")) as server:
        with pytest.raises(RateLimitError) as caught:
            both(server.url, "predict", "x")[which]()
        assert caught.value.final
        assert len(server.requests) == 1


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"<html>", b'{"error": "text"}', b"\xff"])
def test_what_is_not_ours_is_an_error_too(which: int, body: bytes) -> None:
    with misbehaving(answers(body, 418)) as server, pytest.raises(ApiError, match="418"):
        both(server.url, "usage")[which]()
    if body != b'{"error": "text"}':
        with misbehaving(answers(body)) as server, pytest.raises(ApiError):
            both(server.url, "usage")[which]()


def test_nothing_there_says_so_in_both_languages(which: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    for lang, words in (("en", "does not answer"), ("zh", "没有响应")):
        with pytest.raises(Unreachable, match=words) as caught:
            both(url, "predict", "x", retries=0, lang=lang)[which]()
        assert caught.value.__cause__ is not None


# Against the real server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answering]:
    with (
        make_workspace(Path(tmp_path_factory.mktemp("workspace"))) as store,
        serving(store) as running,
    ):
        yield running


def test_the_same_key_is_charged_once(server: Answering) -> None:
    with Client(server.address, server.key.secret) as api:
        first = api.predict("great", idempotency_key="a key of mine".replace(" ", "-"))
        again = api.predict("great", idempotency_key="a-key-of-mine")
        assert first == again
        assert api.predict("great").id != first.id
        with pytest.raises(ApiError) as caught:
            api.predict("other", idempotency_key="a-key-of-mine")
        assert caught.value.status == 422
    assert len(list(server.store.ledger.events(call_id=first.id))) == 1


def test_an_answer_that_was_lost_on_the_way_is_charged_once(server: Answering) -> None:
    """A proxy passes the call on, takes the answer and breaks off: the retry gets it."""
    with lossy_proxy(server.address, lost=2) as (url, passed):
        before = server.store.ledger.counts()["events"]
        with Client(url, server.key.secret) as api:
            answer = api.predict(["great", "broken"])
        assert answer.labels == ["good", "bad"]
        assert len(passed) == 3
        assert server.store.ledger.counts()["events"] == before + 1


def test_the_rest_of_it(server: Answering) -> None:
    with Client(server.address, server.key.secret) as api:
        answer = api.predict("great")
        assert api.feedback(answer.id, "bad")["label"] == "bad"
        assert api.usage()["object"] == "usage"
        today = datetime.now(UTC).date().isoformat()
        assert api.usage(since=today, until=today)["data"]
        assert api.usage(until="2001-01-01")["data"] == []
        assert [model["id"] for model in api.models()] == ["reviews"]
        assert api.invoices() == []
        with pytest.raises(ApiError) as caught:
            api.invoice("no/such number")
        assert caught.value.status == 404

    async def main() -> None:
        async with AsyncClient(server.address, server.key.secret) as api:
            answer = await api.predict("great")
            assert (await api.feedback(answer.id, "bad"))["label"] == "bad"
            assert await api.invoices() == []
            with pytest.raises(ApiError):
                await api.invoice("x")
            assert (await api.usage(since=today))["object"] == "usage"
            assert [model["id"] for model in await api.models()] == ["reviews"]

    asyncio.run(main())


def test_what_is_no_json_is_named_and_not_sent(server: Answering) -> None:
    """Half an emoji, a number that is none, an object."""
    wrong: list[tuple[Any, str]] = [
        (["whole", "half \ud83d of an emoji"], "inputs[1]"),
        ({"text": "\ud83d"}, "inputs.text"),
        (["whole", {"text": float("nan")}], "inputs[1].text"),
        ([datetime.now(UTC)], "inputs[0]"),
    ]
    with Client(server.address, server.key.secret, lang="zh") as api:
        for inputs, where in wrong:
            with pytest.raises(ApiError) as caught:
                api.predict(inputs)
            assert (caught.value.code, caught.value.param) == ("unsendable", where)
            assert where in caught.value.message
            assert caught.value.message.encode()
        with pytest.raises(ApiError) as caught:
            api.feedback("pred_1", "\ud83d")
        assert caught.value.param == "label"
        assert api.predict("整个 😀").labels

    async def main() -> None:
        async with AsyncClient(server.address, server.key.secret) as api:
            with pytest.raises(ApiError) as caught:
                await api.predict(["\ud83d"])
            assert caught.value.param == "inputs[0]"

    asyncio.run(main())


@contextmanager
def lossy_proxy(address: str, lost: int) -> Iterator[tuple[str, list[int]]]:
    """Passes requests on to `address`, and loses the first `lost` answers."""
    import httpx

    passed: list[int] = []
    turns: list[Turn] = []
    held: list[Misbehaving] = []

    def turn(connection: socket.socket) -> None:
        request = held[0].requests[-1]
        method, path, _ = request.line.split()
        headers = {n: v for n, v in request.headers.items() if n not in ("host", "connection")}
        with httpx.Client(trust_env=False) as http:
            got = http.request(method, address + path, headers=headers, content=request.body)
        passed.append(got.status_code)
        if len(passed) <= lost:
            drops(connection)
        else:
            answers(got.content, got.status_code)(connection)

    turns += [turn] * (lost + 1)
    with misbehaving(*turns) as proxy:
        held.append(proxy)
        yield proxy.url, passed
