"""Head and body of an answer leave together; what comes without a body, or before it, leaves."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from helpers.raw import connect, read_all, reply_to
from helpers.serving import Answering, make_workspace, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answering]:
    with (
        make_workspace(tmp_path_factory.mktemp("workspace")) as store,
        serving(store) as running,
    ):
        yield running


def predict(server: Answering, body: bytes, *more: str) -> bytes:
    lines = (
        "POST /v1/predict HTTP/1.1",
        "host: x",
        f"authorization: Bearer {server.key.secret}",
        f"content-length: {len(body)}",
        *more,
        "\r\n",
    )
    return "\r\n".join(lines).encode()


def piece(sock: socket.socket) -> bytes:
    return sock.recv(1 << 16)


def test_an_answer_is_one_piece(server: Answering) -> None:
    body = b'{"inputs": "good"}'
    with connect(server.address) as sock:
        for _ in range(3):
            sock.sendall(predict(server, body) + body)
            reply = reply_to(piece(sock))
            assert (reply.status, len(reply.json()["outputs"])) == (200, 1)


def test_heads_without_a_body_leave(server: Answering) -> None:
    with connect(server.address) as sock:
        for _ in range(2):
            sock.sendall(b"HEAD /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            head = piece(sock)
            assert head.startswith(b"HTTP/1.1 200")
            assert head.endswith(b"\r\n\r\n")
        sock.sendall(b"HEAD /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert read_all(sock).startswith(b"HTTP/1.1 200")


def test_the_word_to_go_on_does_not_wait_for_an_answer(server: Answering) -> None:
    body = b'{"inputs": "good"}'
    with connect(server.address, timeout=60) as sock:
        sock.sendall(predict(server, body, "expect: 100-continue"))
        assert piece(sock) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert reply_to(piece(sock)).status == 200


def test_answers_of_a_pipeline_come_in_order(server: Answering) -> None:
    asked = [b'{"inputs": "good"}', b'{"inputs": []}', b'{"inputs": ["good", "bad"]}']
    with connect(server.address) as sock:
        sock.sendall(b"".join(predict(server, body) + body for body in asked[:-1]))
        sock.sendall(predict(server, asked[-1], "connection: close") + asked[-1])
        rest = read_all(sock)
    found = []
    while rest:
        head, _, rest = rest.partition(b"\r\n\r\n")
        [length] = [line for line in head.split(b"\r\n") if line.startswith(b"content-length")]
        size = int(length.partition(b":")[2])
        found.append(int(head.split()[1]))
        rest = rest[size:]
    assert found == [200, 422, 200]
