"""The ledger as CloudEvents 1.0, for the meters of others: OpenMeter, Lago, Stripe.

One JSON object a line. The id of a CloudEvent is the id of the ledger's event, so that a file may
be sent twice: every meter counts an id once (OpenMeter by id and source, Lago as
``transaction_id``, Stripe as ``identifier``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from feilun.billing.currency import exact_text
from feilun.store.ledger_records import Event

__all__ = ["SOURCE", "TYPES", "cloud_event", "lines"]

SOURCE = "/feilun/ledger"
TYPES = {
    "charge": "feilun.usage.v1",
    "settle": "feilun.usage.v1",
    "credit": "feilun.credit.v1",
}
"""The type of each kind of event that is owed. Holds and releases are owed by nobody and are not
exported. What was charged without a call (a monthly minimum, a re-rating) is a `feilun.fee.v1`."""

_FEE = "feilun.fee.v1"


def cloud_event(event: Event) -> dict[str, Any] | None:
    """One event of the ledger, in CloudEvents' JSON format; None for holds and releases.

    `subject` is the customer's id. `data` has what was used as numbers, and `amount` as exact
    decimal text; never an input, a key or what the answer cost the operator.
    """
    if event.kind not in TYPES or event.created is None:
        return None
    fee = event.kind == "charge" and ":" in event.outcome
    found: dict[str, Any] = {
        "specversion": "1.0",
        "id": event.id,
        "source": SOURCE,
        "type": _FEE if fee else TYPES[event.kind],
        "time": event.created.isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": {
            "call": event.call_id,
            "kind": event.kind,
            "outcome": event.outcome,
            "project": event.project,
            "endpoint": event.endpoint,
            "model": event.model_version,
            "data_version": event.data_version,
            "price_version": event.price_version,
            **event.units,
            "amount": exact_text(event.amount, event.currency),
            "currency": event.currency,
        },
    }
    if event.customer:
        found["subject"] = event.customer
    return found


def lines(events: Iterable[Event]) -> Iterator[str]:
    """The CloudEvents of `events`, one line each, in their order."""
    for event in events:
        found = cloud_event(event)
        if found is not None:
            yield json.dumps(found, ensure_ascii=False, separators=(",", ":")) + "\n"
