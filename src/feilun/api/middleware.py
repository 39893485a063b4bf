"""The outermost layer: every request gets an id, every answer the same headers, every failure the
one error shape. Calls that are charged (`feilun.api.hot`) are answered here, past the router; the
rest goes to FastAPI.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any

from feilun.api.answer import EVENTS, Answer, Streamed
from feilun.api.body import Disconnected, Receive, again, read_body
from feilun.api.context import Api
from feilun.api.cors import open_to
from feilun.api.errors import error_body, error_headers, language_of
from feilun.api.hot import find
from feilun.api.idempotency import once
from feilun.api.passing import let_in, note_caller
from feilun.api.security import HEADERS, STRICT, requested
from feilun.api.trace import Trace, outcome_of
from feilun.errors import Overloaded
from feilun.serving.limits import MAX_BODY
from feilun.store.ids import new_id

__all__ = ["Middleware", "Send"]

log = logging.getLogger("feilun.api")

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MANAGEMENT_BODY = 1024 * 1024
"""Bytes of a body that no route takes, but those for predictions of callers who may ask."""

_UNBUFFERED = (b"x-accel-buffering", b"no")
"""Asks proxies to pass each piece on."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class Middleware:
    """An ASGI app around `inner`. Without `charges` all paths are left to it."""

    def __init__(self, api: Api, inner: App, *, charges: bool = True) -> None:
        self.api = api
        self._inner = inner
        self._charges = charges
        self._headers = (*HEADERS, STRICT) if api.security.tls else HEADERS
        self._served = open_to(api.security.origins if charges else (), self._serve)
        self._json = ((b"content-type", b"application/json"), *self._headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
        else:
            await self._served(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = perf_counter()
        requested(scope)
        metrics, gate = self.api.metrics, self.api.models.gate
        headers: dict[bytes, bytes] = dict(scope["headers"])
        note_caller(scope, headers)
        given = headers.get(b"x-request-id", b"")
        request_id = given.decode() if _REQUEST_ID.fullmatch(given) else new_id("req_")
        metrics.enter()
        route, status, held, trace = "", 499, 0, None
        try:
            try:
                held = let_in(gate, scope["path"], headers)
            except Overloaded as error:
                route, status = "refused", error.status
                await self._turn_away(scope, headers, request_id, send, error)
                return
            hot = find(scope["method"], scope["path"]) if self._charges else None
            if hot is not None:
                route, handler = hot
                trace = Trace(start)
                target = (scope["method"], scope["path"], handler)
                call = partial(once, self.api, target, headers, receive, trace)
                status = await self._answer(scope, call, headers, request_id, send)
                trace.lap("write")
            else:
                route, status = await self._pass_on(scope, headers, request_id, receive, send)
        except Disconnected:
            log.debug("request %s: the client went away", request_id)
        finally:
            if held:
                gate.leave(held)
            metrics.leave()
            if trace is not None:
                metrics.call(trace, outcome_of(status))
            metrics.request(route, status, perf_counter() - start)

    async def _turn_away(
        self,
        scope: Scope,
        headers: dict[bytes, bytes],
        request_id: str,
        send: Send,
        error: Overloaded,
    ) -> None:
        """Refuses a request before its body is read, and ends the connection: the body would have
        to be read first, and a server that stops takes no further one."""
        status, body = error_body(error, request_id, language_of(headers), scope["path"])
        more = [*error_headers(error), (b"connection", b"close")]
        await self._send(send, status, body, request_id, more)

    async def _answer(
        self,
        scope: Scope,
        call: Callable[[], Awaitable[Answer | Streamed]],
        headers: dict[bytes, bytes],
        request_id: str,
        send: Send,
    ) -> int:
        more: Sequence[tuple[bytes, bytes]]
        try:
            answer = await call()
            if isinstance(answer, Streamed):
                return await self._stream(scope, answer, headers, request_id, send)
            status, body, more = 200, answer.body, answer.headers
        except Disconnected:
            raise
        except Exception as error:  # noqa: BLE001  (told to the caller, and to the log)
            status, body = error_body(error, request_id, language_of(headers), scope["path"])
            more = error_headers(error)
        await self._send(send, status, body, request_id, more)
        return status

    async def _stream(
        self,
        scope: Scope,
        answer: Streamed,
        headers: dict[bytes, bytes],
        request_id: str,
        send: Send,
    ) -> int:
        """Writes an answer in pieces. An error before the first is raised; a later one is the last
        piece, in the one error shape."""
        begun = False

        async def write(part: bytes) -> None:
            nonlocal begun
            if not begun:
                begun = True
                await send({"type": "http.response.start", "status": 200, "headers": head})
            await send({"type": "http.response.body", "body": part, "more_body": True})

        head = [*self._headers, EVENTS, _UNBUFFERED, (b"x-request-id", request_id.encode())]
        try:
            await answer.run(write)
        except Disconnected:
            raise
        except Exception as error:
            if not begun:
                raise
            _, body = error_body(error, request_id, language_of(headers), scope["path"])
            await write(b"data: " + body + b"\n\n")
        finally:
            for ended in answer.ended:
                ended()
        await send({"type": "http.response.body", "body": b""})
        return 200

    async def _pass_on(
        self,
        scope: Scope,
        headers: dict[bytes, bytes],
        request_id: str,
        receive: Receive,
        send: Send,
    ) -> tuple[str, int]:
        """Through the router, with the body read within its limit first."""
        language = language_of(headers)
        if scope["method"] == "HEAD":  # as GET; the protocol leaves the body out
            scope = {**scope, "method": "GET"}
        state = scope.setdefault("state", {})
        state["request_id"], state["language"] = request_id, language
        seen = 0

        async def finish(message: MutableMapping[str, Any]) -> None:
            nonlocal seen
            if message["type"] == "http.response.start":
                seen = message["status"]
                known = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(header for header in self._headers if header[0] not in known),
                    (b"x-request-id", request_id.encode()),
                ]
            await send(message)

        try:
            trusted = scope["path"].startswith("/internal/") and self.api.is_internal(headers)
            body = await read_body(receive, headers, MAX_BODY if trusted else MANAGEMENT_BODY)
            await self._inner(scope, again(body, receive), finish)
        except Disconnected:
            raise
        except Exception as error:  # noqa: BLE001
            if not seen:
                seen, text = error_body(error, request_id, language, scope["path"])
                await self._send(send, seen, text, request_id, error_headers(error))
            # else: FastAPI's handler has answered, and raised it again for servers to log
        route = scope.get("route")
        return getattr(route, "path", "other"), seen

    async def _send(
        self,
        send: Send,
        status: int,
        body: bytes,
        request_id: str,
        more: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        given = {name for name, _ in more}
        own = self._json if not given else [one for one in self._json if one[0] not in given]
        headers = [
            *own,
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", request_id.encode()),
            *more,
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
