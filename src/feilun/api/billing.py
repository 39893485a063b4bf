"""Routes about money, for the customer who pays: usage, what is left, invoices. Of what is
anybody else's they know nothing: it is not there."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal

from fastapi import APIRouter, Request, Response

from feilun import messages
from feilun.api.context import Api
from feilun.api.encoding import encode
from feilun.api.json_route import JsonRoute
from feilun.api.routes import ApiOf, UsageKey
from feilun.billing.currency import amount_text
from feilun.billing.invoice_page import invoice_csv, invoice_html
from feilun.billing.usage import left_over, own_usage
from feilun.store.ledger_records import Invoice
from feilun.store.records import ApiKey

__all__ = ["router"]

router = APIRouter(route_class=JsonRoute, tags=["usage"])
# The page brings its style along and fetches nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"


@router.get("/v1/usage")
async def get_usage(
    api: ApiOf, key: UsageKey, since: date | None = None, until: date | None = None
) -> Response:
    """What this key's customer has used and owes, by day and model, days in UTC, and what is left
    of this month's limits.

    `since` and `until` are the first and the last day; without them everything counts. `limits` has
    an entry for the key and one for the customer, where anything limits them: of `inputs` and
    `budgets` what is used and what remains, of `balances` what is left of what was paid beforehand.
    Servers take shares of limits, so that a refusal can
    come a little before nothing is left.
    """
    gates = api.limits.gates(key)  # on the event loop's thread, where limits live

    def read() -> dict[str, Any]:
        store = api.service.store
        usage = own_usage(
            store.ledger,
            key.customer,
            since=None if since is None else datetime.combine(since, time(), UTC),
            until=None if until is None else datetime.combine(until, time(), UTC) + timedelta(1),
        )
        usage["limits"] = left_over(store.allowances, gates, _currencies(api, key))
        return usage

    return _json(await asyncio.to_thread(read))


@router.get("/v1/invoices")
def get_invoices(api: ApiOf, key: UsageKey) -> Response:
    """The invoices of this key's customer, oldest first."""
    found = api.service.store.invoices.invoices(customer=key.customer)
    return _json({"object": "list", "data": [_brief(one) for one in found]})


@router.get("/v1/invoices/{number}")
def get_invoice(
    request: Request,
    number: str,
    api: ApiOf,
    key: UsageKey,
    format: Literal["json", "html", "csv"] | None = None,
    lang: Literal["en", "zh"] | None = None,
) -> Response:
    """One invoice of this key's customer: JSON, or with `format=html` or `Accept: text/html` a page
    that any browser prints, or with `format=csv` a table.

    Amounts are exact decimals. `digest` is the sha256 of the document without `digest` and
    `object`: of its JSON with sorted keys and without spaces, in UTF-8. `lang` is by default the
    customer's language.
    """
    found = api.service.store.invoices.invoice(number[:80], key.customer)
    kind = format or _wanted(request.headers.get("accept", ""))
    if kind == "html":
        return Response(
            invoice_html(found, _language(lang)),
            media_type="text/html",
            headers={"content-security-policy": _POLICY},
        )
    if kind == "csv":
        return Response(
            invoice_csv(found, _language(lang)),
            media_type="text/csv",
            headers={"content-disposition": f'attachment; filename="{found.number}.csv"'},
        )
    return _json({"object": "invoice", "digest": found.digest, **found.document})


def _brief(invoice: Invoice) -> dict[str, Any]:
    return {
        "number": invoice.number,
        "month": invoice.month,
        "total": amount_text(invoice.total, invoice.currency),
        "currency": invoice.currency,
        "issued": invoice.document["issued"],
        "due": invoice.document["due"],
        "digest": invoice.digest,
    }


def _currencies(api: Api, key: ApiKey) -> set[str]:
    """What the customer is charged in: by its plan, by what it used this month."""
    month = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    rows = api.service.store.ledger.usage(customer=key.customer, since=month)
    plan = api.rates.plan_of(key.customer)
    return {row.currency for row in rows} | ({plan.plan.currency} if plan else set())


def _language(lang: str | None) -> messages.Language | None:
    return "zh" if lang == "zh" else "en" if lang else None


def _wanted(accept: str) -> str:
    """The first of our forms that ``Accept`` names, JSON where it names none."""
    for part in accept.lower().split(",")[:20]:
        kind = part.partition(";")[0].strip()
        for name, known in (("html", "text/html"), ("csv", "text/csv"), ("json", "/json")):
            if kind.endswith(known):
                return name
    return "json"


def _json(value: Any) -> Response:
    return Response(encode(value), media_type="application/json")
