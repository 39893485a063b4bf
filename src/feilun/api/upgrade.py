"""Requests that offer another protocol are taken as if they did not.

Java's client offers HTTP/2 with its first request on every connection without TLS
(``Upgrade: h2c``). A server may ignore the offer (RFC 9110, section 7.8); the parser, however,
stops behind the headers and takes the body for bytes of the other protocol. So the head is read a
second time without the offer.
"""

from __future__ import annotations

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["OffersIgnored"]

_OFFER = frozenset({b"upgrade", b"http2-settings"})


class OffersIgnored(HttpToolsProtocol):
    """One connection, always of HTTP/1.1."""

    def data_received(self, data: bytes) -> None:
        """Bytes of a request, or of several."""
        self._unset_keepalive_if_required()
        rest = data
        while rest:
            try:
                self.parser.feed_data(rest)
                return
            except httptools.HttpParserUpgrade as stopped:
                if not self._offers:  # a tunnel, which has been answered without
                    return
                rest = self._head_again() + rest[stopped.args[0] :]
            except httptools.HttpParserError:
                self.send_400_response("Invalid HTTP request received.")
                return

    @property
    def _offers(self) -> bool:
        """Whether the request that is read now offers another protocol; CONNECT asks for one."""
        return (
            self.parser.should_upgrade()
            and self.parser.get_method() != b"CONNECT"
            and any(name == b"upgrade" for name, _ in self.headers)
        )

    def _head_again(self) -> bytes:
        """The head without the offer, for a new parser."""
        lines = [b"%b %b HTTP/%b" % (
            self.parser.get_method(), self.url, self.parser.get_http_version().encode()
        )]  # fmt: skip
        for name, value in self.headers:
            if name == b"connection":
                tokens = [token.strip() for token in value.split(b",")]
                value = b", ".join(token for token in tokens if token.lower() not in _OFFER)
            if name not in _OFFER and (value or name != b"connection"):
                lines.append(b"%b: %b" % (name, value.translate(None, b"\r\n")))
        self.parser = httptools.HttpRequestParser(self)
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def on_headers_complete(self) -> None:
        """The request begins, unless its head will be read again."""
        if not self._offers:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The end of the body, unless only the head has been read."""
        if not self._offers:
            super().on_message_complete()
