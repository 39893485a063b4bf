"""``POST /v1/search`` over a version's catalogue, and ``POST /v1/rerank`` of documents that the
caller brings, in the shape that Jina's and Cohere's services share.

Both are calls with one input, the query. What a call read is told in ``usage`` and charged: tokens
of the query and of the documents that it brought, and how many these are.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from feilun.api.body import Receive, decode
from feilun.api.call import Answer, Answered, Call, answer, usage_counts
from feilun.api.context import Api
from feilun.api.encoding import encode
from feilun.api.opening import find_model, opened
from feilun.api.routes import ApiOf, bearer_scheme
from feilun.api.trace import Trace
from feilun.errors import InvalidData, PayloadTooLarge, UsageError
from feilun.serving.limits import MAX_FOUND, MAX_RERANKED, MAX_TEXT
from feilun.serving.served import Served
from feilun.types import Item

__all__ = ["rerank", "router", "search"]

router = APIRouter()

_LONG = 32 * 1024
"""Bytes of a body from which checking its documents would hold up the event loop."""


class Document(msgspec.Struct, forbid_unknown_fields=True):
    """A document as a mapping."""

    text: str


class RerankBody(msgspec.Struct, forbid_unknown_fields=True):
    """What ``POST /v1/rerank`` takes."""

    query: str
    documents: list[str | Document]
    model: str | None = None
    top_n: int | None = None
    return_documents: bool = False


class SearchBody(msgspec.Struct, forbid_unknown_fields=True):
    """What ``POST /v1/search`` takes."""

    query: str
    model: str | None = None
    k: int = 10


_reranked = msgspec.json.Decoder(RerankBody)
_searched = msgspec.json.Decoder(SearchBody)


async def rerank(
    api: Api, headers: Mapping[bytes, bytes], receive: Receive, trace: Trace
) -> Answer:
    """``POST /v1/rerank``."""
    key, raw = await opened(api, headers, receive, trace)
    body = decode(_reranked, raw)
    endpoint, served = find_model(api, key, body.model, trace)
    _able(served)
    with served.enter():
        if len(raw) > _LONG:
            documents = await asyncio.to_thread(_documents, body, served)
        else:
            documents = _documents(body, served)
        options = {"documents": documents}
        query = _query(served, body.query)
        call = Call(key, endpoint, served, query, trace=trace, options=options, repeats=True)
        return await answer(api, call, lambda found: _reranking(served, body, documents, found))


async def search(
    api: Api, headers: Mapping[bytes, bytes], receive: Receive, trace: Trace
) -> Answer:
    """``POST /v1/search``."""
    key, raw = await opened(api, headers, receive, trace)
    body = decode(_searched, raw)
    endpoint, served = find_model(api, key, body.model, trace)
    _able(served)
    if not 1 <= body.k <= MAX_FOUND:
        raise InvalidData("api.bad_count", name="k", given=body.k, limit=MAX_FOUND, param="k")
    with served.enter():
        options = {"k": body.k}
        call = Call(key, endpoint, served, _query(served, body.query), trace=trace, options=options)
        return await answer(api, call, lambda found: _finding(served, found))


def _able(served: Served) -> None:
    if not served.searches:
        raise UsageError("api.no_search", version=served.id, param="model")


def _query(served: Served, query: str) -> list[Item]:
    if not query.strip():
        raise InvalidData("api.empty_query", param="query")
    if len(query) > MAX_TEXT:
        raise PayloadTooLarge("api.text_too_long", given=len(query), limit=MAX_TEXT, param="query")
    return served.check([query], "query")


def _documents(body: RerankBody, served: Served) -> list[str]:
    """The texts of the documents. Raises `InvalidData` for none at all and for an empty one,
    `PayloadTooLarge` beyond the limits."""
    given = [one if isinstance(one, str) else one.text for one in body.documents]
    if body.top_n is not None and body.top_n < 1:
        raise InvalidData(
            "api.bad_count", name="top_n", given=body.top_n, limit=MAX_RERANKED, param="top_n"
        )
    if not given:
        raise InvalidData("api.no_documents", param="documents")
    if len(given) > MAX_RERANKED:
        raise PayloadTooLarge(
            "api.too_many_documents", given=len(given), limit=MAX_RERANKED, param="documents"
        )
    for index, text in enumerate(given):
        where = f"documents[{index}]"
        if not text.strip():
            raise InvalidData("api.empty_document", param=where)
        if len(text) > MAX_TEXT:
            raise PayloadTooLarge("api.text_too_long", given=len(text), limit=MAX_TEXT, param=where)
    return [str(text) for text in served.check(given, "documents")]


def _reranking(
    served: Served, body: RerankBody, documents: Sequence[str], answered: Answered
) -> bytes:
    # Equal documents have equal scores and stand in the caller's order.
    places: defaultdict[str, deque[int]] = defaultdict(deque)
    for place, text in enumerate(documents):
        places[text].append(place)
    results: list[dict[str, Any]] = []
    for one in _ranked(served, answered)[: body.top_n]:
        found = {"index": places[one["item"]].popleft(), "relevance_score": one["score"]}
        if body.return_documents:
            found["document"] = {"text": one["item"]}
        results.append(found)
    usage = {**usage_counts(answered.usage), "total_tokens": answered.usage.tokens}
    return encode({"id": answered.call_id, "model": served.id, "results": results, "usage": usage})


def _finding(served: Served, answered: Answered) -> bytes:
    results = [
        {"document": {"text": one["item"]}, "relevance_score": one["score"]}
        for one in _ranked(served, answered)
    ]
    usage = {**usage_counts(answered.usage), "total_tokens": answered.usage.tokens}
    return encode(
        {
            "id": answered.call_id,
            "object": "list",
            "model": served.id,
            "results": results,
            "usage": usage,
        }
    )


def _ranked(served: Served, answered: Answered) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = served.family.public(answered.outputs[0], False)["items"]
    return found


@router.post("/v1/rerank", tags=["models"])
async def post_rerank(
    request: Request, api: ApiOf, _: Annotated[Any, Depends(bearer_scheme)]
) -> Response:
    """Puts the caller's documents in the order in which they answer a query."""
    # The middleware answers this path before the router sees it; here it is for tests and
    # documentation.
    headers = dict(request.scope["headers"])
    answer = await rerank(api, headers, request.receive, Trace())
    return Response(answer.body, media_type="application/json")


@router.post("/v1/search", tags=["models"])
async def post_search(
    request: Request, api: ApiOf, _: Annotated[Any, Depends(bearer_scheme)]
) -> Response:
    """The documents of a version's catalogue that answer a query best."""
    headers = dict(request.scope["headers"])
    answer = await search(api, headers, request.receive, Trace())
    return Response(answer.body, media_type="application/json")
