"""Which calls the middleware answers itself, past the router: those that are charged.

The router knows them too, for the OpenAPI document and for the methods that they do not take.
"""

from __future__ import annotations

import re
from functools import partial

from feilun.api.chat import complete
from feilun.api.completions import continue_
from feilun.api.idempotency import Handler
from feilun.api.inference_protocol import infer
from feilun.api.openai import embed
from feilun.api.predict import predict
from feilun.api.responses import respond
from feilun.api.search import rerank, search

__all__ = ["Handler", "find"]

_PATHS: dict[str, Handler] = {
    "/v1/predict": predict,
    "/v1/embeddings": embed,
    "/v1/rerank": rerank,
    "/v1/search": search,
    "/v1/chat/completions": complete,
    "/v1/completions": continue_,
    "/v1/responses": respond,
}
_INFER = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")


def find(method: str, path: str) -> tuple[str, Handler] | None:
    """The route's template, and what answers; None where the router has to look."""
    if method != "POST":
        return None
    handler = _PATHS.get(path)
    if handler is not None:
        return path, handler
    found = _INFER.fullmatch(path)
    if found is None:
        return None
    model, version = found.groups()
    middle = "" if version is None else "/versions/{version}"
    template = f"/v2/models/{{model}}{middle}/infer"
    return template, partial(infer, model=model, version=version)
