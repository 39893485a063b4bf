"""A closed loop of HTTP calls, for machines without wrk.

    KEY=fl_... TEXTS=texts.jsonl python benchmarks/load.py ADDRESS CLIENTS SECONDS

Each connection sends its next call after its answer. Prints one JSON line.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from pathlib import Path

import httptools
import uvloop


class Connection(asyncio.Protocol):
    """One client: writes a call, waits for the end of its answer, writes the next."""

    def __init__(self, head: bytes, texts: list[bytes], until: float, taken: list[float]) -> None:
        self._head = head
        self._texts = texts
        self._until = until
        self._taken = taken
        self.failed = 0
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._next()

    def _next(self) -> None:
        if (now := time.perf_counter()) >= self._until:
            self._transport.close()
            return
        self._start = now
        self._parser = httptools.HttpResponseParser(self)
        body = b'{"inputs":' + random.choice(self._texts) + b"}"
        call = self._head + b"content-length: %d\r\n\r\n" % len(body) + body
        self._transport.write(call)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() == 200:
            self._taken.append(time.perf_counter() - self._start)
        else:
            self.failed += 1
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        self.failed += error is not None
        if not self.over.done():
            self.over.set_result(None)


async def drive(address: str, clients: int, seconds: float) -> dict[str, float]:
    host, _, port = address.removeprefix("http://").partition(":")
    texts = Path(os.environ["TEXTS"]).read_bytes().splitlines()
    key = os.environ["KEY"]
    head = f"POST /v1/predict HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
    if key:
        head += f"authorization: Bearer {key}\r\n"
    taken: list[float] = []
    start = time.perf_counter()
    connections = []
    for _ in range(clients):
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: Connection(head.encode(), texts, start + seconds, taken), host, int(port)
        )
        connections.append(connection)
    await asyncio.gather(*(connection.over for connection in connections))
    wall = time.perf_counter() - start
    taken.sort()
    median = taken[len(taken) // 2] * 1e3 if taken else 0.0
    late = taken[int(len(taken) * 0.99)] * 1e3 if taken else 0.0
    return {
        "calls": len(taken),
        "failed": sum(connection.failed for connection in connections),
        "per_second": len(taken) / wall,
        "p50_ms": median,
        "p99_ms": late,
    }


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(drive(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))))
