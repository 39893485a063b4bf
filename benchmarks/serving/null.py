"""feilun's server with parts that do nothing, to weigh those parts against.

    python -m benchmarks.serving.null "null writer" WORKSPACE

``null writer``: calls go through the meter and its groups, and the ledger writes nothing. ``null``:
the meter answers at once, every key is the first one of the catalog, and no limit is asked.
``bare``: reads a call, asks the engine, writes its answer, and nothing else: what the same HTTP
server costs any program.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec

from feilun.api import __main__ as server
from feilun.api import context
from feilun.api.middleware import Middleware
from feilun.billing.meter import Meter
from feilun.store.ledger_records import CallOutcome, LedgerCall
from feilun.store.records import ApiKey
from feilun.types import EngineRequest

__all__: list[str] = []


def _outcome(call: LedgerCall) -> CallOutcome:
    return CallOutcome(tuple(0 for _ in call.events), datetime.now(UTC))


class _Nothing:
    """A ledger that has room for everything."""

    def commit_group(self, calls: Sequence[LedgerCall]) -> list[CallOutcome]:
        return [_outcome(call) for call in calls]

    def outcomes(self, call_ids: Sequence[str]) -> dict[str, CallOutcome]:
        return {}


class _NullWriter(Meter):
    """The meter as it is, over a ledger that writes nothing."""

    def __init__(self, ledger: Any, gate: Any = None, **options: Any) -> None:
        super().__init__(_Nothing(), gate, **options)


class _NullMeter(_NullWriter):
    """Says at once that a call is on record."""

    async def record(self, call: LedgerCall) -> CallOutcome:
        return _outcome(call)


class _Passage:
    """Of no limits at all."""

    def settle(self, units: Mapping[str, int], amount: int | None = None) -> None:
        pass

    def allowance(self) -> None:
        return None

    def warning(self) -> None:
        return None


@asynccontextmanager
async def _no_limits(*_: object, **__: object) -> AsyncIterator[_Passage]:
    yield _Passage()


async def _bare(self: Middleware, scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http" or scope["path"] != "/v1/predict":
        await _whole(self, scope, receive, send)
        return
    body = (await receive())["body"]
    engine = self.api.models.routes["reviews"].live.engine
    assert engine is not None
    request = EngineRequest([msgspec.json.decode(body)["inputs"]], all_scores=True)
    [chunk] = [chunk async for chunk in engine.submit(request)]
    answer = msgspec.json.encode(chunk.outputs)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(answer)),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


_whole = Middleware.__call__


def _open(kind: str) -> None:
    """Puts the null parts where the app looks for the real ones."""
    if kind == "bare":
        Middleware.__call__ = _bare  # type: ignore[method-assign]
        return
    meter = _NullWriter if kind == "null writer" else _NullMeter
    context.Meter = meter  # type: ignore[attr-defined]
    if kind == "null writer":
        return
    known: list[ApiKey] = []

    async def anyone(self: context.Api, headers: Mapping[bytes, bytes], *_: Any) -> ApiKey:
        if not known:
            known.extend(self.service.store.catalog.keys())
            self.limits.enter = _no_limits  # type: ignore[method-assign, assignment]
        return known[0]

    context.Api.authorise = anyone  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    _open(sys.argv.pop(1))
    sys.exit(server.main())
