"""Which calls the door answers itself, past the router: those that are charged.

The router knows them too, for the OpenAPI document and for the methods that they do not take.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from feilun.api.body import Receive
from feilun.api.call import Answer
from feilun.api.context import Api
from feilun.api.openai import embed
from feilun.api.predict import predict
from feilun.api.trace import Trace

__all__ = ["Handler", "find"]

Handler = Callable[[Api, Mapping[bytes, bytes], Receive, Trace], Awaitable[Answer]]

_PATHS: dict[str, Handler] = {"/v1/predict": predict, "/v1/embeddings": embed}


def find(method: str, path: str) -> tuple[str, Handler] | None:
    """The route's template, and what answers; None where the router has to look."""
    if method != "POST":
        return None
    handler = _PATHS.get(path)
    return None if handler is None else (path, handler)
