"""What a stream costs whose caller does not read, or leaves: what came to its machine, no more."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from feilun.project import Workspace
from feilun.store.ledger_records import Event
from helpers.serving import Answering, make_key
from helpers.toys import add_parrot, answering, write_site

LONG = 1900


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answering]:
    site = write_site(tmp_path_factory.mktemp("site"))
    with Workspace(tmp_path_factory.mktemp("workspace")) as workspace:
        add_parrot(workspace.store, {"project": {"serving": {"write_deadline": 20.0}}})
        with answering(workspace.store, site) as running:
            yield running


def _open(server: Answering, secret: str, **order: Any) -> socket.socket:
    """A connection that has asked for a stream, and holds next to nothing that is not read."""
    said = json.dumps(order)
    body = {"model": "parrot", "stream": True, "messages": [{"role": "user", "content": said}]}
    text = json.dumps(body).encode()
    place = urlsplit(server.address)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(20)
    sock.connect((place.hostname, place.port))
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\n"
        f"content-length: {len(text)}\r\n\r\n"
    )
    sock.sendall(head.encode() + text)
    return sock


def _end(server: Answering, customer: str) -> Event:
    """The settlement of the customer's one stream, when it has come."""
    until = time.monotonic() + 60
    while True:
        events = list(server.store.ledger.events(customer=customer))
        if events and events[-1].kind in ("settle", "release"):
            return events[-1]
        assert time.monotonic() < until, events
        time.sleep(0.02)


def _tokens(heard: bytes) -> int:
    return heard.count(b'"content":')


def _still(sock: socket.socket) -> bytes:
    """What has come and was not read, when nothing more comes."""
    before = b""
    while True:
        time.sleep(0.3)
        now = sock.recv(1 << 20, socket.MSG_PEEK)
        if now == before:
            return now
        before = now


@pytest.mark.parametrize("how", ["reset", "closed"])
def test_who_vanishes_pays_for_what_came_to_its_machine(server: Answering, how: str) -> None:
    key = make_key(server.store, f"Vera {how}")
    sock = _open(server, key.secret, say="tea " * (LONG // 2), pause=0)
    heard = sock.recv(2000)
    heard += _still(sock)
    if how == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    end = _end(server, key.record.customer)
    assert (end.kind, end.outcome) == ("settle", "disconnected")
    came = _tokens(heard)
    charged = end.units["tokens_out"]
    assert 0 < came < LONG / 2
    # A piece may have come in part: it is not charged.
    assert came - 1 <= charged <= came
    assert not server.store.ledger.holds(customer=key.record.customer)


def test_who_closes_its_side_hears_what_it_pays_for(server: Answering) -> None:
    key = make_key(server.store, "Paul")
    sock = _open(server, key.secret, say="soap " * 100, pause=0.005)
    heard = b""
    while _tokens(heard) < 10:
        heard += sock.recv(500)
    sock.shutdown(socket.SHUT_WR)
    while more := sock.recv(1 << 16):
        heard += more
    sock.close()
    end = _end(server, key.record.customer)
    assert (end.kind, end.outcome) == ("settle", "disconnected")
    assert end.units["tokens_out"] <= _tokens(heard) < 60
    assert end.units["tokens_out"] >= 10


def test_who_reads_slowly_gets_all_of_it(server: Answering) -> None:
    key = make_key(server.store, "Sofie")
    sock = _open(server, key.secret, say="lamp " * 300, pause=0)
    heard = b""
    while not heard.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"):
        heard += sock.recv(20_000)
        time.sleep(0.01)
        assert len(heard) < 10_000_000
    sock.close()
    end = _end(server, key.record.customer)
    assert (end.kind, end.outcome) == ("settle", "ok")
    assert end.units["tokens_out"] == _tokens(heard) == 750
