"""Closing months: what is refused, what happens once, what the forms show; on both databases."""

from __future__ import annotations

import csv
import html
import io
import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text, update
from sqlalchemy.exc import DBAPIError

from feilun.billing.credits import give_credit
from feilun.billing.currency import micro_of
from feilun.billing.invoice_document import tax_rate_of
from feilun.billing.invoice_lines import tiers_of
from feilun.billing.invoice_page import grouped, invoice_csv, invoice_html
from feilun.billing.invoices import close_month, find_customer, parse_month, preview_month
from feilun.errors import Conflict, CorruptArtifact, InvalidData, NotFound, UsageError
from feilun.money import Tariff
from feilun.project import Workspace
from feilun.project.invoicing import Invoices
from feilun.store import Store, tables_ledger
from feilun.store.ledger_invoices import digest_of, month_span
from feilun.store.ledger_records import Event, Invoice, Rated
from feilun.store.records import Customer
from helpers.month import AFTER, BEGIN, MONTH, add_customer, add_plan, call, day

FLAT = {"currency": "EUR", "rates": [{"unit": "inputs", "tiers": [{"per_1000": "2"}]}]}


@pytest.fixture
def store(any_store: Store) -> Store:
    any_store.catalog.add_project("reviews", "text-classification")
    return any_store


@pytest.fixture
def quick(lite: Store) -> Store:
    """For what has nothing to do with the database."""
    lite.catalog.add_project("reviews", "text-classification")
    return lite


def close(store: Store, **options: Any) -> list[Invoice]:
    return close_month(store, MONTH, **{"now": AFTER, "check": True} | options)


def one(store: Store, name: str = "Ada", **details: Any) -> Customer:
    """A customer on the flat plan with one call of 1,000 inputs: 2.00."""
    add_plan(store, "flat", FLAT)
    customer = add_customer(store, name, "flat", **details)
    call(store, customer, day(3), 1000)
    return customer


def lines(invoice: Invoice) -> list[tuple[str, str]]:
    return [(line["kind"], line["amount"]) for line in invoice.document["lines"]]


def hold(store: Store, customer: Customer, began: datetime) -> Event:
    """A call that runs since then and has not ended."""
    event = Event("h1", "hold", amount=5, currency="EUR", customer=customer.id, created=began)
    store.ledger.commit([event])
    with store.invoices._db.write() as db:  # the ledger's own clock says now
        db.execute(update(tables_ledger.holds).values(created=began))
    return event


def test_open_holds_keep_a_month_open(store: Store) -> None:
    held = hold(store, one(store), day(31))
    with pytest.raises(Conflict) as caught:
        close(store)
    assert caught.value.code == "billing.holds_open"
    assert "Ada" in str(caught.value)
    assert store.invoices.invoices() == []
    store.ledger.commit([replace(held, kind="release", amount=0, seq=1)])
    assert [invoice.total for invoice in close(store)] == [2_000_000]


def test_a_hold_of_the_next_month_is_none_of_this_one(quick: Store) -> None:
    customer = one(quick)
    hold(quick, customer, datetime(2025, 11, 1, 0, 1, tzinfo=UTC))
    assert quick.invoices.open_holds(customer.id, AFTER) == 1
    assert len(close(quick)) == 1


def test_several_currencies_become_several_invoices(store: Store) -> None:
    add_plan(store, "yen", {**FLAT, "currency": "JPY"})
    customer = add_customer(store, "Ada", "yen")
    call(store, customer, day(1), 1200)  # 2.4 JPY, which has no decimals: 2
    give_credit(store, customer.id, 7_000, "slow", currency="KWD", now=day(2))
    yen, dinar = close(store)
    assert (yen.currency, yen.total, yen.document["rounding"]["amount"]) == (
        "JPY",
        2_000_000,
        "-0.4",
    )
    # KWD has three decimals: nothing to round.
    assert (dinar.currency, dinar.total, dinar.document["rounding"]) == ("KWD", -7_000, None)
    assert dinar.document["total"] == "-0.007"


def test_several_processes_close_once(store: Store) -> None:
    add_plan(store, "flat", {**FLAT, "monthly_minimum": "5"})
    for name in "abcdef":
        call(store, add_customer(store, name, "flat"), day(1), 10)
    found: list[list[Invoice]] = []
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        found.append(close(store, check=False))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    kept = store.invoices.invoices()
    assert all(one == kept for one in found)
    assert [one.number for one in kept] == [f"{MONTH}-{n:04d}" for n in range(1, 7)]
    assert {one.total for one in kept} == {5_000_000}
    minimums = [e for e in store.ledger.events() if e.outcome == f"minimum:{MONTH}"]
    assert len(minimums) == 6


def test_the_database_refuses_to_change_an_invoice(store: Store) -> None:
    one(store)
    close(store)
    for change in ("UPDATE invoices SET total = 0", "DELETE FROM invoices"):
        with pytest.raises(DBAPIError, match="append-only"), store.invoices._db.write() as db:
            db.execute(text(change))
    assert len(store.invoices.invoices()) == 1


def test_an_invoice_that_was_changed_all_the_same_is_not_shown(lite: Store) -> None:
    lite.catalog.add_project("reviews", "text-classification")
    one(lite)
    [invoice] = close(lite)
    with lite.invoices._db.write() as db:
        db.execute(text("DROP TRIGGER invoices_no_update"))
        db.execute(text("UPDATE invoices SET document = replace(document, '2.00', '1.00')"))
    with pytest.raises(CorruptArtifact):
        lite.invoices.invoice(invoice.number)


def test_roll_ups_that_differ_from_the_events_stop_a_checked_closing(store: Store) -> None:
    one(store)
    with store.invoices._db.write() as db:
        db.execute(text("UPDATE totals SET inputs = inputs + 1"))
    with pytest.raises(CorruptArtifact) as caught:
        close(store)
    assert caught.value.code == "billing.sums_differ"
    assert store.invoices.invoices() == []


def test_a_minimum_holds_for_the_days_of_its_plan(quick: Store) -> None:
    add_plan(quick, "base", {**FLAT, "monthly_minimum": "31"})
    add_plan(quick, "base", {**FLAT, "monthly_minimum": "62"}, day(22, 0))
    # From the 11th on: 11 days at 31/31 a day and 10 days at 62/31 a day = 11 + 20.
    customer = add_customer(quick, "Ada", "base", day(11, 0))
    call(quick, customer, day(12), 500)  # 1.00
    [invoice] = close(quick)
    assert lines(invoice) == [("usage", "1.00"), ("minimum", "30.00")]
    assert invoice.document["lines"][1]["minimum"] == "31.00"
    # The charge stands in the ledger, and belongs to the month that it is for.
    [event] = [e for e in quick.ledger.events() if e.kind == "charge" and not e.units["calls"]]
    assert (event.amount, event.outcome) == (30_000_000, f"minimum:{MONTH}")


def test_who_used_nothing_owes_the_minimum_alone(quick: Store) -> None:
    add_plan(quick, "base", {**FLAT, "monthly_minimum": "12.34"})
    add_customer(quick, "Ada", "base")
    add_customer(quick, "Bob", None)
    [invoice] = close(quick)
    assert lines(invoice) == [("minimum", "12.34")]
    assert invoice.customer == find_customer(quick, "Ada").id


def test_what_is_written_down_late_comes_onto_the_next_invoice_once(store: Store) -> None:
    customer = one(store)
    [october] = close(store)
    call(store, customer, day(31, 23), 500)  # 1.00, by a server whose commit waited
    call(store, customer, datetime(2025, 11, 5, tzinfo=UTC), 1000)
    [november] = close_month(store, "2025-11", now=datetime(2025, 12, 2, tzinfo=UTC))
    assert lines(november) == [("usage", "2.00"), ("late", "1.00")]
    assert store.invoices.invoice(october.number) == october
    call(store, customer, datetime(2025, 12, 5, tzinfo=UTC), 1000)
    [december] = close_month(store, "2025-12", now=datetime(2026, 1, 2, tzinfo=UTC))
    assert lines(december) == [("usage", "2.00")]


def test_calls_of_two_prices_that_overlap_are_exact_all_the_same(quick: Store) -> None:
    """Two servers see a change of price at moments a little apart, at the edge of a tier."""
    first = add_plan(
        quick,
        "tiers",
        {
            "currency": "EUR",
            "rates": [
                {"unit": "inputs", "tiers": [{"up_to": 10, "per_1000": "9"}, {"per_1000": "1"}]}
            ],
        },
    )
    second = add_plan(
        quick,
        "tiers",
        {"currency": "EUR", "rates": [{"unit": "inputs", "tiers": [{"per_1000": "3"}]}]},
        day(2, 0),
    )
    customer = add_customer(quick, "Ada", "tiers")
    old = Tariff(((10, 9_000_000), (None, 1_000_000)))
    for number, (version, tariff) in enumerate(
        [(first, old), (second, Tariff.flat(3_000_000)), (first, old)]
    ):
        rated = Rated("tiers/*/*:inputs", 6, tariff)
        event = Event(
            f"c{number}",
            units={"calls": 1, "inputs": 6},
            rates=(rated,),
            price_version=version.id,
            currency="EUR",
            customer=customer.id,
            project="reviews",
            endpoint="reviews",
            created=day(2),
        )
        quick.ledger.commit([event])
    # As written: 6 × .009 = .054; 6 × .003 = .018; then the month stood at 12: 6 × .001 = .006.
    [invoice] = close(quick)
    assert invoice.document["net"] == "0.078"
    # Worked out from volumes: 10 × .009 + 2 × .001 = .092, and .018; .032 too much.
    assert lines(invoice) == [("usage", "0.092"), ("usage", "0.018"), ("order", "-0.032")]


def test_calls_without_a_price_are_shown_too(quick: Store) -> None:
    customer = add_customer(quick, "Ada", None)
    call(quick, customer, day(1), 7)
    [invoice] = close(quick)
    [line] = invoice.document["lines"]
    assert (line["volume"], line["amount"], line["price_version"]) == (7, "0.00", None)


def test_a_tax_of_ones_own_goes_before_the_general_one(quick: Store) -> None:
    one(quick)
    add_plan(quick, "flat", FLAT)
    for name, rate in (("Bob", "0"), ("Cem", "8.25")):
        call(quick, add_customer(quick, name, "flat", tax_rate=rate), day(3), 1000)
    taxes = [invoice.document["tax"] for invoice in close(quick, tax=Decimal(19))]
    assert taxes == [
        {"rate": "19", "amount": "0.38"},
        None,
        {"rate": "8.25", "amount": "0.165"},
    ]


@pytest.mark.parametrize("rate", ["-1", "100", "x", "nan", "1.00001"])
def test_what_is_no_tax_rate(rate: str) -> None:
    with pytest.raises(InvalidData):
        tax_rate_of(rate)


@pytest.mark.parametrize("month", ["2025-13", "2025-1", "25-10", "2025-10-01", "２０２５-10", ""])
def test_what_is_no_month(month: str) -> None:
    with pytest.raises(InvalidData):
        parse_month(month)


def test_a_month_ends_where_the_next_begins() -> None:
    assert month_span("2025-12")[1] == month_span("2026-01")[0] == datetime(2026, 1, 1, tzinfo=UTC)


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=4, unique=True),
    st.lists(st.integers(0, 5_000_000), min_size=5, max_size=5),
    st.lists(st.integers(0, 60), max_size=8),
)
def test_tiers_add_up_to_what_the_calls_were_charged(
    ends: list[int], prices: list[int], calls: list[int]
) -> None:
    steps = [*sorted(ends), None]
    tariff = Tariff(tuple(zip(steps, prices, strict=False)))
    before = charged = 0
    for units in calls:
        charged += tariff.amount(before, units)
        before += units
    tiers = tiers_of(tariff, 0, before, "EUR")
    assert sum(micro_of(tier["amount"]) for tier in tiers) == charged
    assert sum(tier["volume"] for tier in tiers) == before


# Credits


def test_a_credit_needs_an_amount_and_a_reason(quick: Store) -> None:
    customer = one(quick)
    for amount in (0, -5):
        with pytest.raises(InvalidData):
            give_credit(quick, customer.id, amount, "x", currency="EUR")
    with pytest.raises(UsageError):
        give_credit(quick, customer.id, 5, "  ", currency="EUR")


def test_a_reference_gives_once(store: Store) -> None:
    customer = one(store)
    give = {"currency": "EUR", "reference": "T-1", "now": day(5)}
    first = give_credit(store, customer.id, 500_000, "slow", **give)
    assert give_credit(store, customer.id, 500_000, "slow", **give) == first
    with pytest.raises(Conflict):
        give_credit(store, customer.id, 600_000, "slow", **give)
    [invoice] = close(store)
    assert lines(invoice) == [("usage", "2.00"), ("credit", "-0.50")]
    acts = [act.action for act in store.catalog.acts()]
    assert acts.count("credit.give") == 1
    assert acts.count("invoice.close") == 1


# Forms


def test_the_page_escapes_what_strangers_wrote(quick: Store) -> None:
    customer = one(quick, legal_name="<script>alert(1)</script>", address="a\n<b>")
    give_credit(quick, customer.id, 1, "<img src=x>", currency="EUR", now=day(4))
    [invoice] = close(quick)
    page = invoice_html(invoice)
    assert "<script" not in page
    assert "<img" not in page
    assert html.escape("<script>alert(1)</script>") in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_page_speaks_the_customers_language(quick: Store) -> None:
    one(quick, language="zh")
    [invoice] = close(quick)
    assert "发票" in invoice_html(invoice)
    assert 'lang="zh-Hans"' in invoice_html(invoice)
    english = invoice_html(invoice, "en")
    assert "发票" not in english
    assert "Invoice" in english


def test_a_spreadsheet_gets_no_formula(quick: Store) -> None:
    customer = one(quick)
    give_credit(quick, customer.id, 1, "=HYPERLINK(1)", currency="EUR", now=day(4))
    [invoice] = close(quick)
    rows = list(csv.DictReader(io.StringIO(invoice_csv(invoice))))
    kinds = [row["kind"] for row in rows]
    assert kinds == ["usage", "tier", "credit", "rounding", "total"]
    assert not any(value.startswith(("=", "@")) for row in rows for value in row.values())
    owed = [Decimal(row["amount"]) for row in rows if row["kind"] not in ("tier", "total")]
    assert sum(owed) == Decimal(rows[-1]["amount"])


def test_numbers_are_grouped() -> None:
    assert [grouped(x) for x in ("1234567.891", "-1000", 999, "")] == [
        "1,234,567.891",
        "−1,000",
        "999",
        "",
    ]


# The verbs


def test_the_verbs_of_a_workspace(workspace_dir: Path, tmp_path: Path) -> None:
    with Workspace(workspace_dir) as workspace:
        store = workspace.store
        store.catalog.add_project("reviews", "text-classification")
        one(store)
        verbs = workspace.invoices
        assert verbs.seller(legal_name="Feilun Ltd", payment_days=14)["legal_name"] == "Feilun Ltd"
        with pytest.raises(UsageError):
            verbs.seller(payment_days=-1)
        [row] = verbs.close(MONTH, customer="Ada", tax="19").rows
        assert (row["total"], row["currency"], row["customer"]) == ("2.38", "EUR", "Ada")
        assert [r["number"] for r in verbs.list(month=MONTH).rows] == [row["number"]]
        shown = verbs.show(row["number"], check=True)
        assert shown.document["seller"]["legal_name"] == "Feilun Ltd"
        assert digest_of(shown.document) == shown.digest
        due = datetime.fromisoformat(shown.document["due"])
        assert due - datetime.fromisoformat(shown.document["issued"]) == timedelta(14)
        page = verbs.export(row["number"], tmp_path / "i.html").read_text()
        assert "Feilun Ltd" in page
        data = json.loads(verbs.export(row["number"], tmp_path / "i.json").read_text())
        assert data["total"] == "2.38"
        assert verbs.export(row["number"], tmp_path / "x", format="csv").read_text()
        with pytest.raises(UsageError):
            verbs.export(row["number"], tmp_path / "i.pdf")
        for wrong in ("2025-10-0002", "", "\0", "1; DROP"):
            with pytest.raises(NotFound):
                verbs.show(wrong)
        with pytest.raises(InvalidData):
            verbs.credit("Ada", "much", "x")
        assert verbs.credit("Ada", "1.50", "x").rows[0]["currency"] == "EUR"


def test_which_currency_must_be_said_where_there_are_two(quick: Store) -> None:
    customer = add_customer(quick, "Ada", None)
    with pytest.raises(UsageError):
        Invoices(quick).credit("Ada", "1", "x")
    for code in ("EUR", "USD"):
        give_credit(quick, customer.id, 1, "x", currency=code, now=BEGIN)
    with pytest.raises(UsageError):
        Invoices(quick).credit("Ada", "1", "x")
    assert Invoices(quick).credit("Ada", "1", "x", currency="usd").rows[0]["currency"] == "USD"


def test_a_preview_says_what_closing_will_say_and_changes_nothing(store: Store) -> None:
    add_plan(store, "least", {**FLAT, "monthly_minimum": "10"})
    ada = add_customer(store, "Ada", "least", tax_rate="19")
    call(store, ada, day(3), 1000)
    give_credit(store, ada.id, 250_000, "late answers", currency="EUR", reference="r")
    before = (store.ledger.usage(), store.catalog.acts())
    hold(store, ada, day(31))
    [early] = preview_month(store, ada, MONTH, now=day(20))
    assert [(line["kind"], line["amount"]) for line in early["lines"]] == [
        ("usage", "2.00"),
        ("minimum", "8.00"),
    ]
    assert (early["net"], early["total"]) == ("10.00", "11.90")
    assert "number" not in early
    assert (early["issued"], early["due"]) == (None, None)
    assert (store.ledger.usage(), store.catalog.acts()) == before
    assert store.invoices.invoices() == []
    with store.invoices._db.write() as db:
        db.execute(tables_ledger.holds.delete())
    [closed] = close(store)
    same = ("lines", "net", "tax", "total", "currency", "customer", "ledger")
    assert {n: closed.document[n] for n in same} == {n: early[n] for n in same}
    assert closed.number
    with pytest.raises(Conflict, match=closed.number):
        preview_month(store, ada, MONTH, now=AFTER)
    with pytest.raises(InvalidData, match="2025-12 has not begun"):
        preview_month(store, ada, "2025-12", now=AFTER)
    assert preview_month(store, add_customer(store, "Bob", None), now=AFTER) == []


@pytest.mark.parametrize(
    ("currency", "used", "total", "given"),
    [
        ("JPY", "0.6", "1", "3"),
        ("USD", "0.60", "0.60", "3.00"),
        ("KWD", "0.600", "0.600", "3.000"),
    ],
)
def test_amounts_have_the_digits_of_their_currency(
    quick: Store, currency: str, used: str, total: str, given: str
) -> None:
    tiers = [{"per_1000": "0.2"}]
    add_plan(quick, "flat", {"currency": currency, "rates": [{"unit": "inputs", "tiers": tiers}]})
    ada = add_customer(quick, "Ada", "flat")
    call(quick, ada, day(3), 3000)
    listing = Workspace.over(quick).usage(days=10_000)
    [table] = listing.tables()
    assert f"{used} {currency}" in table.rows[0]
    [document] = preview_month(quick, ada, MONTH, now=AFTER)
    assert (document["lines"][0]["amount"], document["total"]) == (used, total)
    shown = Invoices(quick).credit("Ada", "3", "sorry", currency=currency)
    [table] = shown.tables()
    assert f"{given} {currency}" in table.title


def test_units_without_a_column_are_priced_and_invoiced(store: Store) -> None:
    tiers = [{"up_to": 1500, "per_1000": "1"}, {"per_1000": "0.50"}]
    rates = [{"unit": "documents", "tiers": tiers}, *FLAT["rates"]]
    add_plan(store, "search", FLAT | {"rates": rates})
    customer = add_customer(store, "Ada", "search")
    call(store, customer, day(3), 1, documents=1000)
    call(store, customer, day(4), 1, documents=1000)
    call(store, customer, day(5), 998)
    (invoice,) = close(store)
    found = {line["unit"]: (line["volume"], line["amount"]) for line in invoice.document["lines"]}
    assert found == {"documents": (2000, "1.75"), "inputs": (1000, "2.00")}
    assert "documents ranked" in invoice_html(invoice, "en")
    assert "排序的文档" in invoice_html(invoice, "zh")
