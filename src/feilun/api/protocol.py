"""HTTP/1.1 as uvicorn speaks it, but what cannot be parsed gets the one error shape, and headers
have a limit."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from feilun.api.errors import BadRequest, error_body
from feilun.store.ids import new_id

__all__ = ["MAX_HEADERS", "Protocol"]

MAX_HEADERS = 64 * 1024
"""Bytes of the request line and all headers of one request."""


class Protocol(HttpToolsProtocol):
    """One connection."""

    _head = 0

    def on_message_begin(self) -> None:
        """A new request on this connection."""
        self._head = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A piece of the request line."""
        self._count(len(url))
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > MAX_HEADERS:  # the parser turns it into an error of its own
            raise ValueError("headers too large")

    def send_400_response(self, msg: str) -> None:
        """Refuses a request that cannot be parsed, and ends the connection."""
        request_id = new_id("req_")
        error = BadRequest("api.bad_http")
        if self._head > MAX_HEADERS:
            error = BadRequest("api.headers_too_large", limit=MAX_HEADERS)
        _, body = error_body(error, request_id)
        lines: list[Any] = [
            b"HTTP/1.1 400 Bad Request",
            b"content-type: application/json",
            b"content-length: %d" % len(body),
            b"x-request-id: " + request_id.encode(),
            b"connection: close",
        ]
        self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        self.transport.close()
