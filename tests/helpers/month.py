"""A month of calls in the past, written into a real ledger with the times at which they came."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from feilun.billing.plans import parse_plan, set_plan, subscribe
from feilun.billing.rating import RateBook
from feilun.billing.withheld import credit_of
from feilun.store import Store
from feilun.store.ledger_records import CallOutcome, Event, Idempotent, LedgerCall
from feilun.store.records import Customer, Price

MONTH = "2025-10"
BEGIN = datetime(2025, 10, 1, tzinfo=UTC)
AFTER = datetime(2025, 11, 2, tzinfo=UTC)
"""A clock of the month after, on which the month may be closed."""

_numbers = count(1)


def day(number: int, hour: int = 12) -> datetime:
    """A time in the month."""
    return datetime(2025, 10, number, hour, tzinfo=UTC)


def add_plan(
    store: Store, name: str, document: Mapping[str, Any], effective: datetime = BEGIN
) -> Price:
    """A version of a plan, said a moment before it begins."""
    plan = parse_plan(document, name)
    return set_plan(store.catalog, name, plan, effective, now=effective - timedelta(seconds=1))


def add_customer(
    store: Store, name: str, plan: str | None, since: datetime = BEGIN, **details: Any
) -> Customer:
    """A customer who is on a plan from `since` on; `details` stand on its invoices."""
    made = store.catalog.add_customer(name)
    if plan is not None:
        subscribe(store.catalog, made.id, plan, since, now=since)
    return store.catalog.set_customer(made.id, details=details)


def call(
    store: Store,
    customer: Customer,
    at: datetime,
    inputs: int,
    *,
    project: str = "reviews",
    endpoint: str | None = None,
    retry: str | None = None,
    withheld: bool = False,
    **units: int,
) -> CallOutcome:
    """One call, priced by what held at its time. With `retry` it carries that Idempotency-Key;
    `withheld` is taken back at once, as where its key was revoked meanwhile."""
    book = RateBook(store.catalog)
    book.reload()
    endpoint = endpoint or project
    used = {"calls": 1, "inputs": inputs, **units}
    rating = book.rate(customer.id, project, endpoint, used, at)
    event = Event(
        call_id=f"call_{next(_numbers)}",
        units=used,
        rates=rating.rates,
        price_version=rating.price_version,
        currency=rating.currency or "USD",
        customer=customer.id,
        project=project,
        endpoint=endpoint,
        model_version=f"{project}@1",
        data_version=f"{project}:1",
        created=at,
    )
    kept = None
    if retry is not None:
        expires = datetime.now(UTC) + timedelta(hours=1)
        kept = Idempotent(customer.id, retry, "f" * 64, event.call_id, b"{}", expires)
    done = LedgerCall([event], idempotent=kept)
    [outcome] = store.ledger.commit_group([done])
    if withheld:
        store.ledger.commit_group([credit_of(done, outcome)])
    return outcome
