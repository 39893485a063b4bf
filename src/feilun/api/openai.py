"""``POST /v1/embeddings`` as OpenAI's clients speak it: vectors of texts from a version's encoder.

A vector is the mean over the tokens of the encoder's last layer, of length one. `dimensions` keeps
its first numbers, and the length becomes one again.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from fastapi import APIRouter, Depends, Request, Response

from feilun.api.body import Receive, decode
from feilun.api.call import Answer, Answered, Call, answer
from feilun.api.context import Api
from feilun.api.encoding import encode
from feilun.api.opening import find_model, opened
from feilun.api.routes import ApiOf, bearer_scheme
from feilun.api.trace import Trace
from feilun.errors import InvalidData, PayloadTooLarge, UsageError
from feilun.serving.limits import MAX_TEXT
from feilun.serving.served import Served
from feilun.types import Item

__all__ = ["embed", "router"]

router = APIRouter()

_LONG = 32 * 1024
"""Bytes of a body from which checking its inputs would hold up the event loop."""


class EmbeddingsBody(msgspec.Struct, forbid_unknown_fields=True):
    """What ``POST /v1/embeddings`` takes. `user` is taken and not kept."""

    input: str | list[str | int | list[int]]
    model: str | None = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    user: str | None = None


_decoder = msgspec.json.Decoder(EmbeddingsBody)


async def embed(api: Api, headers: Mapping[bytes, bytes], receive: Receive, trace: Trace) -> Answer:
    """``POST /v1/embeddings``."""
    key, raw = await opened(api, headers, receive, trace)
    body = decode(_decoder, raw)
    endpoint, served = find_model(api, key, body.model, trace)
    if not served.gives_vectors:
        raise UsageError("api.no_vectors", version=served.id, param="model")
    with served.enter():
        items = await _prepare(served, raw, body)
        call = Call(key, endpoint, served, items, vectors=True, trace=trace)
        return await answer(api, call, lambda answered: _render(served, body, answered))


async def _prepare(served: Served, raw: bytes, body: EmbeddingsBody) -> list[Item]:
    def work() -> list[Item]:
        return served.check(_texts(body, served.serving.max_inputs), "input")

    return await asyncio.to_thread(work) if len(raw) > _LONG else work()


def _texts(body: EmbeddingsBody, most: int) -> list[Item]:
    """The texts. Raises `InvalidData` for none at all and for lists of tokens, which only the
    tokenizer of another model can have made; `PayloadTooLarge` beyond the limits."""
    if body.dimensions is not None and body.dimensions < 1:
        raise InvalidData("api.bad_dimensions", given=body.dimensions, param="dimensions")
    given = [body.input] if isinstance(body.input, str) else body.input
    if not given:
        raise InvalidData("api.no_inputs", param="input")
    if len(given) > most and isinstance(given[0], str):
        raise PayloadTooLarge("api.too_many_inputs", given=len(given), limit=most, param="input")
    texts: list[Item] = []
    for index, text in enumerate(given):
        where = f"input[{index}]"
        if not isinstance(text, str):
            raise InvalidData("api.token_input", param=where)
        if len(text) > MAX_TEXT:
            raise PayloadTooLarge("api.text_too_long", given=len(text), limit=MAX_TEXT, param=where)
        texts.append(text)
    return texts


def _render(served: Served, body: EmbeddingsBody, answered: Answered) -> bytes:
    vectors = np.stack([output["vector"] for output in answered.outputs])
    width = vectors.shape[1]
    if body.dimensions is not None:
        if body.dimensions > width:
            raise InvalidData(
                "api.too_many_dimensions", given=body.dimensions, limit=width, param="dimensions"
            )
        vectors = vectors[:, : body.dimensions]
    data = [
        {"object": "embedding", "index": index, "embedding": vector}
        for index, vector in enumerate(_on_wire(unit(vectors), body.encoding_format))
    ]
    tokens = answered.usage.tokens
    return encode(
        {
            "id": answered.call_id,
            "object": "list",
            "data": data,
            "model": served.id,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )


def unit(vectors: np.ndarray) -> np.ndarray:
    """Float32 (n, width), every row of length one; a row of nothing stays nothing."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: np.ndarray = (vectors / np.where(length, length, 1.0)).astype(np.float32)
    return scaled


def _on_wire(vectors: np.ndarray, form: str) -> list[Any]:
    """Base64 of little-endian float32, or numbers to eight decimals, finer than float32 is."""
    if form == "base64":
        return [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in vectors]
    rounded: list[Any] = vectors.astype(np.float64).round(8).tolist()
    return rounded


@router.post("/v1/embeddings", tags=["models"])
async def post_embeddings(
    request: Request, api: ApiOf, _: Annotated[Any, Depends(bearer_scheme)]
) -> Response:
    """Vectors of one text or several, in the shape of OpenAI's embeddings."""
    # The middleware answers this path before the router sees it; here it is for tests and
    # documentation.
    headers = dict(request.scope["headers"])
    answer = await embed(api, headers, request.receive, Trace())
    return Response(answer.body, media_type="application/json")
