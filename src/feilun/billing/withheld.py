"""What takes a charge back whose answer never left."""

from __future__ import annotations

from dataclasses import replace

from feilun.billing.holds import release
from feilun.store.ledger_records import CallOutcome, Event, LedgerCall

__all__ = ["WITHHELD", "credit_of"]

WITHHELD = "withheld"
"""Outcome of the credit for an answer that was written down and then not given."""


def credit_of(call: LedgerCall, outcome: CallOutcome) -> LedgerCall:
    """Credits of all that `call` was charged, in the moment of its charge, so that they fall into
    the same month: units, volumes and amounts come to nothing together. What the answer cost the
    operator stays. The answer is not kept for retries any more. A hold is released."""
    held = next((event for event in call.events if event.kind == "hold"), None)
    if held is not None:
        return release(held, WITHHELD)
    seq = max(event.seq for event in call.events) + 1
    credits_ = [
        _credit(event, amount, seq + place, outcome)
        for place, (event, amount) in enumerate(zip(call.events, outcome.amounts, strict=True))
        if event.kind in ("charge", "settle")
    ]
    return LedgerCall(credits_, withdraws=call.idempotent)


def _credit(event: Event, amount: int, seq: int, outcome: CallOutcome) -> Event:
    return replace(
        event,
        kind="credit",
        seq=seq,
        units={unit: -count for unit, count in event.units.items()},
        amount=-amount,
        rates=tuple(replace(rated, units=-rated.units) for rated in event.rates),
        cost=0,
        engine_us=0,
        outcome=WITHHELD,
        created=event.created or outcome.created,
        id="",
    )
