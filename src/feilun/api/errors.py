"""The one shape of every error: ``{"error": {"message", "type", "code", "param", "request_id"}}``.

What feilun raises on purpose says what was wrong, in the caller's language. Anything else answers
500 with the request's id alone: the exception's text goes to the log, never to the caller.
"""

from __future__ import annotations

import logging
import math
import traceback
from collections.abc import Mapping

from feilun import messages
from feilun.api.allowance import rate_headers
from feilun.api.encoding import encode
from feilun.errors import (
    BadAnswer,
    EnvironmentProblem,
    FeilunError,
    Overloaded,
    QuotaExceeded,
    RateLimited,
    Unauthorized,
    UsageError,
)

__all__ = [
    "BadRequest",
    "HeadersTooLarge",
    "MethodNotAllowed",
    "RouteNotFound",
    "TooSlow",
    "UnsupportedMedia",
    "error_body",
    "error_headers",
    "language_of",
]

log = logging.getLogger("feilun.api")

_TOLD = frozenset({"billing.meter_closed", "serving.nothing_live"})
"""Problems of the machine that callers may read about: they name nothing of it."""

_AWAY_SECONDS = 5
"""When to come again while a database or a disk does not give what is needed."""


class BadRequest(UsageError):
    """The request cannot be read at all: not HTTP, not JSON."""

    status = 400


class TooSlow(UsageError):
    """The client takes too long to send its request."""

    status = 408


class UnsupportedMedia(UsageError):
    """The body came in an encoding that is not taken."""

    status = 415


class HeadersTooLarge(UsageError):
    """The request line and the headers are too many or too long."""

    status = 431


class RouteNotFound(UsageError):
    """No route has this path."""

    status = 404


class MethodNotAllowed(UsageError):
    """The path exists, but not with this method."""

    status = 405


def error_body(
    error: Exception, request_id: str, lang: messages.Language | None = None, path: str = ""
) -> tuple[int, bytes]:
    """The status and the JSON body that answer `error`; failures of our own are logged. Under
    ``/v2`` of `path` the Open Inference Protocol prescribes ``{"error": "..."}``.

    A problem of the machine (a database, a disk) is told apart from a bug, but its text, which may
    name paths, stays in the log as well.
    """
    told: FeilunError
    if isinstance(error, FeilunError) and _may_be_told(error):
        told = error
    elif isinstance(error, EnvironmentProblem):
        # The sentence says what is wrong; where it was raised would fill a disk with a hundred
        # lines for each call that is refused while a database is away.
        log.error("request %s: %s", request_id, error.message("en"))
        log.debug("request %s\n%s", request_id, _trail(error))
        told = EnvironmentProblem("api.unavailable", request_id=request_id)
    else:
        log.error("request %s failed\n%s", request_id, _trail(error))
        told = FeilunError("api.internal", request_id=request_id)
    if path == "/v2" or path.startswith("/v2/"):
        return told.status, encode({"error": told.message(lang)})
    param = told.params.get("param")
    body = {
        "message": told.message(lang),
        "type": told.type,
        "code": told.code,
        "param": None if param is None else str(param),
        "request_id": request_id,
    }
    return told.status, encode({"error": body})


def _trail(error: BaseException) -> str:
    """Which exceptions were raised where, without their texts, which may quote what a caller
    sent."""
    parts: list[str] = []
    seen: set[int] = set()
    step: BaseException | None = error
    while step is not None and id(step) not in seen:
        seen.add(id(step))
        parts += [*traceback.format_tb(step.__traceback__), f"{type(step).__qualname__}\n"]
        step = step.__cause__ or (None if step.__suppress_context__ else step.__context__)
    return "".join(parts).rstrip()


def error_headers(error: Exception) -> list[tuple[bytes, bytes]]:
    """What an answer to `error` says in its headers: how to authenticate, when to come again."""
    headers = []
    if isinstance(error, Unauthorized):
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, FeilunError) and "retry_after" in error.params:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.params["retry_after"]))))
    elif isinstance(error, EnvironmentProblem) and error.status == 503:
        headers.append((b"retry-after", b"%d" % _AWAY_SECONDS))
    if isinstance(error, RateLimited) and error.params.get("allowance") is not None:
        headers += rate_headers(error.params["allowance"])
    if isinstance(error, QuotaExceeded):
        # The month is not over in a few seconds: OpenAI's client would try again in vain.
        headers.append((b"x-should-retry", b"false"))
    return headers


def _may_be_told(error: FeilunError) -> bool:
    return isinstance(error, UsageError | Overloaded | BadAnswer) or error.code in _TOLD


def language_of(headers: Mapping[bytes, bytes]) -> messages.Language | None:
    """The language that ``Accept-Language`` prefers among ours; None when it names neither."""
    value = headers.get(b"accept-language", b"")
    best: tuple[float, messages.Language] | None = None
    for part in value.decode("latin-1").lower().split(",")[:20]:
        tag, _, weight = part.strip().partition(";q=")
        lang = next((known for known in messages.LANGUAGES if _is(tag, known)), None)
        if lang is None:
            continue
        try:
            quality = float(weight) if weight else 1.0
        except ValueError:
            continue
        if best is None or quality > best[0]:
            best = quality, lang
    return best[1] if best else None


def _is(tag: str, lang: str) -> bool:
    return tag == lang or tag.startswith(f"{lang}-")
