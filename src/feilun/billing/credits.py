"""Money given back. A credit is an event like any other: it lowers what the month in which it was
given comes to, and changes nothing that was written before."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from feilun.errors import Conflict, InvalidData, UsageError
from feilun.store.ids import new_id
from feilun.store.ledger_records import Event
from feilun.store.store import Store

__all__ = ["CREDIT", "give_credit"]

CREDIT = "credit"
"""The outcome of a credit that a person gave."""


def give_credit(
    store: Store,
    customer: str,
    amount: int,
    reason: str,
    *,
    currency: str,
    reference: str | None = None,
    now: datetime | None = None,
) -> Event:
    """Gives `customer` (an id) `amount` micro-units, and notes why for the invoice.

    With a `reference` it happens once: the same again returns the event that is there. `now` is the
    clock, for tests. Raises
    `InvalidData` for an amount of nothing or less, `UsageError` without a reason, `Conflict` when
    the reference stands for another credit.
    """
    if amount <= 0:
        raise InvalidData("billing.credit_amount", amount=amount / 1e6)
    if not reason.strip():
        raise UsageError("billing.credit_reason")
    call_id = f"credit:{reference}" if reference else new_id("credit_")
    known = _known(store, call_id)
    if known is None:
        # The reason first: one of a credit that was never written says nothing, but a credit
        # without its reason cannot be mended.
        said = {"amount": amount, "currency": currency, "reason": reason.strip(), "call": call_id}
        store.catalog.note("credit.give", customer, said)
        store.invoices.add_reason(call_id, customer, reason.strip())
        event = Event(
            call_id=call_id,
            kind="credit",
            amount=-amount,
            currency=currency,
            customer=customer,
            outcome=CREDIT,
            created=now,
        )
        with suppress(Conflict):  # the same reference, by another process, a moment ago
            store.ledger.commit([event])
        known = _known(store, call_id)
        assert known is not None
    if (known.customer, known.amount, known.currency) != (customer, -amount, currency):
        raise Conflict("billing.reference_taken", reference=reference, reason=known.call_id)
    return known


def _known(store: Store, call_id: str) -> Event | None:
    return next(iter(store.ledger.events(call_id=call_id)), None)
