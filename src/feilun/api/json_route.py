"""Bodies of the routes behind the router, read as the middleware reads those of charged calls."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from fastapi import Request, Response
from fastapi.routing import APIRoute

from feilun.api.body import again, decode, plain

__all__ = ["JsonRoute"]

_decoder = msgspec.json.Decoder(Any)


class JsonRoute(APIRoute):
    """A route whose body is JSON whatever its content type says; FastAPI reads that of a missing
    one as bytes, takes UTF-16 and NaN, and stumbles over a byte order mark."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, given a body that has been looked at."""
        usual = super().get_route_handler()
        if self.body_field is None:
            return usual

        async def handle(request: Request) -> Response:
            body = await request.body()
            decode(_decoder, body)
            headers = [one for one in request.scope["headers"] if one[0] != b"content-type"]
            headers.append((b"content-type", b"application/json"))
            scope = {**request.scope, "headers": headers}
            return await usual(Request(scope, again(plain(body), request.receive)))

        return handle
