"""What `feilun.client` puts on the wire, and how it reads what comes back; nothing else of feilun
is imported."""

from __future__ import annotations

import base64
import json
import random
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from time import monotonic, time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING:
    import httpx

__all__ = [
    "UNREACHABLE",
    "Answer",
    "ApiError",
    "Embeddings",
    "Input",
    "Inputs",
    "Label",
    "Match",
    "Messages",
    "Patience",
    "Piece",
    "Ranking",
    "RateLimitError",
    "Reply",
    "Request",
    "Stream",
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

Messages = str | Sequence[Mapping[str, Any]]
"""A conversation as OpenAI's messages, or what a user says in the first one."""

UNREACHABLE = {"en": "{url} does not answer: {reason}", "zh": "{url} 没有响应：{reason}"}
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
class Match:
    """A document with its `score`, and its place among those that were ranked (None of a
    catalogue)."""

    text: str
    score: float
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """The `matches` of a query, the best first. `id` is what feedback refers to."""

    id: str
    model: str
    matches: tuple[Match, ...]
    usage: dict[str, Any] = field(default_factory=dict)

    @property
    def texts(self) -> list[str]:
        """The documents alone, the best first."""
        return [match.text for match in self.matches]


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply to a conversation: its `text`, the `tool_calls` that it asks for, and why it ended
    (``stop``, ``length``, ``tool_calls``). `body` is the whole answer as OpenAI's clients get it,
    with the other choices where several were asked for."""

    id: str
    model: str
    text: str
    finish_reason: str
    tool_calls: tuple[dict[str, Any], ...] = ()
    usage: dict[str, Any] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a reply: the `text` that is new, of which choice it is part (`index`), and pieces
    of `tool_calls`. The last one of a choice has its `finish_reason`, the last of all the `usage`
    and, of ``predict_stream``, the whole `output`."""

    id: str
    text: str = ""
    index: int = 0
    finish_reason: str | None = None
    tool_calls: tuple[dict[str, Any], ...] = ()
    usage: dict[str, Any] = field(default_factory=dict)
    output: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Request:
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


class Patience:
    """When to try again, and when no more."""

    def __init__(self, request: Request, retries: int, seconds: float) -> None:
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


def predict(
    inputs: Inputs, model: str | None, all_scores: bool, explain: bool, key: str | None
) -> Request:
    if isinstance(inputs, Sequence) and not isinstance(inputs, (str, bytes)):
        given = [encode_item(x) for x in inputs]
    else:
        given = encode_item(inputs)
    body: dict[str, Any] = {"inputs": given} | ({} if model is None else {"model": model})
    body |= {name: True for name, on in (("all_scores", all_scores), ("explain", explain)) if on}
    return Request("POST", "/v1/predict", body, headers={"idempotency-key": key or uuid4().hex})


def predict_stream(item: Input, model: str | None, key: str | None) -> Request:
    body: dict[str, Any] = {"inputs": encode_item(item), "stream": True}
    body |= {} if model is None else {"model": model}
    return Request("POST", "/v1/predict", body, headers={"idempotency-key": key or uuid4().hex})


def embeddings(
    texts: str | Sequence[str], model: str | None, dimensions: int | None, key: str | None
) -> Request:
    given = texts if isinstance(texts, str) else list(texts)
    body: dict[str, Any] = {"input": given, "encoding_format": "base64"}
    chosen = {"model": model, "dimensions": dimensions}
    body |= {name: value for name, value in chosen.items() if value is not None}
    small = isinstance(texts, str) or len(texts) <= _KEPT_TEXTS
    key = uuid4().hex if key is None and small else key
    headers = {} if key is None else {"idempotency-key": key}
    return Request("POST", "/v1/embeddings", body, headers=headers, again=key is not None)


def search(query: str, model: str | None, k: int, key: str | None) -> Request:
    body: dict[str, Any] = {"query": query, "k": k} | ({} if model is None else {"model": model})
    return Request("POST", "/v1/search", body, headers={"idempotency-key": key or uuid4().hex})


def rerank(
    query: str, documents: Sequence[str], model: str | None, top_n: int | None, key: str | None
) -> Request:
    body: dict[str, Any] = {"query": query, "documents": list(documents)}
    chosen = {"model": model, "top_n": top_n}
    body |= {name: value for name, value in chosen.items() if value is not None}
    return Request("POST", "/v1/rerank", body, headers={"idempotency-key": key or uuid4().hex})


def chat(
    messages: Messages,
    model: str | None,
    key: str | None,
    options: Mapping[str, Any],
    stream: bool = False,
) -> Request:
    said = [{"role": "user", "content": messages}] if isinstance(messages, str) else list(messages)
    body: dict[str, Any] = {**options, "messages": said}
    body |= {name: value for name, value in (("model", model), ("stream", stream)) if value}
    headers = {"idempotency-key": key or uuid4().hex}
    return Request("POST", "/v1/chat/completions", body, headers=headers)


def feedback(
    prediction_id: str, label: Label | None, index: int, rejected: str | None, note: str
) -> Request:
    """Saying the same again adds nothing, so that it may be said again."""
    body: dict[str, Any] = {"prediction_id": prediction_id, "index": index}
    more = {"label": label, "rejected": rejected, "note": note or None}
    body |= {name: value for name, value in more.items() if value is not None}
    return Request("POST", "/v1/feedback", body)


def usage(since: str | None, until: str | None) -> Request:
    days = (("since", since), ("until", until))
    query = {name: str(day) for name, day in days if day is not None}
    return Request("GET", "/v1/usage", query=query)


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


def answer(body: dict[str, Any]) -> Answer:
    return Answer(body["id"], body["model"], tuple(body["outputs"]), body.get("usage", {}))


def vectors(body: dict[str, Any]) -> Embeddings:
    rows = sorted(body["data"], key=lambda row: row["index"])
    packed = [base64.b64decode(row["embedding"]) for row in rows]
    vectors = tuple(struct.unpack(f"<{len(one) // 4}f", one) for one in packed)
    return Embeddings(body["id"], body["model"], vectors, body["usage"])


def ranking(body: dict[str, Any], documents: Sequence[str] | None = None) -> Ranking:
    """The answer of a search; with the `documents` that were ranked, of a rerank."""
    matches = []
    for one in body["results"]:
        place = one.get("index")
        text = one["document"]["text"] if documents is None else documents[place]
        matches.append(Match(text, one["relevance_score"], place))
    return Ranking(body["id"], body["model"], tuple(matches), body.get("usage", {}))


def reply(body: dict[str, Any]) -> Reply:
    """The first choice of a chat completion."""
    first = body["choices"][0]
    message = first["message"]
    return Reply(
        body["id"],
        body["model"],
        message.get("content") or "",
        first["finish_reason"],
        tuple(message.get("tool_calls") or ()),
        body.get("usage", {}),
        body,
    )


class Stream:
    """Reads server-sent events, line by line."""

    def __init__(self) -> None:
        self._begun = self._whole = False

    def read(self, line: str) -> list[Piece]:
        """The pieces of a line. Raises `ApiError` where the server says that it cannot go on."""
        data = line.partition("data:")[2].strip() if line.startswith("data:") else ""
        if not data:
            return []
        if data == "[DONE]":
            self._whole = True
            return []
        body = json.loads(data)
        if "error" in body:
            raise _failure(body["error"], status=0)
        self._begun = True
        usage = body.get("usage") or {}
        if "outputs" in body:
            return [Piece(body["id"], usage=usage, output=body["outputs"][0])]
        if "delta" in body:
            return [Piece(body["id"], body["delta"], body["index"])]
        found = [
            Piece(
                body["id"],
                one["delta"].get("content") or "",
                one["index"],
                one.get("finish_reason"),
                tuple(one["delta"].get("tool_calls") or ()),
                usage,
            )
            for one in body["choices"]
        ]
        return found or [Piece(body["id"], usage=usage)]

    def end(self) -> None:
        """Raises `httpx.RemoteProtocolError` where the last event has not come."""
        import httpx

        if not self._whole:
            raise httpx.RemoteProtocolError("the stream ended before its last event")

    def again(self, patience: Patience, error: ApiError, sent: bool = True) -> float:
        """Seconds until the next attempt. Raises `error` where pieces have come, or there is
        none."""
        if self._begun:
            raise error
        return patience.pause(error, sent)


def read(response: httpx.Response, content: bytes) -> dict[str, Any]:
    """The body of a success; raises `ApiError` of anything else, also of what is not ours."""
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    if response.is_success and isinstance(body, dict):
        return body
    status = response.status_code
    request_id = response.headers.get("x-request-id", "")
    final = response.headers.get("x-should-retry") == "false"
    told: dict[str, Any] = {"status": status, "retry_after": _after(response), "final": final}
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        error = {"message": f"HTTP {status} {response.reason_phrase}"}
    raise _failure({"request_id": request_id, **error}, **told)


def _failure(error: Mapping[str, Any], *, status: int, **told: Any) -> ApiError:
    kind: Callable[..., ApiError] = RateLimitError if status == 429 else ApiError
    return kind(
        str(error.get("message", "")),
        code=str(error.get("code", "")),
        type=str(error.get("type", "")),
        param=error.get("param"),
        request_id=str(error.get("request_id") or ""),
        status=status,
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
