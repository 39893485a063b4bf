"""Servers on a socket that misbehave as they are told, for the tests of the client."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from feilun.client import AsyncClient, Client

GOOD = {"id": "pred_1", "model": "reviews@1", "outputs": [{"label": "good", "score": 0.9}]}


class Request:
    """What came: the line, the headers, the body."""

    def __init__(self, line: str, headers: dict[str, str], body: bytes) -> None:
        self.line = line
        self.headers = headers
        self.body = body

    @property
    def key(self) -> str:
        return self.headers.get("idempotency-key", "")


Turn = Callable[[socket.socket], None]


class Misbehaving:
    """A server on a socket that does, for each request in turn, what it was told."""

    def __init__(self, turns: list[Turn], port: int = 0) -> None:
        self._turns = list(turns)
        self._lock = threading.Lock()
        self.requests: list[Request] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._closing = False
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with ThreadPoolExecutor(16) as pool:
            while True:
                connection, _ = self._listener.accept()
                if self._closing:
                    connection.close()
                    return
                pool.submit(self._answer, connection)

    def _answer(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            line = stream.readline().decode().strip()
            headers: dict[str, str] = {}
            while (raw := stream.readline().decode().strip()) != "":
                name, _, value = raw.partition(":")
                headers[name.lower()] = value.strip()
            body = stream.read(int(headers.get("content-length", "0")))
            with self._lock:
                self.requests.append(Request(line, headers, body))
                turn = self._turns.pop(0) if self._turns else answers(GOOD)
            turn(connection)

    def close(self) -> None:
        self._closing = True
        socket.create_connection(self._listener.getsockname()).close()
        self._thread.join(20)
        self._listener.close()
        assert not self._thread.is_alive()


def answers(body: Any, status: int = 200, **headers: str) -> Turn:
    """Answers with JSON, or with bytes as they are."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    def turn(connection: socket.socket) -> None:
        lines = [f"HTTP/1.1 {status} Said", f"content-length: {len(content)}", "connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + content)

    return turn


def refuses(status: int, code: str = "x.y", **headers: str) -> Turn:
    error = {"message": "no", "type": "t", "code": code, "param": None, "request_id": "req_1"}
    return answers({"error": error}, status, **headers)


def drops(connection: socket.socket) -> None:
    """Reads the request and resets the connection."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def breaks_off(connection: socket.socket) -> None:
    """Half an answer."""
    connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"id": "pred')


def hangs(seconds: float) -> Turn:
    """Says nothing for a while."""
    return lambda connection: time.sleep(seconds)


def drips(connection: socket.socket) -> None:
    """A byte now and then, of an answer that would take for ever."""
    try:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n")
        for _ in range(100):
            connection.sendall(b" ")
            time.sleep(0.05)
    except OSError:
        return


@contextmanager
def misbehaving(*turns: Turn) -> Iterator[Misbehaving]:
    server = Misbehaving(list(turns))
    try:
        yield server
    finally:
        server.close()


def both(url: str, ask: str, *args: Any, **options: Any) -> list[Callable[[], Any]]:
    """The same call by the synchronous and by the asynchronous client."""
    wanted = options.pop("wanted", {})

    def plain() -> Any:
        with Client(url, "fl_x", **options) as api:
            return getattr(api, ask)(*args, **wanted)

    def later() -> Any:
        async def main() -> Any:
            async with AsyncClient(url, "fl_x", **options) as api:
                return await getattr(api, ask)(*args, **wanted)

        return asyncio.run(main())

    return [plain, later]
