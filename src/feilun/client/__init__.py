"""HTTP client for callers of a feilun API. It imports nothing of the rest of feilun::

    from feilun.client import Client

    with Client("http://127.0.0.1:8000", key="fl_...") as api:
        answer = api.predict(["works well", "arrived broken"], model="reviews")
        api.feedback(answer.id, "bad", index=1)

A call that fails on the way is tried again, under one idempotency key: the server answers and
charges it once. What the server refuses for good is raised at once.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from time import monotonic, sleep, time
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import quote
from uuid import uuid4

if TYPE_CHECKING:
    import httpx

__all__ = [
    "Answer",
    "ApiError",
    "AsyncClient",
    "Client",
    "Embeddings",
    "RateLimitError",
    "Unreachable",
    "encode_item",
]

Scalar = str | bytes | int | float | bool | None
Input = Scalar | Mapping[str, Scalar]
"""One input: a text, the bytes of an image, or ``{column: value}``."""
Inputs = Input | Sequence[Input]
Label = str | int | float | bool | Sequence[str] | Sequence[Mapping[str, Any]]
"""What is right: a label, a number, a list of tags, or one of entities (``{"start", "end",
"label"}``)."""

_UNREACHABLE = {"en": "{url} does not answer: {reason}", "zh": "{url} 没有响应：{reason}"}
_UNSENDABLE = {
    "en": "{param} cannot be sent as JSON in UTF-8, and nothing was sent: {reason}",
    "zh": "{param} 不能用 UTF-8 编码的 JSON 发送，未发送任何内容：{reason}",
}

_PASSING = frozenset({429, 503})  # and any other that says when to come again
_UNKNOWN = frozenset({502, 504})  # a proxy lost the answer, which may have been given
_FIRST, _LONGEST = 0.5, 8.0  # seconds of the back-off
_KEPT_TEXTS = 128  # embeddings of more are too large for a server to keep: no idempotency key


class ApiError(Exception):
    """The API refused or failed.

    `status` is HTTP's (0 when nothing answered), `code` names the failure (``feedback.expired``),
    `type` its kind, `param` the part of the request that is at fault, `retry_after` the seconds
    after which the server wants to be asked again, `final` that it wants not to be. Quote
    `request_id` when asking for help.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        code: str = "",
        type: str = "",
        param: str | None = None,
        request_id: str = "",
        retry_after: float | None = None,
        final: bool = False,
    ) -> None:
        super().__init__(message)
        self.message, self.status, self.code, self.type = message, status, code, type
        self.param, self.request_id = param, request_id
        self.retry_after, self.final = retry_after, final


class RateLimitError(ApiError):
    """More calls than the key or its customer may make, also after waiting (429)."""


class Unreachable(ApiError):
    """Nothing answered at the address, or the connection broke: the call may have been carried
    out all the same."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one call: `outputs` in the order of the inputs, each ``{"label", "score"}``;
    `model` names the version that answered (``reviews@3``); `id` is what feedback refers to."""

    id: str
    model: str
    outputs: tuple[dict[str, Any], ...]
    usage: dict[str, Any] = field(default_factory=dict)

    @property
    def labels(self) -> list[str]:
        """The labels alone, in the order of the inputs."""
        return [output["label"] for output in self.outputs]


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Vectors of length one, in the order of the texts. `model` names the version that made them
    (``reviews@3``): vectors of different versions do not compare."""

    id: str
    model: str
    vectors: tuple[tuple[float, ...], ...]
    usage: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Request:
    """One call, however often it is sent. `again`: whether it may be sent once more when nobody
    knows what became of it."""

    method: str
    path: str
    body: dict[str, Any] | None = None
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    again: bool = True

    def options(self, seconds: float, lang: str) -> dict[str, Any]:
        """As httpx takes it; the server hears how long the answer is waited for."""
        headers = {**self.headers, "x-request-timeout": f"{seconds:.3f}"}
        sent: dict[str, Any] = {"params": self.query, "headers": headers}
        if self.body is not None:
            headers["content-type"] = "application/json"
            sent["content"] = _content(self.body, "", lang)
        return {"method": self.method, "url": self.path, **sent}


class _Patience:
    """When to try again, and when no more."""

    def __init__(self, request: _Request, retries: int, seconds: float) -> None:
        self._again = request.again
        self._left, self._pause = retries, _FIRST
        self._until = monotonic() + seconds

    @property
    def seconds(self) -> float:
        """What is left, never less than a moment: the first attempt is made in any case."""
        return max(0.001, self._until - monotonic())

    def pause(self, error: ApiError, sent: bool = True) -> float:
        """Seconds until the next attempt; raises `error` where there is none. `sent`: whether the
        server may have got the request."""
        if isinstance(error, Unreachable) or error.status in _UNKNOWN:
            may = self._again or not sent
        else:
            may = error.status in _PASSING or error.retry_after is not None
        wait = self._pause * random.uniform(0.5, 1.0)
        if error.retry_after is not None:  # a little later, so that not all come at once
            wait = max(wait, error.retry_after + random.uniform(0.0, 0.1))
        if error.final or not may or not self._left or monotonic() + wait > self._until:
            raise error
        self._left -= 1
        self._pause = min(2 * self._pause, _LONGEST)
        return wait


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
        text = _UNREACHABLE[self._lang].format(url=self.url, reason=reason)
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
        request = _predict(inputs, model, all_scores, explain, idempotency_key)
        return _answer(self._call(request))

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
        return _vectors(self._call(_embeddings(texts, model, dimensions, idempotency_key)))

    def feedback(self, prediction_id: str, label: Label, *, index: int = 0) -> dict[str, Any]:
        """Says which label the output `index` of an earlier answer should have had.

        Raises `ApiError`: 404 for an answer that this key's customer did not get, 410 when the
        input is no longer kept.
        """
        return self._call(_feedback(prediction_id, label, index))

    def models(self) -> list[dict[str, Any]]:
        """The models that answer now: name, version, task, labels."""
        return list(self._call(_Request("GET", "/v1/models"))["data"])

    def usage(self, *, since: str | None = None, until: str | None = None) -> dict[str, Any]:
        """What this key's customer has used, by day and model; from and to a day (2026-11-22)."""
        return self._call(_usage(since, until))

    def invoices(self) -> list[dict[str, Any]]:
        """The invoices of this key's customer."""
        return list(self._call(_Request("GET", "/v1/invoices"))["data"])

    def invoice(self, number: str) -> dict[str, Any]:
        """One invoice with its lines. Raises `ApiError` (404) for one that is not this
        customer's."""
        return self._call(_Request("GET", f"/v1/invoices/{quote(number, safe='')}"))

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, request: _Request) -> dict[str, Any]:
        import httpx

        patience = _Patience(request, self._retries, self._seconds)
        while True:
            try:
                return self._once(request, min(self._timeout, patience.seconds))
            except ApiError as error:
                wait = patience.pause(error)
            except httpx.TransportError as error:
                sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                wait = patience.pause(self._unreachable(error), sent)
            sleep(wait)

    def _once(self, request: _Request, seconds: float) -> dict[str, Any]:
        """One attempt. A server that sends a byte now and then does not hold it up for ever."""
        import httpx

        until = monotonic() + seconds
        with self._http.stream(**request.options(seconds, self._lang), timeout=seconds) as response:
            parts = []
            for part in response.iter_bytes():
                parts.append(part)
                if monotonic() > until:
                    raise httpx.ReadTimeout("the answer came too slowly")
        return _read(response, b"".join(parts))


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
        request = _predict(inputs, model, all_scores, explain, idempotency_key)
        return _answer(await self._call(request))

    async def embeddings(
        self,
        texts: str | Sequence[str],
        *,
        model: str | None = None,
        dimensions: int | None = None,
        idempotency_key: str | None = None,
    ) -> Embeddings:
        """See `Client.embeddings`."""
        return _vectors(await self._call(_embeddings(texts, model, dimensions, idempotency_key)))

    async def feedback(self, prediction_id: str, label: Label, *, index: int = 0) -> dict[str, Any]:
        """See `Client.feedback`."""
        return await self._call(_feedback(prediction_id, label, index))

    async def models(self) -> list[dict[str, Any]]:
        """See `Client.models`."""
        return list((await self._call(_Request("GET", "/v1/models")))["data"])

    async def usage(self, *, since: str | None = None, until: str | None = None) -> dict[str, Any]:
        """See `Client.usage`."""
        return await self._call(_usage(since, until))

    async def invoices(self) -> list[dict[str, Any]]:
        """See `Client.invoices`."""
        return list((await self._call(_Request("GET", "/v1/invoices")))["data"])

    async def invoice(self, number: str) -> dict[str, Any]:
        """See `Client.invoice`."""
        return await self._call(_Request("GET", f"/v1/invoices/{quote(number, safe='')}"))

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _call(self, request: _Request) -> dict[str, Any]:
        import httpx

        patience = _Patience(request, self._retries, self._seconds)
        while True:
            try:
                seconds = min(self._timeout, patience.seconds)
                async with asyncio.timeout(seconds):
                    response = await self._http.request(
                        **request.options(seconds, self._lang), timeout=None
                    )
                return _read(response, response.content)
            except ApiError as error:
                wait = patience.pause(error)
            except (httpx.TransportError, TimeoutError) as error:
                reached = not isinstance(error, httpx.ConnectError)
                wait = patience.pause(self._unreachable(error), reached)
            await asyncio.sleep(wait)


def _predict(
    inputs: Inputs, model: str | None, all_scores: bool, explain: bool, key: str | None
) -> _Request:
    if isinstance(inputs, Sequence) and not isinstance(inputs, (str, bytes)):
        given = [encode_item(x) for x in inputs]
    else:
        given = encode_item(inputs)
    body: dict[str, Any] = {"inputs": given} | ({} if model is None else {"model": model})
    body |= {name: True for name, on in (("all_scores", all_scores), ("explain", explain)) if on}
    return _Request("POST", "/v1/predict", body, headers={"idempotency-key": key or uuid4().hex})


def _embeddings(
    texts: str | Sequence[str], model: str | None, dimensions: int | None, key: str | None
) -> _Request:
    given = texts if isinstance(texts, str) else list(texts)
    body: dict[str, Any] = {"input": given, "encoding_format": "base64"}
    chosen = {"model": model, "dimensions": dimensions}
    body |= {name: value for name, value in chosen.items() if value is not None}
    small = isinstance(texts, str) or len(texts) <= _KEPT_TEXTS
    key = uuid4().hex if key is None and small else key
    headers = {} if key is None else {"idempotency-key": key}
    return _Request("POST", "/v1/embeddings", body, headers=headers, again=key is not None)


def _feedback(prediction_id: str, label: Label, index: int) -> _Request:
    """Saying the same again adds nothing, so that it may be said again."""
    body = {"prediction_id": prediction_id, "index": index, "label": label}
    return _Request("POST", "/v1/feedback", body)


def _usage(since: str | None, until: str | None) -> _Request:
    days = (("since", since), ("until", until))
    query = {name: str(day) for name, day in days if day is not None}
    return _Request("GET", "/v1/usage", query=query)


def encode_item(value: Any) -> Any:
    """One input as JSON: bytes travel as ``{"$base64": "..."}``, the rest is JSON already."""
    if isinstance(value, bytes):
        return {"$base64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, Mapping):
        return {name: encode_item(part) for name, part in value.items()}
    return value


def _content(value: Any, at: str, lang: str) -> bytes:
    """`value` on the wire. Raises `ApiError` that names the part of it that is no JSON: half of a
    surrogate pair, a number that is none, an object."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        for name, part in value.items() if isinstance(value, dict) else ():
            _content(part, f"{at}.{name}".lstrip("."), lang)
        for index, part in enumerate(value) if isinstance(value, list) else ():
            _content(part, f"{at}[{index}]", lang)
        told = _UNSENDABLE[lang].format(param=ascii(at)[1:-1], reason=error)
        raise ApiError(told, code="unsendable", param=at, final=True) from None


def _answer(body: dict[str, Any]) -> Answer:
    return Answer(body["id"], body["model"], tuple(body["outputs"]), body.get("usage", {}))


def _vectors(body: dict[str, Any]) -> Embeddings:
    rows = sorted(body["data"], key=lambda row: row["index"])
    packed = [base64.b64decode(row["embedding"]) for row in rows]
    vectors = tuple(struct.unpack(f"<{len(one) // 4}f", one) for one in packed)
    return Embeddings(body["id"], body["model"], vectors, body["usage"])


def _read(response: httpx.Response, content: bytes) -> dict[str, Any]:
    """The body of a success; raises `ApiError` of anything else, also of what is not ours."""
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    if response.is_success and isinstance(body, dict):
        return body
    status = response.status_code
    kind: Callable[..., ApiError] = RateLimitError if status == 429 else ApiError
    request_id = response.headers.get("x-request-id", "")
    final = response.headers.get("x-should-retry") == "false"
    told: dict[str, Any] = {"status": status, "retry_after": _after(response), "final": final}
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        error = {"message": f"HTTP {status} {response.reason_phrase}"}
    raise kind(
        str(error.get("message", "")),
        code=str(error.get("code", "")),
        type=str(error.get("type", "")),
        param=error.get("param"),
        request_id=str(error.get("request_id") or request_id),
        **told,
    )


def _after(response: httpx.Response) -> float | None:
    """The seconds of ``Retry-After``, which may also be a date."""
    given = response.headers.get("retry-after", "")
    if given.isdigit():
        return float(given)
    try:
        return max(0.0, parsedate_to_datetime(given).timestamp() - time())
    except ValueError:
        return None
