"""What stands before every page: headers that browsers obey, and calls that another site forged.

Forged requests are told by ``Sec-Fetch-Site``, which browsers set and pages cannot, else by
``Origin``: https://words.filippo.io/csrf. Names that a request may call this console by are listed,
so that a foreign name that resolves to this machine (DNS rebinding) reads nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from feilun.messages import t

__all__ = ["COOKIE", "DOCUMENT_POLICY", "Guard"]

COOKIE = "feilun_console"

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]", "::1")
_SAFE = ("GET", "HEAD", "OPTIONS")
DOCUMENT_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
)
"""What a report may do that a page shows in a frame: nothing but look as it does."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'self'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """ASGI middleware; `app` is what it guards, `hosts` the names beside those of loopback."""

    def __init__(self, app: ASGIApp, hosts: Sequence[str] = ()) -> None:
        self.app = app
        self._hosts = {*_LOOPBACK, *(host.lower() for host in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refused = self._refused(scope["method"], headers)
        if refused is not None:
            await PlainTextResponse(refused, 403)(scope, receive, send)
            return

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                out = MutableHeaders(raw=message["headers"])
                for name, value in _HEADERS.items():
                    out.setdefault(name, value)
                message["headers"] = out.raw
            await send(message)

        await self.app(scope, receive, sealed)

    def _refused(self, method: str, headers: Headers) -> str | None:
        host = headers.get("host", "")
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        if name.lower() not in self._hosts:
            return t("console.foreign_host", host=host[:100])
        if method in _SAFE:
            return None
        site = headers.get("sec-fetch-site")
        if site is not None:
            return None if site in ("same-origin", "none") else t("console.forged")
        origin = headers.get("origin")
        if origin is None:  # no browser
            return None
        return None if urlsplit(origin).netloc == host else t("console.forged")
