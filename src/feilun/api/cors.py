"""Calls by pages in a browser (CORS): off, but for the origins that the operator names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.middleware.cors import CORSMiddleware

from feilun.api.security import HEADERS

__all__ = ["open_to"]

_PATHS = ("/v1/", "/v2/")
_METHODS = ("GET", "HEAD", "POST")
_TOLD = (
    "Idempotency-Replayed",
    "Inference-Header-Content-Length",
    "Retry-After",
    "X-Feilun-Budget-Warning",
    "X-RateLimit-Limit-Requests",
    "X-RateLimit-Remaining-Requests",
    "X-RateLimit-Reset-Requests",
    "X-Request-Id",
    "X-Should-Retry",
)
_SECONDS = 600

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Any, Send], Awaitable[None]]


def open_to(origins: tuple[str, ...], app: App) -> App:
    """`app`, whose ``/v1`` and ``/v2`` pages of these origins may call. Credentials that a browser
    keeps (cookies) are not allowed: a key travels in a header. The administration stays closed."""
    if not origins:
        return app
    outer = CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=_METHODS,
        allow_headers=["*"],  # clients send many of their own, and none of them opens anything
        expose_headers=_TOLD,
        max_age=_SECONDS,
    )

    async def answer(scope: Any, receive: Any, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(_PATHS):
            await app(scope, receive, send)
            return

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                known = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(header for header in HEADERS if header[0] not in known),
                ]
            await send(message)

        await outer(scope, receive, dressed)

    return answer
