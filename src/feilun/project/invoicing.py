"""Invoices, credits and re-ratings of a workspace, and its ledger for the meters of others."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from feilun import messages
from feilun.billing import cloudevents
from feilun.billing.credits import give_credit
from feilun.billing.currency import amount_text, exact_text, micro_of
from feilun.billing.invoice_document import Seller, micro_in, tax_rate_of
from feilun.billing.invoice_page import grouped, invoice_csv, invoice_html, line_title
from feilun.billing.invoices import (
    SELLER,
    check_month,
    close_month,
    find_customer,
    parse_month,
    preview_month,
)
from feilun.billing.rating import currency_of
from feilun.billing.rerate import Rerating, rerate, rerating
from feilun.errors import InvalidData, InvalidSettings, UsageError
from feilun.messages import t
from feilun.project.results import Listing
from feilun.store.files import full_disk, write_atomically
from feilun.store.ledger_records import Invoice
from feilun.store.records import Customer
from feilun.table import Result, Table, to_jsonable

if TYPE_CHECKING:
    from feilun.store.store import Store

__all__ = ["FORMATS", "Format", "InvoicePreview", "InvoiceShown", "Invoices", "Rerated"]

Format = Literal["html", "json", "csv"]
FORMATS: tuple[Format, ...] = get_args(Format)


@dataclass(frozen=True)
class InvoiceShown(Result):
    """One invoice: its document as it was closed, and the document's sha256."""

    digest: str
    document: Mapping[str, Any]

    def tables(self) -> Sequence[Table]:
        document = self.document
        title = f"{t('invoice.title')} {document['number']}: {document['customer']['legal_name']}"
        notes = [t("invoice.digest", digest=self.digest)]
        return (_document_table(document, title, notes),)


@dataclass(frozen=True)
class InvoicePreview(Result):
    """What closing a month would put on invoices by what is in the ledger so far, one document a
    currency. Nothing is numbered or closed."""

    customer: str
    month: str
    documents: Sequence[Mapping[str, Any]]

    def tables(self) -> Sequence[Table]:
        title = t("billing.preview", month=self.month, customer=self.customer)
        notes = [t("billing.preview_only")]
        if not self.documents:
            return (Table(title, (), (), [t("billing.preview_nothing")]),)
        for document in self.documents:
            free = sum(
                int(line.get("volume") or 0)
                for line in document["lines"]
                if not micro_in(line["amount"]) and line["kind"] == "usage"
            )
            if free:
                notes.append(t("billing.preview_free", volume=free))
        return tuple(_document_table(one, title, notes) for one in self.documents)


def _document_table(document: Mapping[str, Any], title: str, notes: Sequence[str]) -> Table:
    """The lines of an invoice's document, with its total."""
    columns = [
        t("invoice.description"),
        t("invoice.volume"),
        t("invoice.amount", currency=document["currency"]),
    ]
    rows = [
        [line_title(line), grouped(line.get("volume", "")), grouped(line["amount"])]
        for line in document["lines"]
    ]
    for name in ("tax", "prepaid", "rounding"):
        if document.get(name):
            words = t(f"invoice.{name}", **document[name])
            rows.append([words, "", grouped(document[name]["amount"])])
    rows.append([t("invoice.total"), "", grouped(document["total"])])
    return Table(title, columns, rows, notes)


@dataclass(frozen=True)
class Rerated(Result):
    """What a month was charged and what it costs by another price version, as exact decimals;
    `written` tells whether the difference is in the ledger now."""

    customer: str
    month: str
    price_version: int
    currency: str
    charged: str
    target: str
    difference: str
    written: bool
    lines: Sequence[Mapping[str, Any]]

    def tables(self) -> Sequence[Table]:
        rows = [
            [line["line"], grouped(line["volume"]), grouped(line["amount"])] for line in self.lines
        ]
        rows += [
            [t("billing.rerate_target"), "", grouped(self.target)],
            [t("billing.rerate_charged"), "", grouped(self.charged)],
            [t("billing.rerate_difference"), "", grouped(self.difference)],
        ]
        nothing = not float(self.difference)
        said = "done" if self.written else "same" if nothing else "would"
        columns = [
            t("invoice.description"),
            t("invoice.volume"),
            t("invoice.amount", currency=self.currency),
        ]
        title = t("billing.rerate_title", month=self.month, customer=self.customer)
        return (Table(title, columns, rows, [t(f"billing.rerate_{said}")]),)


class Invoices:
    """The verbs about money of one workspace. Customers are called by name or id."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def close(
        self,
        month: str,
        *,
        customer: str | None = None,
        tax: str | None = None,
        check: bool = False,
    ) -> Listing:
        """Closes a finished month (``2026-10``, UTC) into invoices, for `customer` or for all.
        `tax` is a rate in percent for customers that have none of their own; `check` compares the
        roll-ups with every event first. Again it returns the same invoices."""
        chosen = None if customer is None else [find_customer(self._store, customer)]
        made = close_month(self._store, month, chosen, tax=tax_rate_of(tax), check=check)
        return self._listing(made, t("billing.closed", month=month))

    def preview(
        self, customer: str, *, month: str | None = None, tax: str | None = None
    ) -> InvoicePreview:
        """What the invoice of `customer` for `month` (default: the one that runs) would say now,
        before it is closed. Nothing is charged, numbered or closed. Raises `Conflict` for a month
        that is closed, `InvalidData` for one that has not begun."""
        known = find_customer(self._store, customer)
        wanted = month or f"{datetime.now(UTC):%Y-%m}"
        documents = preview_month(self._store, known, wanted, tax=tax_rate_of(tax))
        return InvoicePreview(known.name, wanted, documents)

    def list(self, *, customer: str | None = None, month: str | None = None) -> Listing:
        """The invoices there are, by number."""
        wanted = None if customer is None else find_customer(self._store, customer).id
        if month is not None:
            parse_month(month)
        found = self._store.invoices.invoices(customer=wanted, month=month)
        return self._listing(found, t("billing.invoices"))

    def show(self, number: str, *, check: bool = False) -> InvoiceShown:
        """One invoice. With `check` the sums of its month are compared with every event, which
        takes as long as there are events. Raises `NotFound`, `CorruptArtifact`."""
        found = self._store.invoices.invoice(number)
        if check:
            check_month(self._store, found.customer, found.month)
        return InvoiceShown(found.digest, found.document)

    def export(
        self,
        number: str,
        file: Path | str,
        *,
        format: str | None = None,
        lang: messages.Language | None = None,
    ) -> Path:
        """Writes an invoice as HTML (which any browser prints to PDF), JSON or CSV, by default as
        the name of `file` ends. `lang` by default the customer's. Raises `UsageError` for another
        form."""
        path = Path(file)
        kind = format or path.suffix.lstrip(".").lower()
        if kind not in FORMATS:
            raise UsageError("billing.invoice_format", format=kind, options=FORMATS)
        found = self._store.invoices.invoice(number)
        write_atomically(path, form_of(found, kind, lang).encode())
        return path

    def seller(self, **changes: Any) -> dict[str, Any]:
        """Who sells, as invoices say it from now on: ``legal_name``, ``address``, ``tax_id``,
        ``note``, ``payment_days``. Given ones are changed; what stands is returned. Raises
        `InvalidSettings`."""
        from pydantic import ValidationError

        from feilun.config import describe_faults

        now = self._store.catalog.setting(SELLER, {})
        given = {name: value for name, value in changes.items() if value is not None}
        try:
            made = Seller.model_validate(now | given)
        except ValidationError as error:
            faults = describe_faults(error)
            raise InvalidSettings("billing.seller_faults", faults=faults) from None
        if given:
            self._store.catalog.note("invoice.seller", "-", given)
            self._store.catalog.set_setting(SELLER, made.model_dump(exclude_none=True))
        return made.model_dump()

    def credit(
        self,
        customer: str,
        amount: str,
        reason: str,
        *,
        currency: str | None = None,
        reference: str | None = None,
    ) -> Listing:
        """Gives `amount` (``"12.50"``) back to `customer`, on the invoice of the current month,
        with its reason. With a `reference` it happens once, however often it is asked for."""
        known = find_customer(self._store, customer)
        try:
            micro = micro_of(amount)
        except ValueError:
            raise InvalidData("billing.credit_amount", amount=amount) from None
        code = currency.upper() if currency else currency_of(self._store, known)
        event = give_credit(
            self._store, known.id, micro, reason, currency=code, reference=reference
        )
        assert event.created is not None
        row = {
            "id": event.id,
            "call_id": event.call_id,
            "customer": known.name,
            "amount": exact_text(event.amount, code),
            "currency": code,
            "created": event.created,
        }
        shown = exact_text(micro, code)
        text = t("billing.credited", customer=known.name, amount=shown, currency=code)
        return Listing([to_jsonable(row)], Table(text, (), ()))

    def rerate(self, customer: str, month: str, version: int, *, write: bool = False) -> Rerated:
        """What a closed `month` would have cost by the price version with this id; with `write` the
        difference becomes a credit or a charge of the current month. Again it changes nothing."""
        known = find_customer(self._store, customer)
        parse_month(month)
        if write:
            found, written = rerate(self._store, known, month, version)
        else:
            found, written = rerating(self._store, known, month, version), False
        return _rerated(known, found, written)

    def export_usage(
        self, file: Path | str, *, since: datetime | None = None, until: datetime | None = None
    ) -> int:
        """Writes what is owed as CloudEvents 1.0, a line each, and returns how many. `until` is not
        included. The file is there whole or not at all."""
        path = Path(file)
        aside = path.with_name(f".{path.name}.part")
        count = 0
        with full_disk(path):
            try:
                with aside.open("w", encoding="utf-8", newline="\n") as out:
                    for line in cloudevents.lines(
                        self._store.ledger.events(since=since, until=until)
                    ):
                        out.write(line)
                        count += 1
                aside.replace(path)
            finally:
                aside.unlink(missing_ok=True)
        return count

    def _listing(self, invoices: Sequence[Invoice], title: str) -> Listing:
        names = {one.id: one.name for one in self._store.catalog.customers()}
        rows = [
            {
                "number": one.number,
                "month": one.month,
                "customer": names.get(one.customer, one.customer),
                "total": amount_text(one.total, one.currency),
                "currency": one.currency,
                "digest": one.digest,
                "created": one.created.isoformat(),
            }
            for one in invoices
        ]
        shown = [
            [row["number"], row["customer"], f"{grouped(row['total'])} {row['currency']}"]
            for row in rows
        ]
        columns = [t("invoice.number"), t("invoice.bill_to"), t("invoice.total")]
        notes = [] if rows else [t("billing.no_invoices")]
        return Listing(rows, Table(title, columns if rows else (), shown, notes))


def form_of(invoice: Invoice, kind: str, lang: messages.Language | None = None) -> str:
    """An invoice in one of the `FORMATS`."""
    if kind == "html":
        return invoice_html(invoice, lang)
    if kind == "csv":
        return invoice_csv(invoice, lang)
    whole = {"digest": invoice.digest, **invoice.document}
    return json.dumps(whole, ensure_ascii=False, indent=2) + "\n"


def _rerated(customer: Customer, found: Rerating, written: bool) -> Rerated:
    return Rerated(
        customer=customer.name,
        month=found.month,
        price_version=found.price.id,
        currency=found.currency,
        charged=exact_text(found.charged, found.currency),
        target=exact_text(found.target, found.currency),
        difference=exact_text(found.difference, found.currency),
        written=written,
        lines=found.lines,
    )
