"""HTTP client for callers of a feilun API. It needs httpx and nothing of the rest of feilun::

    from feilun.client import Client

    with Client("http://127.0.0.1:8000", key="fl_...") as api:
        answer = api.predict(["works well", "arrived broken"], model="reviews")
        api.feedback(answer.id, "bad", index=1)  # or, of a written answer, rejected="wrong_fact"
        found = api.search("How do I get my money back?", model="faq")
        for piece in api.chat_stream("Where is my parcel?", model="support"):
            print(piece.text, end="", flush=True)

A call that fails on the way is tried again, under one idempotency key: the server answers and
charges it once. What the server refuses for good is raised at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from time import monotonic, sleep
from typing import Any, Literal, Self
from urllib.parse import quote

from feilun.client import _wire as wire
from feilun.client._wire import (
    Answer,
    ApiError,
    Embeddings,
    Input,
    Inputs,
    Label,
    Match,
    Messages,
    Piece,
    Ranking,
    RateLimitError,
    Reply,
    Unreachable,
    encode_item,
)

__all__ = [
    "Answer",
    "ApiError",
    "AsyncClient",
    "Client",
    "Embeddings",
    "Match",
    "Piece",
    "Ranking",
    "RateLimitError",
    "Reply",
    "Unreachable",
    "encode_item",
]


class _Base:
    """What both clients share: how a call is put on the wire and how an answer is read."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        key: str = "",
        *,
        lang: Literal["en", "zh"] = "en",
        timeout: float = 60.0,
        retries: int = 4,
        patience: float = 120.0,
    ) -> None:
        """`url` is the address of the server, without ``/v1``; `key` an API key
        (``fl_...``); `lang` the language of error messages; `timeout` seconds that one attempt may
        take. A call is tried `retries` times more at most, within `patience` seconds in all."""
        self.url = url.rstrip("/")
        self._lang = lang
        self._timeout, self._retries, self._seconds = timeout, retries, patience
        headers = {"authorization": f"Bearer {key}", "accept-language": lang}
        self._options: dict[str, Any] = {"base_url": self.url, "headers": headers}

    def _unreachable(self, error: Exception) -> Unreachable:
        reason = str(error) or type(error).__name__
        text = wire.UNREACHABLE[self._lang].format(url=self.url, reason=reason)
        told = Unreachable(text, code="unreachable")
        told.__cause__ = error
        return told


class Client(_Base):
    """A connection to one server; may be shared by threads. Close it, or use it as a context."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        import httpx

        self._http = httpx.Client(**self._options)

    def predict(
        self,
        inputs: Inputs,
        *,
        model: str | None = None,
        all_scores: bool = False,
        explain: bool = False,
        idempotency_key: str | None = None,
    ) -> Answer:
        """Asks `model` (``reviews`` or ``reviews@3``; may be left out where there is one) about one
        input or several. `all_scores` adds ``scores``, the score of every label, to each output.
        `idempotency_key` is made for each call; give your own where the call must survive your
        process too.

        Raises `ApiError`: a wrong key (401), an input that cannot be answered (422), ...
        """
        request = wire.predict(inputs, model, all_scores, explain, idempotency_key)
        return wire.answer(self._call(request))

    def embeddings(
        self,
        texts: str | Sequence[str],
        *,
        model: str | None = None,
        dimensions: int | None = None,
        idempotency_key: str | None = None,
    ) -> Embeddings:
        """Vectors of one text or several, from the encoder of `model`; `dimensions` keeps the first
        numbers. A call of more than 128 texts is not tried again when its connection breaks.

        Raises `ApiError`: 400 for a model without an encoder, ...
        """
        return wire.vectors(self._call(wire.embeddings(texts, model, dimensions, idempotency_key)))

    def search(
        self,
        query: str,
        *,
        model: str | None = None,
        k: int = 10,
        idempotency_key: str | None = None,
    ) -> Ranking:
        """The `k` documents of the catalogue of `model` that answer `query` best.

        Raises `ApiError`: 400 for a model that does not search, ...
        """
        return wire.ranking(self._call(wire.search(query, model, k, idempotency_key)))

    def rerank(
        self,
        query: str,
        documents: Sequence[str],
        *,
        model: str | None = None,
        top_n: int | None = None,
        idempotency_key: str | None = None,
    ) -> Ranking:
        """`documents` in the order in which they answer `query`: the first `top_n`, or all. Each
        match names the place of its document among `documents`.

        Raises `ApiError`: 400 for a model that does not search, 413 for more than 1,000
        documents, ...
        """
        request = wire.rerank(query, documents, model, top_n, idempotency_key)
        return wire.ranking(self._call(request), documents)

    def chat(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Reply:
        """The reply to a conversation, in the shape of OpenAI's chat completions, or to one message
        of a user. `options` are fields of the call: ``max_tokens``, ``temperature``, ``tools``, ...

        Raises `ApiError`: 400 for a model that holds no conversations, 422 for an option that it
        does not take, ...
        """
        return wire.reply(self._call(wire.chat(messages, model, idempotency_key, options)))

    def chat_stream(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Iterator[Piece]:
        """The reply to a conversation piece by piece; see `chat`. Who stops listening is charged
        for what was delivered. `timeout` is how long a piece may take. A call that fails before its
        first piece is tried again; what breaks later is raised, as `ApiError` or `Unreachable`."""
        request = wire.chat(messages, model, idempotency_key, options, stream=True)
        return self._pieces(request)

    def predict_stream(
        self, item: Input, *, model: str | None = None, idempotency_key: str | None = None
    ) -> Iterator[Piece]:
        """The answer in words to one input piece by piece, of any task that writes; the last piece
        has the whole `output`. Otherwise as `chat_stream`."""
        return self._pieces(wire.predict_stream(item, model, idempotency_key))

    def feedback(
        self,
        prediction_id: str,
        label: Label | None = None,
        *,
        index: int = 0,
        rejected: str | None = None,
        note: str = "",
    ) -> dict[str, Any]:
        """Says which label the output `index` of an earlier answer should have had, or, of a
        written answer, for what it is `rejected`: ``wrong_fact``, ``incomplete``, ``wording``,
        ``harmful`` or ``other``; and a `note` to it.

        Raises `ApiError`: 404 for an answer that this key's customer did not get, 410 when the
        input is no longer kept, 422 for a reason that there is not.
        """
        return self._call(wire.feedback(prediction_id, label, index, rejected, note))

    def models(self) -> list[dict[str, Any]]:
        """The models that answer now: name, version, task, labels."""
        return list(self._call(wire.Request("GET", "/v1/models"))["data"])

    def model(self, name: str) -> dict[str, Any]:
        """One model, by its name or its version. Raises `ApiError` (404) where there is none."""
        return self._call(wire.Request("GET", f"/v1/models/{quote(name, safe='')}"))

    def usage(self, *, since: str | None = None, until: str | None = None) -> dict[str, Any]:
        """What this key's customer has used, by day and model; from and to a day (2026-11-22)."""
        return self._call(wire.usage(since, until))

    def invoices(self) -> list[dict[str, Any]]:
        """The invoices of this key's customer."""
        return list(self._call(wire.Request("GET", "/v1/invoices"))["data"])

    def invoice(self, number: str) -> dict[str, Any]:
        """One invoice with its lines. Raises `ApiError` (404) for one that is not this
        customer's."""
        return self._call(wire.Request("GET", f"/v1/invoices/{quote(number, safe='')}"))

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _pieces(self, request: wire.Request) -> Iterator[Piece]:
        import httpx

        patience = wire.Patience(request, self._retries, self._seconds)
        while True:
            stream = wire.Stream()
            try:
                sent = {**request.options(self._seconds, self._lang), "timeout": self._timeout}
                with self._http.stream(**sent) as response:
                    if not response.is_success:
                        wire.read(response, response.read())
                    for line in response.iter_lines():
                        yield from stream.read(line)
                stream.end()
                return
            except ApiError as error:
                wait = stream.again(patience, error)
            except httpx.TransportError as error:
                sent_it = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                wait = stream.again(patience, self._unreachable(error), sent_it)
            sleep(wait)

    def _call(self, request: wire.Request) -> dict[str, Any]:
        import httpx

        patience = wire.Patience(request, self._retries, self._seconds)
        while True:
            try:
                return self._once(request, min(self._timeout, patience.seconds))
            except ApiError as error:
                wait = patience.pause(error)
            except httpx.TransportError as error:
                sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                wait = patience.pause(self._unreachable(error), sent)
            sleep(wait)

    def _once(self, request: wire.Request, seconds: float) -> dict[str, Any]:
        """One attempt. A server that sends a byte now and then does not hold it up for ever."""
        import httpx

        until = monotonic() + seconds
        with self._http.stream(**request.options(seconds, self._lang), timeout=seconds) as response:
            parts = []
            for part in response.iter_bytes():
                parts.append(part)
                if monotonic() > until:
                    raise httpx.ReadTimeout("the answer came too slowly")
        return wire.read(response, b"".join(parts))


class AsyncClient(_Base):
    """`Client` for asyncio: the same calls, awaited."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        import httpx

        self._http = httpx.AsyncClient(**self._options)

    async def predict(
        self,
        inputs: Inputs,
        *,
        model: str | None = None,
        all_scores: bool = False,
        explain: bool = False,
        idempotency_key: str | None = None,
    ) -> Answer:
        """See `Client.predict`."""
        request = wire.predict(inputs, model, all_scores, explain, idempotency_key)
        return wire.answer(await self._call(request))

    async def embeddings(
        self,
        texts: str | Sequence[str],
        *,
        model: str | None = None,
        dimensions: int | None = None,
        idempotency_key: str | None = None,
    ) -> Embeddings:
        """See `Client.embeddings`."""
        return wire.vectors(
            await self._call(wire.embeddings(texts, model, dimensions, idempotency_key))
        )

    async def search(
        self,
        query: str,
        *,
        model: str | None = None,
        k: int = 10,
        idempotency_key: str | None = None,
    ) -> Ranking:
        """See `Client.search`."""
        return wire.ranking(await self._call(wire.search(query, model, k, idempotency_key)))

    async def rerank(
        self,
        query: str,
        documents: Sequence[str],
        *,
        model: str | None = None,
        top_n: int | None = None,
        idempotency_key: str | None = None,
    ) -> Ranking:
        """See `Client.rerank`."""
        request = wire.rerank(query, documents, model, top_n, idempotency_key)
        return wire.ranking(await self._call(request), documents)

    async def chat(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Reply:
        """See `Client.chat`."""
        return wire.reply(await self._call(wire.chat(messages, model, idempotency_key, options)))

    def chat_stream(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> AsyncIterator[Piece]:
        """See `Client.chat_stream`; to be read with ``async for``."""
        request = wire.chat(messages, model, idempotency_key, options, stream=True)
        return self._pieces(request)

    def predict_stream(
        self, item: Input, *, model: str | None = None, idempotency_key: str | None = None
    ) -> AsyncIterator[Piece]:
        """See `Client.predict_stream`; to be read with ``async for``."""
        return self._pieces(wire.predict_stream(item, model, idempotency_key))

    async def feedback(
        self,
        prediction_id: str,
        label: Label | None = None,
        *,
        index: int = 0,
        rejected: str | None = None,
        note: str = "",
    ) -> dict[str, Any]:
        """See `Client.feedback`."""
        return await self._call(wire.feedback(prediction_id, label, index, rejected, note))

    async def models(self) -> list[dict[str, Any]]:
        """See `Client.models`."""
        return list((await self._call(wire.Request("GET", "/v1/models")))["data"])

    async def model(self, name: str) -> dict[str, Any]:
        """See `Client.model`."""
        return await self._call(wire.Request("GET", f"/v1/models/{quote(name, safe='')}"))

    async def usage(self, *, since: str | None = None, until: str | None = None) -> dict[str, Any]:
        """See `Client.usage`."""
        return await self._call(wire.usage(since, until))

    async def invoices(self) -> list[dict[str, Any]]:
        """See `Client.invoices`."""
        return list((await self._call(wire.Request("GET", "/v1/invoices")))["data"])

    async def invoice(self, number: str) -> dict[str, Any]:
        """See `Client.invoice`."""
        return await self._call(wire.Request("GET", f"/v1/invoices/{quote(number, safe='')}"))

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _pieces(self, request: wire.Request) -> AsyncIterator[Piece]:
        import httpx

        patience = wire.Patience(request, self._retries, self._seconds)
        while True:
            stream = wire.Stream()
            try:
                sent = {**request.options(self._seconds, self._lang), "timeout": self._timeout}
                async with self._http.stream(**sent) as response:
                    if not response.is_success:
                        wire.read(response, await response.aread())
                    async for line in response.aiter_lines():
                        for piece in stream.read(line):
                            yield piece
                stream.end()
                return
            except ApiError as error:
                wait = stream.again(patience, error)
            except httpx.TransportError as error:
                sent_it = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                wait = stream.again(patience, self._unreachable(error), sent_it)
            await asyncio.sleep(wait)

    async def _call(self, request: wire.Request) -> dict[str, Any]:
        import httpx

        patience = wire.Patience(request, self._retries, self._seconds)
        while True:
            try:
                seconds = min(self._timeout, patience.seconds)
                async with asyncio.timeout(seconds):
                    response = await self._http.request(
                        **request.options(seconds, self._lang), timeout=None
                    )
                return wire.read(response, response.content)
            except ApiError as error:
                wait = patience.pause(error)
            except (httpx.TransportError, TimeoutError) as error:
                reached = not isinstance(error, httpx.ConnectError)
                wait = patience.pause(self._unreachable(error), reached)
            await asyncio.sleep(wait)
