"""An invoice as people take it: a page for the eye and the printer, and a table for a spreadsheet.

Both are made from the document that was closed and from nothing else, so that they say the same for
ever. The page is printed to PDF by any browser; its style sheet has the sheets' margins.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from feilun import messages
from feilun.billing.currency import exact_text
from feilun.billing.plans import UNITS
from feilun.store.ledger_records import Invoice

__all__ = ["COLUMNS", "grouped", "invoice_csv", "invoice_html", "line_title"]

Json = Mapping[str, Any]

COLUMNS = (
    *("number", "kind", "first", "last", "endpoint", "unit", "plan", "price_version", "tier_from"),
    *("tier_to", "volume", "price_per_1000", "amount", "currency", "text"),
)
"""The columns of the CSV. Rows of kind ``tier`` say how the row above them came about; all others
add up to the row ``total``."""


def invoice_html(invoice: Invoice, lang: messages.Language | None = None) -> str:
    """`invoice` as one HTML page, in the customer's language unless `lang` says otherwise."""
    document = invoice.document
    lang = lang or language_of(document)

    say = _speaker(lang)
    total = exact_text(invoice.total, invoice.currency)
    state = "to_pay" if invoice.total > 0 else "in_favour" if invoice.total else "nothing_to_pay"
    page: str = _template().render(
        lang=lang,
        t=say,
        document=document,
        digest=invoice.digest,
        headline=say(f"invoice.{state}"),
        total_shown=total.removeprefix("-"),
        owes=invoice.total > 0,
        rows=[_row(line, say) for line in document["lines"]],
        totals=list(_totals(document, say)),
        balance=list(_balance(document, say)),
        number=grouped,
        lines_of=lambda text: str(text or "").splitlines(),
    )
    return page


def invoice_csv(invoice: Invoice, lang: messages.Language | None = None) -> str:
    """`invoice` as CSV with the columns of `COLUMNS`; amounts are exact decimals. Texts that a
    spreadsheet would take for a formula begin with an apostrophe."""
    document = invoice.document
    lang = lang or language_of(document)

    say = _speaker(lang)
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, restval="", lineterminator="\r\n")
    writer.writeheader()
    shared = {"number": invoice.number, "currency": invoice.currency}
    for line in document["lines"]:
        names = ("kind", "first", "last", "endpoint", "unit", "plan", "price_version", "volume")
        own = {name: _plain(line.get(name)) for name in names}
        text = _plain(_row(line, say)["what"])
        writer.writerow({**shared, **own, "amount": line["amount"], "text": text})
        for tier in line.get("tiers", ()):
            places = {"tier_from": tier["first"], "tier_to": tier["last"]}
            figures = {name: tier[name] for name in ("volume", "price_per_1000", "amount")}
            writer.writerow({**shared, **own, "kind": "tier", **places, **figures})
    for name in ("tax", "prepaid", "rounding"):
        if document.get(name):
            writer.writerow({**shared, "kind": name, "amount": document[name]["amount"]})
    writer.writerow({**shared, "kind": "total", "amount": document["total"]})
    return out.getvalue()


def _speaker(lang: messages.Language) -> Any:
    def say(key: str, **params: Any) -> str:
        return messages.t(key, lang, **params)

    return say


def language_of(document: Json) -> messages.Language:
    """The language in which the customer reads; English where nothing was said."""
    lang: messages.Language = "zh" if str(document["language"]).startswith("zh") else "en"
    return lang


def line_title(line: Json) -> str:
    """What a line is for, in the language in force."""
    title: str = _row(line, messages.t)["what"]
    return title


def grouped(number: Any) -> str:
    """A decimal text or a whole number with its thousands apart: ``1,234,567.89``."""
    text = str(number)
    if not text:
        return ""
    sign = "−" if text.startswith("-") else ""
    whole, point, part = text.lstrip("-").partition(".")
    return f"{sign}{int(whole):,}{point}{part}"


def _plain(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return "" if value is None else value


def _row(line: Json, say: Any) -> dict[str, Any]:
    """What the table shows of one line."""
    kind = line["kind"]
    shown = {"volume": "", "price": "", "tiers": (), "about": "", "amount": grouped(line["amount"])}
    if kind == "usage":
        return shown | _usage(line, say)
    if kind == "minimum":
        figures = {name: grouped(line[name]) for name in ("minimum", "used")}
        return shown | {"what": say("invoice.minimum", **figures)}
    if kind == "credit" and line["reason"]:
        return shown | {"what": say("invoice.credit", day=line["first"], reason=line["reason"])}
    if kind == "rerate":
        version = line["price_version"]
        return shown | {"what": say("invoice.rerate", month=line["month"], version=version)}
    if kind == "late":
        return shown | {"what": say("invoice.late", month=line["month"])}
    return shown | {"what": say("invoice.order" if kind == "order" else "invoice.credit_other")}


def _usage(line: Json, say: Any) -> dict[str, Any]:
    unit = line["unit"]
    word = say(f"invoice.unit_{unit}") if unit in UNITS else unit
    price = {"plan": line["plan"], "version": line["price_version"]}
    if line["price_version"] is None:
        by = say("invoice.price_none")
    else:
        by = say("invoice.price_plan" if line["plan"] else "invoice.price_list", **price)
    days = say("invoice.days", first=line["first"], last=line["last"])
    about = " · ".join([by, days, say("invoice.calls", calls=grouped(line["calls"]))])
    tiers: Sequence[Json] = line["tiers"]
    flat = len(tiers) == 1
    return {
        "what": say("invoice.usage", endpoint=line["endpoint"], unit=word),
        "about": about,
        "volume": grouped(line["volume"]),
        "price": grouped(tiers[0]["price_per_1000"]) if flat else "",
        "tiers": () if flat else [_tier(tier, say) for tier in tiers],
    }


def _tier(tier: Json, say: Any) -> dict[str, str]:
    included = tier["price_per_1000"].strip("0.") == ""
    places = {"start": grouped(tier["first"]), "end": grouped(tier["last"])}
    return {
        "what": say("invoice.tier_included" if included else "invoice.tier", **places),
        "volume": grouped(tier["volume"]),
        "price": grouped(tier["price_per_1000"]),
        "amount": grouped(tier["amount"]),
    }


def _totals(document: Json, say: Any) -> Iterator[dict[str, str]]:
    """The sum, the tax, the rounding, and what is left to pay."""
    prepaid = document.get("prepaid")
    if document["tax"] or document["rounding"] or prepaid:
        yield {"name": say("invoice.net"), "amount": grouped(document["net"])}
    if document["tax"]:
        name = say("invoice.tax", rate=document["tax"]["rate"])
        yield {"name": name, "amount": grouped(document["tax"]["amount"])}
    if prepaid:
        yield {"name": say("invoice.prepaid"), "amount": grouped(prepaid["amount"])}
    if document["rounding"]:
        name = say("invoice.rounding", decimals=document["rounding"]["decimals"])
        yield {"name": name, "amount": grouped(document["rounding"]["amount"])}
    yield {"name": say("invoice.total"), "amount": grouped(document["total"])}


def _balance(document: Json, say: Any) -> Iterator[str]:
    """What was paid beforehand in the month, and what was left at its end."""
    prepaid = document.get("prepaid")
    if prepaid is None:
        return
    currency = document["currency"]
    for one in prepaid["topups"]:
        figures = {"day": one["day"], "amount": grouped(one["amount"]), "currency": currency}
        yield say("invoice.topped_up", **figures)
    yield say("invoice.balance_left", amount=grouped(prepaid["left"]), currency=currency)


@cache
def _template() -> Any:
    environment = Environment(
        loader=PackageLoader("feilun.billing", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("invoice.html")
