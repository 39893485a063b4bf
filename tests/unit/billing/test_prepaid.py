"""Money paid beforehand: what is left of it, who may take of it, how invoices take it off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from feilun.billing.holds import hold, settle
from feilun.billing.invoice_page import invoice_csv, invoice_html
from feilun.billing.invoices import close_month, preview_month
from feilun.billing.plans import parse_plan, set_plan, subscribe
from feilun.billing.prepaid import record_topup
from feilun.errors import Conflict, InvalidData, NotFound, UsageError
from feilun.project import Workspace
from feilun.store import Store
from feilun.store.ledger_records import Event

EUR = 1_000_000
OCTOBER = datetime(2026, 10, 5, 12, tzinfo=UTC)


@pytest.fixture
def ada(any_store: Store) -> str:
    return any_store.catalog.add_customer("Ada").id


def charge(store: Store, customer: str, amount: int, when: datetime, call: str = "") -> None:
    event = Event(
        call or f"call {when}",
        units={"calls": 1, "inputs": 1},
        amount=amount,
        currency="EUR",
        customer=customer,
        project="reviews",
        endpoint="reviews",
        created=when,
    )
    store.ledger.commit([event])


def left(store: Store, customer: str) -> int:
    return store.allowances.accounts(customer)["EUR"].left


def test_a_balance_begins_with_the_first_top_up(any_store: Store, ada: str) -> None:
    """What was used before is owed by invoice, what is used after comes out of it."""
    charge(any_store, ada, 3 * EUR, OCTOBER)
    assert any_store.allowances.accounts(ada) == {}
    record_topup(any_store, ada, 10 * EUR, currency="EUR", now=OCTOBER + timedelta(1))
    assert left(any_store, ada) == 10 * EUR
    charge(any_store, ada, 4 * EUR, OCTOBER + timedelta(2))
    assert left(any_store, ada) == 6 * EUR
    [invoice] = close_month(any_store, "2026-10", now=OCTOBER + timedelta(30))
    assert invoice.total == 3 * EUR
    prepaid = {
        "amount": "-4.00",
        "topups": [{"day": "2026-10-06", "amount": "10.00"}],
        "left": "6.00",
    }
    assert invoice.document["prepaid"] == prepaid
    page, table = invoice_html(invoice), invoice_csv(invoice)
    assert "Paid from the prepaid balance" in page
    assert "Prepaid balance at the end of the month: 6.00 EUR" in page
    assert "已从预付余额支付" in invoice_html(invoice, "zh")
    amounts = [line.split(",")[12] for line in table.splitlines()[1:]]
    assert sum(map(float, amounts[:-1])) == float(amounts[-1]) == 3.0


def test_a_hold_reserves_its_part(any_store: Store, ada: str) -> None:
    record_topup(any_store, ada, 10 * EUR, currency="EUR")
    begun = Event("call 1", amount=8 * EUR, currency="EUR", customer=ada)
    any_store.ledger.commit_group([hold(begun, datetime.now(UTC) + timedelta(hours=1))])
    assert left(any_store, ada) == 2 * EUR
    any_store.ledger.commit_group(
        [settle(Event("call 1", amount=EUR, currency="EUR", customer=ada))]
    )
    assert left(any_store, ada) == 9 * EUR


def test_what_a_balance_does_not_cover_is_asked_for_once(any_store: Store, ada: str) -> None:
    record_topup(any_store, ada, 5 * EUR, currency="EUR", now=OCTOBER)
    charge(any_store, ada, 7 * EUR, OCTOBER + timedelta(1))
    assert left(any_store, ada) == -2 * EUR
    end = OCTOBER + timedelta(30)
    seen = preview_month(any_store, any_store.catalog.customer(ada), "2026-10", now=end)
    assert left(any_store, ada) == -2 * EUR  # nothing was written
    [invoice] = close_month(any_store, "2026-10", now=end)
    assert [invoice] == close_month(any_store, "2026-10", now=end)
    assert (invoice.total, invoice.document["prepaid"]["amount"]) == (2 * EUR, "-5.00")
    assert seen[0]["prepaid"] == invoice.document["prepaid"]
    assert left(any_store, ada) == 0
    [asked, paid] = [event for event, _ in any_store.allowances.topups(ada)]
    assert (asked.outcome, asked.amount, paid.amount) == ("invoiced:2026-10", 2 * EUR, 5 * EUR)
    assert any_store.ledger.verify().ok


def test_tax_and_a_minimum_beside_a_balance(any_store: Store, ada: str) -> None:
    """A minimum comes out of the balance; tax is asked for by the invoice."""
    plan = parse_plan({"currency": "EUR", "monthly_minimum": "20"}, "test")
    set_plan(any_store.catalog, "pro", plan, OCTOBER.replace(day=1, hour=0), now=OCTOBER)
    subscribe(
        any_store.catalog,
        ada,
        "pro",
        OCTOBER.replace(day=1, hour=0),
        now=OCTOBER.replace(day=1, hour=0),
    )
    record_topup(any_store, ada, 25 * EUR, currency="EUR", now=OCTOBER)
    charge(any_store, ada, 4 * EUR, OCTOBER)
    any_store.catalog.set_customer(ada, details={"tax_rate": "10"})
    customer = any_store.catalog.customer(ada)
    end = OCTOBER + timedelta(30)
    [seen] = preview_month(any_store, customer, "2026-10", now=end)
    [invoice] = close_month(any_store, "2026-10", now=end)
    assert (invoice.document["net"], invoice.total) == ("20.00", 2 * EUR)
    assert invoice.document["prepaid"]["left"] == seen["prepaid"]["left"] == "5.00"
    assert left(any_store, ada) == 5 * EUR


def test_what_is_taken_back_and_what_is_said_twice(any_store: Store, ada: str) -> None:
    record_topup(any_store, ada, 5 * EUR, currency="EUR", reference="tr-1", note="cash")
    record_topup(any_store, ada, 5 * EUR, currency="EUR", reference="tr-1", note="cash")
    assert left(any_store, ada) == 5 * EUR
    with pytest.raises(Conflict):
        record_topup(any_store, ada, 6 * EUR, currency="EUR", reference="tr-1", note="cash")
    with pytest.raises(InvalidData, match=r"5\.00 EUR are left"):
        record_topup(any_store, ada, -6 * EUR, currency="EUR")
    with pytest.raises(InvalidData):
        record_topup(any_store, ada, 0, currency="EUR")
    record_topup(any_store, ada, -5 * EUR, currency="EUR", note="a slip")
    assert left(any_store, ada) == 0
    assert [note for _, note in any_store.allowances.topups(ada)] == ["a slip", "cash"]


def test_the_verbs(workspace_dir: Path) -> None:
    with Workspace(workspace_dir) as workspace:
        customers = workspace.customers
        customers.add("Ada")
        with pytest.raises(UsageError):
            customers.top_up("Ada", "5")  # in which currency?
        with pytest.raises(InvalidData):
            customers.top_up("Ada", "five", currency="EUR")
        with pytest.raises(InvalidData):
            customers.top_up("Ada", "5", currency="EUX")
        with pytest.raises(NotFound):
            customers.top_up("Grace", "5", currency="EUR")
        assert customers.show("Ada").balance == {}
        shown = customers.top_up("Ada", "5.00", currency="eur", note="transfer", reference="t1")
        assert (shown.balance, shown.limits["prepaid"]) == ({"EUR": "5.00"}, True)
        assert customers.top_up("Ada", "-5", currency="EUR").balance == {"EUR": "0.00"}
        assert "used up" in customers.show("Ada").warnings[0]
        assert customers.all().rows[0]["balance"] == {"EUR": "0.00"}
        taken, given = customers.topups("Ada").rows
        assert (taken["amount"], given["amount"], given["note"]) == ("-5.00", "5.00", "transfer")
        customers.set("Ada", limits={"prepaid": None})
        assert customers.show("Ada").balance == {"EUR": "0.00"}  # still there to be seen
        acts = [one["action"] for one in workspace.acts.list(20).rows]
        assert acts.count("balance.topup") == 2
