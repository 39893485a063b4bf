"""Plans: documents that say what is wrong with them, versions that never change the past."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feilun.billing.currency import amount_text, decimals, exact_text, micro_of, rounded
from feilun.billing.limits import LimitSettings, parse_limits, tightest
from feilun.billing.plans import Plan, parse_plan, read_plan, set_plan, subscribe
from feilun.errors import Conflict, InvalidSettings, NotFound
from feilun.project.customers import Customers
from feilun.project.plans import limit_words
from feilun.store import Store

PAGE = Path(__file__).parents[3] / "docs" / "concepts" / "plans.md"
NOW = datetime.now(UTC)
TIERS = [{"up_to": 100, "per_1000": "1"}, {"per_1000": "0.5"}]


def plan(per_1000: str = "1", **more: Any) -> Plan:
    document = {"currency": "EUR", "rates": [{"tiers": [{"per_1000": per_1000}]}], **more}
    return parse_plan(document, "test")


def page_example(file: Path) -> str:
    """The plan that a page shows."""
    return file.read_text("utf-8").split("```toml\n", 1)[1].split("```", 1)[0]


@pytest.mark.parametrize("page", [PAGE, PAGE.with_suffix(".zh-CN.md")], ids=lambda page: page.name)
def test_the_plan_on_the_page_is_one(page: Path, tmp_path: Path, lite: Store) -> None:
    file = tmp_path / "pro.toml"
    file.write_text(page_example(page), "utf-8")
    name, read = read_plan(file)
    assert name == "pro"
    version = set_plan(lite.catalog, name, read)
    assert lite.catalog.plan_versions("pro") == [version]
    tariff = read.rates_for("reviews", "reviews")[0].tariff()
    # The figures that the page tells.
    assert tariff.total(10_000) == 0
    assert tariff.total(150_000) == 97_000_000
    assert read.minimum == 49_000_000
    assert read.limits.budget == 500_000_000


def test_json_and_toml_say_the_same(tmp_path: Path) -> None:
    document = {"name": "basic", "currency": "JPY", "rates": [{"unit": "calls", "tiers": TIERS}]}
    (tmp_path / "a.json").write_text(json.dumps(document))
    text = 'name = "basic"\ncurrency = "JPY"\n[[rates]]\nunit = "calls"\n'
    text += 'tiers = [{ up_to = 100, per_1000 = "1" }, { per_1000 = "0.5" }]\n'
    (tmp_path / "b.toml").write_text(text)
    assert read_plan(tmp_path / "a.json") == read_plan(tmp_path / "b.toml")
    assert read_plan(tmp_path / "a.json")[0] == "basic"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "currency"),
        ({"currency": "EUX"}, "ISO 4217"),
        ({"currency": "XAU"}, "ISO 4217"),
        ({"currency": "EUR", "price": 1}, "no such setting"),
        ({"currency": "EUR", "monthly_minimum": 1.5}, "monthly_minimum"),
        ({"currency": "EUR", "monthly_minimum": "-1"}, "not negative"),
        ({"currency": "EUR", "monthly_minimum": "0.0000001"}, "six decimals"),
        ({"currency": "EUR", "monthly_minimum": "NaN"}, "amount"),
        ({"currency": "EUR", "monthly_minimum": "1e30"}, "amount"),
        ({"currency": "EUR", "rates": [{"unit": "hours", "tiers": TIERS}]}, "rates.0.unit"),
        ({"currency": "EUR", "rates": [{"tiers": []}]}, "tiers must rise"),
        ({"currency": "EUR", "rates": [{"tiers": TIERS[:1]}]}, "last must have no up_to"),
        ({"currency": "EUR", "rates": [{"tiers": TIERS[::-1]}]}, "tiers must rise"),
        ({"currency": "EUR", "rates": [{"included": 100, "tiers": TIERS}]}, "above what is incl"),
        ({"currency": "EUR", "rates": [{"tiers": TIERS}] * 2}, "two rates for"),
        ({"currency": "EUR", "limits": {"burst": 4}}, "burst needs a rate"),
        ({"currency": "EUR", "limits": {"monthly_budget": "1", "warn_at": "2"}}, "warn_at"),
    ],
)
def test_a_document_that_is_no_plan(document: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidSettings, match=words):
        parse_plan(document, "x.toml")


def test_files_that_are_no_plan(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no file"):
        read_plan(tmp_path / "none.toml")
    for name, text in (("a.toml", "= 1"), ("b.json", "{"), ("c.json", "[]")):
        (tmp_path / name).write_text(text)
        with pytest.raises(InvalidSettings, match="is no plan"):
            read_plan(tmp_path / name)


def test_a_plan_is_a_row_of_versions(any_store: Store) -> None:
    catalog = any_store.catalog
    # Nobody has been charged by a plan that is new: its first version may begin in the past.
    first = set_plan(catalog, "pro", plan("1"), NOW - timedelta(days=30))
    second = set_plan(catalog, "pro", plan("2"))
    assert set_plan(catalog, "pro", plan("2")) == second
    later = set_plan(catalog, "pro", plan("3"), NOW + timedelta(days=30))
    assert [v.id for v in catalog.plan_versions("pro")] == [first.id, second.id, later.id]
    assert catalog.prices() == [first, second, later]
    with pytest.raises(Conflict, match="before now"):
        set_plan(catalog, "pro", plan("4"), NOW - timedelta(minutes=1))
    with pytest.raises(Conflict, match="is in EUR"):
        set_plan(catalog, "pro", parse_plan({"currency": "USD"}, "x"))
    with pytest.raises(InvalidSettings, match="must match"):
        set_plan(catalog, "Pro Plus", plan())
    assert catalog.plan_versions() == [first, second, later]


def test_a_subscription_never_begins_in_the_past(any_store: Store) -> None:
    catalog = any_store.catalog
    ada = catalog.add_customer("Ada").id
    set_plan(catalog, "pro", plan())
    with pytest.raises(NotFound, match="no plan 'gold'; there are: pro"):
        subscribe(catalog, ada, "gold")
    with pytest.raises(NotFound):
        subscribe(catalog, "cus_nobody", "pro")
    with pytest.raises(Conflict, match="before now"):
        subscribe(catalog, ada, "pro", NOW - timedelta(days=1))
    now = subscribe(catalog, ada, "pro")
    ends = subscribe(catalog, ada, None, NOW + timedelta(days=3))
    assert catalog.subscriptions(ada) == [now, ends]
    assert [s.plan for s in catalog.subscriptions()] == ["pro", None]


def test_every_change_raises_the_epoch_and_is_in_the_audit_log(any_store: Store) -> None:
    catalog = any_store.catalog
    ada = catalog.add_customer("Ada").id
    seen = catalog.epoch()
    for change in (
        lambda: set_plan(catalog, "pro", plan()),
        lambda: subscribe(catalog, ada, "pro"),
        lambda: catalog.set_customer(ada, limits={"rate": 2}),
    ):
        change()
        assert catalog.epoch() > seen
        seen = catalog.epoch()
    acts = {act.action for act in catalog.acts()}
    assert {"plan.set", "customer.plan", "customer.set"} <= acts


def test_a_customer_is_changed(any_store: Store) -> None:
    catalog = any_store.catalog
    ada = catalog.add_customer("Ada").id
    changed = catalog.set_customer(ada, details={"tax_id": "DE1"}, limits={"rate": 2})
    assert catalog.customer(ada) == changed
    assert (changed.name, changed.details, changed.limits) == (
        "Ada",
        {"tax_id": "DE1"},
        {"rate": 2},
    )
    assert catalog.set_customer(ada, name="Ada B").limits == {"rate": 2}
    with pytest.raises(NotFound):
        catalog.set_customer("cus_nobody", name="x")


# Limits as they are set


def test_limits_are_checked_together() -> None:
    with pytest.raises(InvalidSettings) as caught:
        parse_limits({"rate": 0, "concurrency": 0, "x": 1, "monthly_budget": 1.5})
    assert len(caught.value.params["faults"]) == 4


def test_of_several_limits_the_tightest_holds() -> None:
    found = tightest(
        [
            LimitSettings(rate=5, burst=50, monthly_budget="9.50", warn_at="9"),
            LimitSettings(rate=10, monthly_budget="10", concurrency=3),
            LimitSettings(monthly_inputs=7, warn_at="9.75"),
        ]
    )
    assert found == LimitSettings(
        rate=5, burst=10, concurrency=3, monthly_inputs=7, monthly_budget="9.50", warn_at="9"
    )
    assert tightest([]) == LimitSettings()


LIMITS = st.builds(
    LimitSettings,
    rate=st.none() | st.integers(1, 9),
    concurrency=st.none() | st.integers(1, 9),
    monthly_inputs=st.none() | st.integers(0, 9),
    monthly_budget=st.none() | st.integers(0, 9).map(str),
)


@given(st.lists(LIMITS, max_size=4))
def test_the_tightest_allows_what_all_allow(several: list[LimitSettings]) -> None:
    found = tightest(several)
    for name in ("rate", "concurrency", "monthly_inputs", "budget"):
        given_ = [getattr(one, name) for one in several if getattr(one, name) is not None]
        assert getattr(found, name) == (min(given_) if given_ else None)


# Amounts


@pytest.mark.parametrize(
    ("code", "places", "text"),
    [("EUR", 2, "12.35"), ("JPY", 0, "12"), ("KWD", 3, "12.346"), ("CLF", 4, "12.3457")],
)
def test_a_currency_has_its_decimals(code: str, places: int, text: str) -> None:
    assert decimals(code) == places
    assert amount_text(12_345_678, code) == text
    assert amount_text(-12_345_678, code) == "-" + text
    assert exact_text(12_345_678, code) == "12.345678"
    assert micro_of(exact_text(5_000_000, code)) == 5_000_000


@given(st.integers(0, 10**15), st.sampled_from(["EUR", "JPY", "KWD"]))
def test_rounding_loses_half_a_coin_at_most(micro: int, code: str) -> None:
    coin = 10 ** (6 - decimals(code))
    assert rounded(micro, code) % coin == 0
    assert abs(rounded(micro, code) - micro) * 2 <= coin
    assert micro_of(exact_text(micro, code)) == micro


def test_customers_are_found_by_name_a_page_at_a_time(lite: Store) -> None:
    customers = Customers(lite)
    set_plan(lite.catalog, "basic", plan(), NOW)
    for number in range(5):
        customers.add(f"Shop {number}", plan="basic" if number == 3 else None)
    customers.add("Market")
    listed = customers.all("shop", offset=2, limit=2)
    assert [row["name"] for row in listed.rows] == ["Shop 2", "Shop 3"]
    assert [row["spent"] for row in listed.rows] == [{}, {"EUR": "0.00"}]
    assert listed.rows == [
        one for one in customers.all().rows if one["name"] in ("Shop 2", "Shop 3")
    ]
    assert "5" in listed.tables()[0].notes[-1]


def test_limits_are_told_in_words() -> None:
    limits = {"rate": 2.5, "monthly_inputs": 100_000, "prepaid": True, "warn_at": None}
    assert limit_words(limits) == (
        "2.5 calls a second, 100,000 inputs a month, "
        "prepaid: calls are answered while the balance lasts"
    )
    assert limit_words({"prepaid": False}) == limit_words({}) == "–"
    for name in LimitSettings.model_fields:
        assert limit_words({name: 1})
