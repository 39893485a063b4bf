"""From the bytes of a request to checked inputs: read within limits, decoded by type.

Everything here says which part of the body is at fault, as ``inputs[3].text``.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeVar

import msgspec

from feilun import messages
from feilun.api.errors import BadRequest, UnsupportedMedia
from feilun.errors import InvalidData, PayloadTooLarge
from feilun.serving.caller import Disconnected
from feilun.serving.limits import MAX_BODY, MAX_TEXT
from feilun.types import Item, Scalar

__all__ = [
    "Disconnected",
    "PredictBody",
    "Receive",
    "again",
    "decode",
    "plain",
    "read_body",
    "to_items",
]

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

Tagged = dict[str, str]
WireList = list[str | int | float]
WireValue = str | int | float | bool | None | Tagged | WireList
WireItem = str | int | float | bool | None | dict[str, WireValue]


class PredictBody(msgspec.Struct, forbid_unknown_fields=True):
    """What ``POST /v1/predict`` takes."""

    inputs: str | int | float | bool | dict[str, WireValue] | list[WireItem] | None
    model: str | None = None
    all_scores: bool = False
    explain: bool = False
    stream: bool = False


T = TypeVar("T")


def again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives `body` once more, then whatever comes from the client."""
    pending = True

    async def replay() -> MutableMapping[str, Any]:
        nonlocal pending
        if pending:
            pending = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replay


async def read_body(
    receive: Receive, headers: Mapping[bytes, bytes], limit: int = MAX_BODY
) -> bytes:
    """The whole body. Raises `PayloadTooLarge` as soon as it is known to exceed `limit`, and
    `Disconnected` when the client goes away. One that stops sending is seen by the connection
    (`feilun.api.protocol`), which goes away then.

    Nothing is ever unpacked: `UnsupportedMedia` is raised for a body that came compressed.
    """
    if headers.get(b"content-encoding", b"identity").lower() not in (b"identity", b""):
        raise UnsupportedMedia("api.content_encoding")
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length[:20]) > limit:
        raise PayloadTooLarge("api.body_too_large", limit=limit)
    message = await receive()
    if message["type"] != "http.request":
        raise Disconnected
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        if len(body) > limit:
            raise PayloadTooLarge("api.body_too_large", limit=limit)
        return body
    return await _read_rest(receive, body, limit)


async def _read_rest(receive: Receive, first: bytes, limit: int) -> bytes:
    parts, size, more = [first], len(first), True
    while more:
        if size > limit:
            raise PayloadTooLarge("api.body_too_large", limit=limit)
        message = await receive()
        if message["type"] != "http.request":
            raise Disconnected
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        more = bool(message.get("more_body"))
    if size > limit:
        raise PayloadTooLarge("api.body_too_large", limit=limit)
    return b"".join(parts)


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """The typed body, read as `plain` reads it, whatever its content type.

    Raises `BadRequest` when it is not JSON, `InvalidData` when it does not fit.
    """
    try:
        try:
            return decoder.decode(body)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            mended = plain(body)
            if mended == body:
                raise
            return decoder.decode(mended)
    except msgspec.ValidationError as error:
        raise _misfit(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise BadRequest("api.not_json", reason=reason) from None


# A bound instead of a possessive repeat, which Python 3.11.2 gets wrong: what is kept to go back to
# stays small, and nothing ever goes back, since nothing follows.
_HALF = re.compile(
    rb"""(?P<sound>(?:
        [^\\]+
      | \\u[Dd][89ABab][0-9A-Fa-f]{2}\\u[Dd][C-Fc-f][0-9A-Fa-f]{2}
      | \\(?: u(?![Dd][89A-Fa-f]) | [^u] )
    ){1,1000}) | \\u[Dd][89A-Fa-f][0-9A-Fa-f]{2}""",
    re.DOTALL | re.VERBOSE,
)
_MOST_HALVES = 10_000
"""Beyond these a body is noise, and mending it would hold up the event loop."""


def plain(body: bytes) -> bytes:
    """JSON without a byte order mark, each half of a surrogate pair replaced by U+FFFD: it could
    not be stored or answered, and files are read the same way."""
    body = body.removeprefix(codecs.BOM_UTF8)
    if b"\\ud" not in body and b"\\uD" not in body:
        return body
    return _HALF.sub(lambda found: found["sound"] or rb"\ufffd", body, 2 * _MOST_HALVES)


_UNKNOWN = re.compile(r"Object contains unknown field `(.*?)`( - at `\$.*`)?$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`")
_TYPE = re.compile(r"Expected `(.*?)`, got `(.*?)`")
_AT = re.compile(r" - at `\$\.?(.*)`$", re.DOTALL)


def _misfit(text: str) -> InvalidData:
    """msgspec's sentence, said again in ours."""
    at = _AT.search(text)
    where = at.group(1) if at else ""
    if unknown := _UNKNOWN.match(text):
        name = unknown.group(1)[:80]
        return InvalidData("api.unknown_field", name=name, param=_join(where, name))
    if missing := _MISSING.match(text):
        name = missing.group(1)
        return InvalidData("api.missing_field", name=name, param=_join(where, name))
    where = where or messages.t("api.body")
    if wrong := _TYPE.match(text):
        wanted, got = wrong.groups()
        return InvalidData("api.wrong_type", wanted=wanted, got=got, param=where)
    return InvalidData("api.wrong_value", param=where)


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def to_items(body: PredictBody, max_inputs: int) -> list[Item]:
    """The inputs as items, bytes decoded. A single input is a list of one.

    Raises `PayloadTooLarge` for too many inputs or too long a text, `InvalidData` for none at all
    and for base64 that is not.
    """
    inputs = body.inputs
    if not isinstance(inputs, list):
        return [_item(inputs, "inputs")]
    if not inputs:
        raise InvalidData("api.no_inputs", param="inputs")
    if len(inputs) > max_inputs:
        raise PayloadTooLarge(
            "api.too_many_inputs", given=len(inputs), limit=max_inputs, param="inputs"
        )
    return [_item(value, f"inputs[{index}]") for index, value in enumerate(inputs)]


def _item(value: WireItem, where: str) -> Item:
    if isinstance(value, dict) and "$base64" not in value:
        if not value:
            raise InvalidData("api.empty_input", param=where)
        return {name: _field(part, f"{where}.{name}") for name, part in value.items()}
    return _scalar(value, where)


def _field(value: WireValue, where: str) -> Any:
    """One field of an input; a list is for the tasks that take one, and the others refuse it."""
    if not isinstance(value, list):
        return _scalar(value, where)
    return [_scalar(one, f"{where}[{index}]") for index, one in enumerate(value)]


def _scalar(value: Any, where: str) -> Scalar:
    if type(value) is str:
        if len(value) > MAX_TEXT:
            raise PayloadTooLarge(
                "api.text_too_long", given=len(value), limit=MAX_TEXT, param=where
            )
        return value
    if not isinstance(value, dict):
        return value  # type: ignore[no-any-return]
    encoded = value.get("$base64")
    if len(value) != 1 or not isinstance(encoded, str):
        raise InvalidData("api.bad_tag", param=where)
    try:
        # Strict, and five times as fast as the standard library's.
        return msgspec.convert(encoded, bytes)
    except msgspec.ValidationError:
        raise InvalidData("api.bad_base64", param=where) from None
