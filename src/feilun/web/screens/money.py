"""Money: what a month brings and costs, invoices from preview to close, the ledger's proof."""

from __future__ import annotations

import json
import secrets
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

from starlette.responses import HTMLResponse, Response

from feilun import messages
from feilun.errors import FeilunError, InvalidData, NotFound
from feilun.project.invoicing import form_of
from feilun.project.margins import By, margin, suggest_price
from feilun.project.results import Listing
from feilun.store.ledger_records import Invoice
from feilun.web.access import EVERYBODY, STAFF
from feilun.web.paths import path
from feilun.web.view import Page, View

__all__ = ["LINES", "PAGES", "invoice_links"]

_BY = ("customer", "endpoint", "model")
LINES = 1000  # of a preview, more than any has
_DOCUMENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def _money(view: View) -> Response:
    by = view.query("by", "customer")
    if by not in _BY:
        raise InvalidData("console.bad_choice", given=by[:40], options=_BY)
    month = view.query("month") or f"{datetime.now(UTC):%Y-%m}"
    invoices = view.workspace.invoices.list()
    rates = dict(one.split("=", 1) for one in view.query("exchange").split() if "=" in one)
    margins = _or_none(
        lambda: margin(view.workspace.scope, by=cast("By", by), month=month, exchange=rates or None)
    )
    return view.render(
        "money.html",
        month=month,
        by=by,
        choices=[(one, messages.t(f"console.by_{one}", view.lang)) for one in _BY],
        margins=margins,
        exchange=view.query("exchange"),
        counts=_calls_of(margins, by, month),
        plans=view.workspace.plans.all(),
        suggested=_suggested(view),
        asked={name: view.query(name) for name in ("project", "margin", "load")},
        projects_now=[(p.name, p.name) for p in view.workspace.projects()],
        **invoice_links(view, invoices),
    )


def invoice_links(view: View, invoices: Listing) -> dict[str, Any]:
    """The listed `invoices`, where their numbers lead, and where what they come to: to the calls
    of their month."""
    mine = view.who.role == "customer"
    return {
        "invoices": invoices,
        "links": {row["number"]: path("invoices", row["number"]) for row in invoices.rows},
        "of_month": [
            f"/mine/calls?{urlencode({'period': row['month']})}"
            if mine
            else f"/calls?{urlencode({'customer': row['customer'], 'period': row['month']})}"
            for row in invoices.rows
        ],
    }


def _calls_of(margins: Any, by: str, month: str) -> list[str | None]:
    """For each line of the margins the calls that it is made of."""
    name = {"customer": "customer", "endpoint": "project", "model": "version"}[by]
    rows = () if isinstance(margins, FeilunError) else margins.rows
    return [
        f"/calls?{urlencode({name: row['name'], 'period': month})}" if row["name"] else None
        for row in rows
    ]


def _suggested(view: View) -> Any:
    """A price for the project that is asked about, or why there is none; None where none is."""
    if not view.query("project"):
        return None

    def suggest() -> Any:
        return suggest_price(
            view.workspace.scope,
            view.query("project"),
            margin=_number(view, "margin", 50.0) / 100,
            load=_number(view, "load", 1.0),
        )

    return _or_none(suggest)


def _number(view: View, name: str, default: float) -> float:
    text = view.query(name).replace(",", "")
    try:
        return float(text) if text else default
    except ValueError:
        raise InvalidData("console.not_a_number", field=name, given=text[:40]) from None


def _or_none(make: Callable[[], Any]) -> Any:
    """What `make` finds, or the error that says why there is nothing."""
    try:
        return make()
    except FeilunError as error:
        return error


def _plan(view: View) -> Response:
    """A plan with one price for inputs, or a new version of it."""
    name = view.field("name")
    for given, key in ((name, "name"), (view.field("per_1000"), "per_1000")):
        if not given:
            raise InvalidData("console.missing", field=messages.t(f"console.{key}", view.lang))
    document = {
        "currency": view.field("currency").upper() or "USD",
        "rates": [{"unit": "inputs", "tiers": [{"per_1000": view.field("per_1000")}]}],
    }
    if view.field("minimum"):
        document["monthly_minimum"] = view.field("minimum")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "plan.json"
        file.write_text(json.dumps(document), "utf-8")
        view.workspace.plans.set(file, name=name)
    return view.go("/money", messages.t("console.saved", view.lang))


def _close(view: View) -> Response:
    month = view.field("finished")
    made = view.workspace.invoices.close(month)
    said = messages.t("console.closed", view.lang, month=month, count=len(made.rows))
    return view.go("/money", said)


def _verify(view: View) -> Response:
    from feilun.project import ledger_book

    found = ledger_book.verify(view.workspace.scope)
    return view.render("verified.html", found=found)


def _of_customer(view: View) -> Response:
    invoices = view.workspace.invoices
    customer = view.workspace.customers.show(view.part("customer"))
    preview = _or_none(lambda: invoices.preview(customer.id))
    calls = {"customer": customer.id, "period": getattr(preview, "month", "")}
    return view.render(
        "money_customer.html",
        customer=customer,
        preview=preview,
        counts=[f"/calls?{urlencode(calls)}"] * LINES,
        **invoice_links(view, invoices.list(customer=customer.id)),
        topups=view.workspace.customers.topups(customer.id),
        currency=next(iter(customer.balance or customer.spent), ""),
        once=view.field("once") or secrets.token_hex(8),
    )


def _top_up(view: View) -> Response:
    customer = view.part("customer")
    view.workspace.customers.top_up(
        customer,
        view.field("topup"),
        currency=view.field("currency") or None,
        note=view.field("note"),
        # A button that is pressed twice records once.
        reference=view.field("reference") or f"console-{view.field('once')}",
    )
    return view.go(path("money", customer), messages.t("console.topped_up", view.lang))


def _credit(view: View) -> Response:
    customer = view.part("customer")
    view.workspace.invoices.credit(customer, view.field("amount"), view.field("reason"))
    return view.go(path("money", customer), messages.t("console.saved", view.lang))


def _invoice(view: View) -> Response:
    found = _found(view)
    page = form_of(found, "html", view.lang)
    return HTMLResponse(page, headers={"content-security-policy": _DOCUMENT_POLICY})


def _invoice_csv(view: View) -> Response:
    found = _found(view)
    name = f'attachment; filename="{found.number}.csv"'
    return Response(
        form_of(found, "csv", view.lang),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": name},
    )


def _found(view: View) -> Invoice:
    """The invoice; for a customer only one of theirs, and others as if there were none."""
    number = view.part("number")
    invoice = view.workspace.store.invoices.invoice(number)
    if view.who.role == "customer" and invoice.customer != view.who.customer:
        raise NotFound("billing.no_invoice", number=number)
    if view.who.role not in (*STAFF, "customer"):
        raise NotFound("billing.no_invoice", number=number)
    return invoice


PAGES = (
    Page("GET", "/money", _money, STAFF),
    Page("POST", "/money/plans", _plan, STAFF, again=_money),
    Page("POST", "/money/close", _close, STAFF, again=_money),
    Page("POST", "/money/verify", _verify, STAFF, again=_money),
    Page("GET", "/money/{customer}", _of_customer, STAFF),
    Page("POST", "/money/{customer}/credit", _credit, STAFF, again=_of_customer),
    Page("POST", "/money/{customer}/topup", _top_up, STAFF, again=_of_customer),
    Page("GET", "/invoices/{number}", _invoice, EVERYBODY),
    Page("GET", "/invoices/{number}/csv", _invoice_csv, EVERYBODY),
)
