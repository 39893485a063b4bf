"""HTTP client for callers of a feilun API. It imports nothing of the rest of feilun::

from feilun.client import Client

with Client("http://127.0.0.1:8000", key="fl_...") as api:
    answer = api.predict(["works well", "arrived broken"], model="reviews")
    api.feedback(answer.id, "bad", index=1)
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self, cast

if TYPE_CHECKING:
    import httpx

__all__ = ["Answer", "ApiError", "AsyncClient", "Client", "Unreachable", "encode_item"]

Scalar = str | bytes | int | float | bool | None
Input = Scalar | Mapping[str, Scalar]
"""One input: a text, the bytes of an image, or ``{column: value}``."""

_UNREACHABLE = {
    "en": "{url} does not answer: {reason}",
    "zh": "{url} 没有响应：{reason}",
}


class ApiError(Exception):
    """The API refused or failed.

    `status` is HTTP's (0 when nothing answered), `code` names the failure (``feedback.expired``),
    `type` its kind, `param` the part of the request that is at fault. Quote `request_id` when
    asking for help.
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
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.type = type
        self.param = param
        self.request_id = request_id


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


class _Base:
    """What both clients share: how a call is put on the wire and how an answer is read."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        key: str = "",
        *,
        lang: Literal["en", "zh"] = "en",
        timeout: float = 60.0,
    ) -> None:
        """`url` is the address of the server, without ``/v1``; `key` an API key
        (``fl_...``); `lang` the language of error messages; `timeout` seconds that one call may
        take."""
        self.url = url.rstrip("/")
        self._lang = lang
        self._options: dict[str, Any] = {
            "base_url": self.url,
            "timeout": timeout,
            "headers": {
                "authorization": f"Bearer {key}",
                "accept-language": lang,
            },
        }

    def _unreachable(self, error: Exception) -> Unreachable:
        reason = str(error) or type(error).__name__
        return Unreachable(
            _UNREACHABLE[self._lang].format(url=self.url, reason=reason), code="unreachable"
        )


class Client(_Base):
    """A connection to one server; may be shared by threads. Close it, or use it as a context."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        import httpx

        self._http = httpx.Client(**self._options)

    def predict(
        self,
        inputs: Input | Sequence[Input],
        *,
        model: str | None = None,
        all_scores: bool = False,
        explain: bool = False,
    ) -> Answer:
        """Asks `model` (``reviews`` or ``reviews@3``; may be left out where there is one) about one
        input or several. `all_scores` adds ``scores``, the score of every label, to each output.

        Raises `ApiError`: a wrong key (401), an input that cannot be answered (422), ...
        """
        body = _predict_body(inputs, model, all_scores, explain)
        return _answer(self._call("POST", "/v1/predict", body))

    def feedback(self, prediction_id: str, label: str, *, index: int = 0) -> dict[str, Any]:
        """Says which label the output `index` of an earlier answer should have had.

        Raises `ApiError`: 404 for an answer that this key's customer did not get, 410 when the
        input is no longer kept.
        """
        return self._call("POST", "/v1/feedback", _feedback_body(prediction_id, label, index))

    def models(self) -> list[dict[str, Any]]:
        """The models that answer now: name, version, task, labels."""
        return cast("list[dict[str, Any]]", self._call("GET", "/v1/models")["data"])

    def usage(self) -> dict[str, Any]:
        """What this key's customer has used, by day and model."""
        return self._call("GET", "/v1/usage")

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        import httpx

        try:
            return _read(self._http.request(method, path, json=body))
        except httpx.TransportError as error:
            raise self._unreachable(error) from error


class AsyncClient(_Base):
    """`Client` for asyncio: the same calls, awaited."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        import httpx

        self._http = httpx.AsyncClient(**self._options)

    async def predict(
        self,
        inputs: Input | Sequence[Input],
        *,
        model: str | None = None,
        all_scores: bool = False,
        explain: bool = False,
    ) -> Answer:
        """See `Client.predict`."""
        body = _predict_body(inputs, model, all_scores, explain)
        return _answer(await self._call("POST", "/v1/predict", body))

    async def feedback(self, prediction_id: str, label: str, *, index: int = 0) -> dict[str, Any]:
        """See `Client.feedback`."""
        body = _feedback_body(prediction_id, label, index)
        return await self._call("POST", "/v1/feedback", body)

    async def models(self) -> list[dict[str, Any]]:
        """See `Client.models`."""
        return cast("list[dict[str, Any]]", (await self._call("GET", "/v1/models"))["data"])

    async def usage(self) -> dict[str, Any]:
        """See `Client.usage`."""
        return await self._call("GET", "/v1/usage")

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _call(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        import httpx

        try:
            return _read(await self._http.request(method, path, json=body))
        except httpx.TransportError as error:
            raise self._unreachable(error) from error


def _predict_body(
    inputs: Input | Sequence[Input], model: str | None, all_scores: bool, explain: bool
) -> dict[str, Any]:
    if isinstance(inputs, Sequence) and not isinstance(inputs, (str, bytes)):
        body: dict[str, Any] = {"inputs": [encode_item(x) for x in inputs]}
    else:
        body = {"inputs": encode_item(inputs)}
    if model is not None:
        body["model"] = model
    if all_scores:
        body["all_scores"] = True
    if explain:
        body["explain"] = True
    return body


def _feedback_body(prediction_id: str, label: str, index: int) -> dict[str, Any]:
    return {"prediction_id": prediction_id, "index": index, "label": label}


def encode_item(value: Any) -> Any:
    """One input as JSON: bytes travel as ``{"$base64": "..."}``, the rest is JSON already."""
    if isinstance(value, bytes):
        return {"$base64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, Mapping):
        return {name: encode_item(part) for name, part in value.items()}
    return value


def _answer(body: dict[str, Any]) -> Answer:
    return Answer(body["id"], body["model"], tuple(body["outputs"]), body.get("usage", {}))


def _read(response: httpx.Response) -> dict[str, Any]:
    """The body of a success; raises `ApiError` of anything else, also of what is not ours."""
    request_id = response.headers.get("x-request-id", "")
    try:
        body = response.json()
    except ValueError:
        body = None
    if response.is_success and isinstance(body, dict):
        return body
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        text = f"HTTP {response.status_code} {response.reason_phrase}"
        raise ApiError(text, status=response.status_code, request_id=request_id)
    raise ApiError(
        str(error.get("message", "")),
        status=response.status_code,
        code=str(error.get("code", "")),
        type=str(error.get("type", "")),
        param=error.get("param"),
        request_id=str(error.get("request_id") or request_id),
    )
