"""HTTP by hand, over a socket: what a client library would never send."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

__all__ = ["Reply", "connect", "read_all", "reply_to", "talk"]


@dataclass(frozen=True)
class Reply:
    """One answer: its status, its headers by lower-case name, its body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@contextmanager
def connect(
    address: str, timeout: float = 60.0, source: str = "", buffer: int = 0
) -> Iterator[socket.socket]:
    """A connection to a server's base URL; `source` is this end's address, `buffer` the bytes that
    this end takes without reading."""
    parts = urlsplit(address)
    assert parts.hostname
    assert parts.port
    with socket.socket() as sock:
        if buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.settimeout(timeout)
        if source:
            sock.bind((source, 0))
        sock.connect((parts.hostname, parts.port))
        if parts.scheme == "https":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            with context.wrap_socket(sock) as secure:
                yield secure
        else:
            yield sock


def read_all(sock: socket.socket) -> bytes:
    """Everything until the other end closes; a reset counts as an end."""
    parts = []
    try:
        while piece := sock.recv(65536):
            parts.append(piece)
    except (ConnectionResetError, BrokenPipeError):
        pass
    return b"".join(parts)


def reply_to(raw: bytes) -> Reply:
    """The first answer in `raw`. Raises `ValueError` where there is none."""
    head, end, body = raw.partition(b"\r\n\r\n")
    if not end:
        raise ValueError(f"no answer: {raw[:200]!r}")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    length = headers.get("content-length")
    return Reply(int(first.split()[1]), headers, body[: int(length)] if length else body)


def talk(address: str, raw: bytes, timeout: float = 60.0) -> Reply:
    """Sends `raw`, and the first answer until the server closes the connection or is silent."""
    with connect(address, timeout) as sock:
        with suppress(BrokenPipeError, ConnectionResetError):
            sock.sendall(raw)
        answer = b""
        while True:
            try:
                piece = sock.recv(65536)
            except (TimeoutError, ConnectionResetError):
                break
            if not piece:
                break
            answer += piece
            head, end, body = answer.partition(b"\r\n\r\n")
            length = [
                int(line[15:])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            ]
            if end and length and len(body) >= length[0]:
                break
    return reply_to(answer)
