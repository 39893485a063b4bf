"""Requests that offer another protocol, as Java's client does: their body is read all the same."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.serving import Answering, make_workspace, serving

OFFERS = {
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAA\r\nUpgrade: h2c\r\n",
    "websocket": b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n",
    "close": b"Connection: close, Upgrade\r\nUpgrade: h2c\r\n",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answering]:
    with (
        make_workspace(Path(tmp_path_factory.mktemp("workspace"))) as store,
        serving(store) as running,
    ):
        yield running


def request(
    server: Answering, offer: bytes, text: str = "great", *, chunked: bool = False
) -> bytes:
    body = b'{"model": "reviews", "inputs": "%b"}' % text.encode()
    length = b"content-length: %d\r\n" % len(body)
    if chunked:
        length = b"transfer-encoding: chunked\r\n"
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    key = b"authorization: Bearer %b\r\n" % server.key.secret.encode()
    return b"POST /v1/predict HTTP/1.1\r\nHost: x\r\n" + offer + key + length + b"\r\n" + body


def ask(server: Answering, *parts: bytes, answers: int = 1, pause: float = 0.0) -> list[bytes]:
    """Sends the parts with a pause between them, and reads so many answers with their bodies."""
    host, port = server.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 60) as raw:
        for part in parts:
            raw.sendall(part)
            time.sleep(pause)
        stream = raw.makefile("rb")
        found = []
        for _ in range(answers):
            head, length = stream.readline(), 0
            while (line := stream.readline()) not in (b"\r\n", b""):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            found.append(head + stream.read(length))
        return found


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("offer", OFFERS)
def test_the_body_is_read(server: Answering, offer: str, chunked: bool) -> None:
    sent = request(server, OFFERS[offer], chunked=chunked)
    middle = sent.index(b"\r\n\r\n") + 4
    for parts in ([sent], [sent[:middle], sent[middle:]], [sent[:-9], sent[-9:]]):
        (answer,) = ask(server, *parts, pause=0.05 if len(parts) > 1 else 0)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b'"good"' in answer


def test_byte_by_byte(server: Answering) -> None:
    sent = request(server, OFFERS["h2c"])
    (answer,) = ask(server, *[sent[n : n + 1] for n in range(len(sent))])
    assert b'"good"' in answer


def test_several_on_one_connection_are_answered_in_order(server: Answering) -> None:
    sent = [
        request(server, offer, text)
        for offer, text in (
            *((OFFERS["h2c"], "great"), (b"", "broken"), (OFFERS["websocket"], "broken")),
            (OFFERS["h2c"], "great"),
        )
    ]
    got = ask(server, b"".join(sent), answers=4)
    assert [b'"good"' in one for one in got] == [True, False, False, True]
    assert all(one.startswith(b"HTTP/1.1 200") for one in got)


def test_limits_hold_all_the_same(server: Answering) -> None:
    many = b"".join(b"x-%d: y\r\n" % number for number in range(200))
    (answer,) = ask(server, request(server, OFFERS["h2c"] + many))
    assert answer.startswith(b"HTTP/1.1 4")
    (answer,) = ask(
        server, request(server, b"Upgrade: h2c\r\nConnection: Upgrade\r\nbad header\r\n")
    )
    assert answer.startswith(b"HTTP/1.1 400")


def test_a_tunnel_is_not_built(server: Answering) -> None:
    for offer in (b"", OFFERS["h2c"]):
        sent = b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n" + offer + b"\r\n"
        (answer,) = ask(server, sent)
        assert answer.startswith(b"HTTP/1.1 4")
