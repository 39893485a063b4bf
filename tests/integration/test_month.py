"""A month with three customers on three plans, closed into invoices worked out by hand.

Every number in this file was worked out on paper, from the prices and the calls as they are told
here; none was taken from the program.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from feilun.billing.credits import give_credit
from feilun.billing.invoices import check_month, close_month
from feilun.billing.limits import LimitSettings
from feilun.billing.usage import left_over
from feilun.errors import Conflict
from feilun.store import Store
from feilun.store.ledger_allowances import Counted
from feilun.store.ledger_invoices import digest_of
from feilun.store.ledger_records import Invoice
from feilun.store.records import Customer
from helpers.month import AFTER, MONTH, add_customer, add_plan, call, day
from helpers.serving import client, make_key, make_workspace, serving


@dataclass
class Month:
    store: Store
    fern: Customer
    lamp: Customer
    free: Customer
    invoices: dict[str, Invoice]


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def month(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Month]:
    database = None
    if request.param == "postgres":
        server = request.getfixturevalue("postgres_server")
        database = server.get_uri(database=_database(server))
    with make_workspace(tmp_path_factory.mktemp("month"), database) as store:
        yield _live_through(store)


def _database(server: Any) -> str:
    import psycopg

    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE test_month")
    return "test_month"


def _live_through(store: Store) -> Month:
    """The month, call by call."""
    add_plan(store, "flat", {"currency": "EUR", "rates": [_rate("1.234567")]})
    growth = {
        "currency": "CNY",
        "monthly_minimum": "100",
        "rates": [
            {
                "unit": "inputs",
                "included": 1000,
                "tiers": [{"up_to": 5000, "per_1000": "8"}, {"per_1000": "5"}],
            },
            {"unit": "calls", "tiers": [{"per_1000": "10"}]},
        ],
    }
    add_plan(store, "growth", growth)
    free = {"currency": "USD", "rates": [_rate("0")], "limits": {"monthly_inputs": 500}}
    add_plan(store, "free", free)
    # The price change in the middle of the month.
    add_plan(store, "flat", {"currency": "EUR", "rates": [_rate("3")]}, day(16, 0))

    fern = add_customer(
        store, "Fern & Co", "flat", legal_name="Fern & Co GmbH", tax_id="DE1", tax_rate="19"
    )
    lamp = add_customer(
        store,
        "灯塔书店",
        "growth",
        legal_name="上海灯塔书店有限公司",
        address="上海市徐汇区\n漕溪北路 1 号",
        language="zh",
        tax_rate="6",
    )
    free_rider = add_customer(store, "Free", "free")

    for number in range(1, 32):
        retry = f"fern-{number}"
        assert call(store, fern, day(number), 37, retry=retry).written
        # The same again, by a client that lost the answer: it gets it, and owes nothing.
        again = call(store, fern, day(number), 37, retry=retry)
        assert not again.written
        assert again.earlier is not None
        call(store, lamp, day(number, 9), 100)
        call(store, lamp, day(number, 10), 100, endpoint="pictures")
    for number in range(1, 6):
        call(store, free_rider, day(number), 100)
    # One answer was withheld because its key was revoked meanwhile: charged, and taken back.
    call(store, lamp, day(20), 100, withheld=True)
    for _ in range(2):  # asked for twice, given once
        give_credit(
            store,
            fern.id,
            333_333,
            "Answers were slow on the 19th",
            currency="EUR",
            reference="T-17",
            now=day(20),
        )
    invoices = close_month(store, MONTH, check=True, now=AFTER)
    names = {fern.id: "fern", lamp.id: "lamp", free_rider.id: "free"}
    found = {names[one.customer]: one for one in invoices}
    assert len(found) == len(invoices) == 3
    return Month(store, fern, lamp, free_rider, found)


def _rate(per_1000: str) -> dict[str, Any]:
    return {"unit": "inputs", "tiers": [{"per_1000": per_1000}]}


def _lines(invoice: Invoice, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(line.get(name) for name in names) for line in invoice.document["lines"]]


def test_flat_price_with_a_change_in_the_middle(month: Month) -> None:
    invoice = month.invoices["fern"]
    # 1 to 15 October:  15 calls × 37 = 555 inputs × 1.234567 / 1000 = 0.685184685 → 0.685185
    # 16 to 31 October: 16 calls × 37 = 592 inputs × 3        / 1000 = 1.776
    assert _lines(invoice, "kind", "first", "last", "calls", "volume", "amount") == [
        ("usage", "2025-10-01", "2025-10-15", 15, 555, "0.685185"),
        ("usage", "2025-10-16", "2025-10-31", 16, 592, "1.776"),
        ("credit", "2025-10-20", None, None, None, "-0.333333"),
    ]
    assert invoice.document["lines"][2]["reason"] == "Answers were slow on the 19th"
    tiers = [line["tiers"] for line in invoice.document["lines"][:2]]
    # The second price goes on where the month stood: at input 556.
    assert tiers == [
        [_tier(1, 555, "1.234567", "0.685185")],
        [_tier(556, 1147, "3.00", "1.776")],
    ]
    # 0.685185 + 1.776 − 0.333333 = 2.127852; 19 % of it 0.40429188 → 0.404292
    # 2.127852 + 0.404292 = 2.532144 → 2.53, which takes 0.002144 away
    assert _sums(invoice) == {
        "net": "2.127852",
        "tax": {"rate": "19", "amount": "0.404292"},
        "rounding": {"decimals": 2, "amount": "-0.002144"},
        "total": "2.53",
    }
    assert invoice.total == 2_530_000


def test_tiers_included_volume_and_a_monthly_minimum(month: Month) -> None:
    invoice = month.invoices["lamp"]
    # 31 days × 2 calls × 100 inputs = 6,200 inputs, in both endpoints 3,100; the withheld call is
    # gone from volume and tiers.
    #   1,000 included                    0
    #   4,000 × 8 / 1000                 32.00
    #   1,200 × 5 / 1000                  6.00     inputs: 38.00
    #   62 calls × 10 / 1000                        calls:  0.62     used: 38.62
    # minimum 100.00, so 61.38 are missing
    assert _lines(invoice, "kind", "unit", "endpoint", "volume", "amount") == [
        ("usage", "calls", "pictures, reviews", 62, "0.62"),
        ("usage", "inputs", "pictures, reviews", 6200, "38.00"),
        ("minimum", None, None, None, "61.38"),
    ]
    calls, inputs, minimum = invoice.document["lines"]
    assert [(one["endpoint"], one["volume"]) for one in inputs["endpoints"]] == [
        ("pictures", 3100),
        ("reviews", 3100),
    ]
    assert calls["tiers"] == [_tier(1, 62, "10.00", "0.62")]
    assert inputs["tiers"] == [
        _tier(1, 1000, "0.00", "0.00"),
        _tier(1001, 5000, "8.00", "32.00"),
        _tier(5001, 6200, "5.00", "6.00"),
    ]
    assert (minimum["minimum"], minimum["used"]) == ("100.00", "38.62")
    # 100.00 + 6 % = 106.00: nothing to round
    assert _sums(invoice) == {
        "net": "100.00",
        "tax": {"rate": "6", "amount": "6.00"},
        "rounding": None,
        "total": "106.00",
    }
    assert invoice.document["customer"]["address"] == "上海市徐汇区\n漕溪北路 1 号"
    assert invoice.document["language"] == "zh"


def test_free_tier_with_its_quota_used_up(month: Month) -> None:
    invoice = month.invoices["free"]
    # 5 calls × 100 inputs = 500, all of the quota, at nothing
    assert _lines(invoice, "kind", "volume", "calls", "amount") == [("usage", 500, 5, "0.00")]
    assert _sums(invoice) == {"net": "0.00", "tax": None, "rounding": None, "total": "0.00"}

    @dataclass
    class Quota:
        whose: str
        settings: LimitSettings
        counted: Counted

    quota = Quota("customer", LimitSettings(monthly_inputs=500), Counted(month.free.id, MONTH))
    [left] = left_over(month.store.allowances, [quota], ["USD"])
    assert left["inputs"] == {"limit": 500, "used": 500, "remaining": 0}


def test_invoices_and_ledger_agree_to_the_last_micro_unit(month: Month) -> None:
    owed = {(row.by["customer"], row.currency): row.amount for row in _usage(month)}
    # 2.127852 EUR, 100 CNY, 0 USD, from the fixtures above
    assert owed == {
        (month.fern.id, "EUR"): 2_127_852,
        (month.lamp.id, "CNY"): 100_000_000,
        (month.free.id, "USD"): 0,
    }
    # 31 calls and the credit; 62 calls, the minimum, a call and its credit; 5 calls
    events = {name: one.document["ledger"]["events"] for name, one in month.invoices.items()}
    assert events == {"fern": 32, "lamp": 65, "free": 5}
    for customer in (month.fern, month.lamp, month.free):
        check_month(month.store, customer.id, MONTH)


def _usage(month: Month) -> list[Any]:
    return month.store.ledger.usage(by=("customer",))


def test_closing_again_gives_the_same(month: Month) -> None:
    before = month.store.ledger.counts()["events"]
    again = close_month(month.store, MONTH, now=datetime(2026, 1, 1, tzinfo=UTC))
    assert again == sorted(month.invoices.values(), key=lambda one: one.number)
    assert month.store.ledger.counts()["events"] == before
    assert [one.number for one in again] == [f"{MONTH}-000{n}" for n in (1, 2, 3)]
    for one in again:
        assert one.digest == digest_of(one.document)


@pytest.mark.parametrize("clock", [day(31, 23), datetime(2025, 11, 1, 0, 4, 59, tzinfo=UTC)])
def test_a_month_that_runs_is_not_closed(month: Month, clock: datetime) -> None:
    with pytest.raises(Conflict) as caught:
        close_month(month.store, MONTH, now=clock)
    assert caught.value.code == "billing.month_runs"


def test_customers_see_their_own_invoices_and_nobody_elses(month: Month) -> None:
    fern, lamp = (month.invoices[name] for name in ("fern", "lamp"))
    key = make_key(month.store, "Fern & Co").secret
    with serving(month.store) as server, client(server.address, key) as http:
        listed = http.get("/v1/invoices").json()
        assert listed["object"] == "list"
        assert [one["number"] for one in listed["data"]] == [fern.number]
        assert listed["data"][0]["total"] == "2.53"
        mine = http.get(f"/v1/invoices/{fern.number}").json()
        assert (mine.pop("object"), mine.pop("digest")) == ("invoice", fern.digest)
        assert digest_of(mine) == fern.digest

        for other in (lamp.number, "2025-10-9999", "x" * 300, "%00", "..%2Fusage"):
            refused = http.get(f"/v1/invoices/{other}")
            assert refused.status_code == 404, other
            assert lamp.document["customer"]["legal_name"] not in refused.text

        page = http.get(f"/v1/invoices/{fern.number}", headers={"accept": "text/html,*/*;q=0.8"})
        assert page.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "Fern &amp; Co GmbH" in page.text
        assert ">2.53 <" in page.text
        zh = http.get(f"/v1/invoices/{fern.number}?format=html&lang=zh")
        assert "应付金额" in zh.text
        table = http.get(f"/v1/invoices/{fern.number}?format=csv")
        assert table.headers["content-type"].startswith("text/csv")
        rows = list(csv.DictReader(io.StringIO(table.text)))
        assert rows[-1]["kind"] == "total"
        assert rows[-1]["amount"] == "2.53"
        wrong = http.get(f"/v1/invoices/{fern.number}?format=pdf")
        assert wrong.status_code == 422

        usage = http.get("/v1/usage?since=2025-10-01&until=2025-10-31").json()
        # 31 calls × 37 inputs; 0.685185 + 1.776 − 0.333333
        assert sum(row["inputs"] for row in usage["data"]) == 1147
        assert usage["total"] == [{"amount": "2.127852", "currency": "EUR"}]
    with serving(month.store) as server, client(server.address) as nobody:
        assert nobody.get("/v1/invoices").status_code == 401


def test_what_is_left_of_the_running_month_is_shown(month: Month, tmp_path: Path) -> None:
    limits = LimitSettings(monthly_budget="5", warn_at="4", rate=50)
    key = make_key(month.store, "Free", limits=limits.stored()).secret
    blind = make_key(month.store, "Free", scopes=("predict",)).secret
    with serving(month.store) as server, client(server.address, key) as http:
        http.post("/v1/predict", json={"model": "reviews", "inputs": ["good", "bad", "fine"]})
        own, customers = http.get("/v1/usage").json()["limits"]
        assert (own["of"], customers["of"]) == ("key", "customer")
        assert customers["inputs"] == {"limit": 500, "used": 3, "remaining": 497}
        assert own["rate"] == {"calls_a_second": 50, "burst": 50}
        assert own["budgets"] == [
            {
                "currency": "USD",
                "limit": "5.00",
                "used": "0.00",
                "remaining": "5.00",
                "warn_at": "4.00",
            }
        ]
        for path in ("/v1/usage", "/v1/invoices", f"/v1/invoices/{MONTH}-0001"):
            refused = http.get(path, headers={"authorization": f"Bearer {blind}"})
            assert refused.status_code == 403, path


def _tier(first: int, last: int, price: str, amount: str) -> dict[str, Any]:
    return {
        "first": first,
        "last": last,
        "volume": last - first + 1,
        "price_per_1000": price,
        "amount": amount,
    }


def _sums(invoice: Invoice) -> dict[str, Any]:
    return {name: invoice.document[name] for name in ("net", "tax", "rounding", "total")}
