"""Money kept aside for a call that takes long, and what ends it.

A call begins with a hold of the most it may come to, and ends by settling the final amount or by
releasing all of it. What stands counts against budgets. Of settle and release one happens: the
ledger refuses the second, and a hold whose time is over is released by whichever process sees it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from feilun.store.ledger import Ledger
from feilun.store.ledger_records import Event, Idempotent, LedgerCall, Prediction

__all__ = ["EXPIRED", "hold", "release", "release_expired", "settle"]

log = logging.getLogger("feilun.billing")

EXPIRED = "expired"
"""Outcome of the release of a hold that nobody ended in time."""

_BATCH = 200


def hold(event: Event, until: datetime) -> LedgerCall:
    """Begins a call: holds `event.amount`, the most it may come to, until it is settled, released,
    or `until` is over. Hand it to `Meter.record`."""
    return LedgerCall([replace(event, kind="hold", seq=0, rates=())], hold_until=until)


def settle(
    event: Event, predictions: Sequence[Prediction] = (), idempotent: Idempotent | None = None
) -> LedgerCall:
    """Ends a call with what it came to (`event.amount`, or its rates). Its outcome is an error,
    `Gone`, when the hold has ended already; then no answer may leave."""
    return LedgerCall([replace(event, kind="settle", seq=1)], predictions, idempotent)


def release(held: Event, outcome: str) -> LedgerCall:
    """Ends a call that owes nothing; `held` is what was held, `outcome` the error's code."""
    return LedgerCall([_released(replace(held, seq=0), outcome)])


def release_expired(ledger: Ledger, moment: datetime | None = None) -> int:
    """Releases the holds whose time is over at `moment` (default: now); how many. Of several
    processes that do so, each hold is released by one. Raises `EnvironmentProblem`."""
    total = 0
    while True:
        due = ledger.expired_holds(moment, _BATCH)
        calls = [LedgerCall([_released(event, EXPIRED)]) for event in due]
        released = sum(outcome.written for outcome in ledger.commit_group(calls))
        total += released
        # None at all: others release these at this moment.
        if len(due) < _BATCH or not released:
            break
    if total:
        log.info("%d holds were released whose time was over", total)
    return total


def _released(held: Event, outcome: str) -> Event:
    return replace(
        held,
        kind="release",
        seq=held.seq + 1,
        amount=-held.amount,
        units={},
        cost=0,
        engine_us=0,
        rates=(),
        outcome=outcome,
        id="",
        link=None,
        created=None,
    )
