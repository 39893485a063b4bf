"""The head of an answer leaves together with its body.

uvicorn writes them one after the other, and the event loop sends each write at once: two packets,
each of which wakes the client, and on the same machine takes the processor from the server.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

__all__ = ["Joined"]


class Joined:
    """The transport of one request: holds the head until the next write, `flush` or `close`."""

    __slots__ = ("_cycle", "_head", "_transport")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle: RequestResponseCycle | None = cycle
        self._transport: asyncio.Transport = cycle.transport
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Keeps the first piece of an answer, sends the others. What comes before an answer (100
        Continue) is sent at once."""
        if self._head:
            data, self._head = self._head + data, b""
        elif self._cycle is not None and self._cycle.response_started:
            self._head, self._cycle = data, None
            return
        self._transport.write(data)

    def flush(self) -> None:
        """Sends what is held."""
        if self._head:
            self.write(b"")

    def close(self) -> None:
        """Sends what is held, then ends the connection."""
        self.flush()
        self._transport.close()
