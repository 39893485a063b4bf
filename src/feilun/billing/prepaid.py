"""Money paid beforehand: an operator records it, calls come out of it, invoices take it off.

A top-up is an event of the ledger like any other: it is in the chain of hashes, in the sums, and
never changes. A balance counts in prices, before tax: tax stands on the month's invoice as always.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from feilun.billing.currency import exact_text
from feilun.billing.invoice_document import micro_in
from feilun.errors import Conflict, InvalidData
from feilun.store.ids import new_id
from feilun.store.ledger_balances import INVOICED, OPENING, TOPUP
from feilun.store.ledger_records import Event, UsageRow
from feilun.store.store import Store

__all__ = ["Settlement", "record_topup", "settle_month"]

_Json = dict[str, Any]


def record_topup(
    store: Store,
    customer: str,
    amount: int,
    *,
    currency: str,
    note: str = "",
    reference: str | None = None,
    now: datetime | None = None,
) -> Event:
    """Puts `amount` micro-units onto the balance of `customer` (an id), below zero: takes them off.

    With a `reference` it happens once: the same again returns the event that is there. `now` is the
    clock, for tests. Raises `InvalidData` for nothing, and for more taken off than there is,
    `Conflict` when the reference stands for another top-up.
    """
    if not amount:
        raise InvalidData("billing.topup_amount")
    call_id = f"{TOPUP}:{reference}" if reference else new_id("topup_")
    known = _known(store, call_id)
    if known is None:
        account = store.allowances.accounts(customer).get(currency)
        left = account.left if account else 0
        if amount < 0 and left + amount < 0:
            shown = {"amount": exact_text(-amount, currency), "left": exact_text(left, currency)}
            raise InvalidData("billing.topup_refund", currency=currency, **shown)
        if account is None:
            _open(store, customer, currency, now)
        said = {"amount": amount, "currency": currency, "note": note.strip(), "call": call_id}
        store.catalog.note("balance.topup", customer, said)
        if note.strip():
            store.invoices.add_reason(call_id, customer, note.strip())
        event = Event(
            call_id=call_id,
            kind=TOPUP,
            amount=amount,
            currency=currency,
            customer=customer,
            created=now,
        )
        with suppress(Conflict):  # the same reference, by another process, a moment ago
            store.ledger.commit([event])
        known = _known(store, call_id)
        assert known is not None
    if (known.customer, known.amount, known.currency) != (customer, amount, currency):
        raise Conflict("billing.reference_taken", reference=reference, reason=known.call_id)
    return known


@dataclass(frozen=True, slots=True)
class Settlement:
    """What of a month's invoice the balance paid, in micro-units, and how the `document` says it:
    None where no balance was open."""

    paid: int = 0
    document: _Json | None = None


def settle_month(
    store: Store,
    customer: str,
    month: str,
    currency: str,
    sums: Sequence[UsageRow],
    late: Sequence[_Json],
    *,
    to_come: int = 0,
    write: bool,
) -> Settlement:
    """What the balance pays of the invoice of `month`, whose ledger says `sums` and whose lines
    bring `late` amounts of earlier months; `to_come` of the sums is not on record yet. What it does
    not cover is asked for by the invoice, and put onto the balance: with `write` in the ledger,
    once."""
    account = store.allowances.accounts(customer).get(currency)
    if account is None or month < account.opened:
        return Settlement()
    drawn = sum(row.amount for row in sums)
    drawn += sum(micro_in(one["amount"]) for one in late if one["month"] >= account.opened)
    if month == account.opened:
        drawn -= account.before
    until = store.allowances.drawn_until(customer, account, month) + to_come
    asked = account.invoiced.get(month)
    if asked is None:
        asked = max(0, until - account.paid)
        if asked and write:
            asked = _ask(store, customer, month, currency, asked)
    put = store.allowances.topped_up(customer, currency)
    left = sum(amount for day, amount in put if day <= f"{month}-31") + asked - until
    left += sum(amount for when, amount in account.invoiced.items() if when < month)
    paid = drawn - asked
    return Settlement(
        paid,
        {
            "amount": exact_text(-paid, currency),
            "topups": [
                {"day": day, "amount": exact_text(one, currency)}
                for day, one in put
                if day[:7] == month
            ],
            "left": exact_text(left, currency),
        },
    )


def _ask(store: Store, customer: str, month: str, currency: str, amount: int) -> int:
    """Puts what the invoice asks for onto the balance. In conflict another process closes the same
    month: its amount is this one."""
    event = Event(
        call_id=f"{INVOICED}{customer}:{month}:{currency}",
        kind=TOPUP,
        amount=amount,
        currency=currency,
        customer=customer,
        outcome=INVOICED + month,
    )
    with suppress(Conflict):
        store.ledger.commit([event])
    known = _known(store, event.call_id)
    assert known is not None
    return known.amount


def _open(store: Store, customer: str, currency: str, now: datetime | None) -> None:
    """Opens a balance: what the month was charged so far is owed by invoice."""
    month = f"{now or datetime.now(UTC):%Y-%m}"
    event = Event(
        call_id=f"{OPENING}:{customer}:{currency}",
        kind=TOPUP,
        amount=store.allowances.charged_since(customer, currency, month),
        currency=currency,
        customer=customer,
        outcome=OPENING,
        created=now,
    )
    with suppress(Conflict):  # another process opened it
        store.ledger.commit([event])


def _known(store: Store, call_id: str) -> Event | None:
    return next(iter(store.ledger.events(call_id=call_id)), None)
