"""Money in whole micro-units: prices over time, amounts of calls, cost carried on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feilun.billing.prices import CostCarry, set_price
from feilun.billing.usage import money, own_usage
from feilun.store import open_store
from feilun.store.ledger_records import Event

NOW = datetime.now(UTC)


def test_a_price_holds_from_its_moment_on(workspace_dir: Path) -> None:
    with open_store(workspace_dir) as store:
        store.catalog.add_project("reviews", "text-classification")
        first = set_price(store.catalog, "reviews", 0.5, "USD")
        assert first.amount == 500_000
        assert set_price(store.catalog, "reviews", 0.5, "USD") == first
        later = store.catalog.add_price(
            "reviews", 700_000, "USD", effective=NOW + timedelta(days=30)
        )
        catalog = store.catalog
        assert catalog.price("reviews") == first
        assert catalog.price("reviews", NOW + timedelta(days=31)) == later
        assert catalog.price("reviews", NOW - timedelta(days=1)) is None
        assert catalog.price("other") is None


@given(st.lists(st.floats(0, 10), max_size=200))
def test_no_part_of_the_cost_is_lost(seconds: list[float]) -> None:
    carry = CostCarry()
    total = sum(carry.cost(part, 2, 0.05) for part in seconds)
    exact = sum(seconds) / 2 * 0.05 * 1e6 / 3600
    assert abs(total - exact) < 1.01


@pytest.mark.parametrize(
    ("micro", "text"),
    [(0, "0.00"), (1, "0.000001"), (1_230_000, "1.23"), (-500_000, "-0.50"), (12 * 10**6, "12.00")],
)
def test_money_is_an_exact_decimal(micro: int, text: str) -> None:
    assert money(micro) == text


def test_a_customer_sees_its_own_usage_and_no_cost(workspace_dir: Path) -> None:
    with open_store(workspace_dir) as store:
        for number, customer in enumerate(["ada", "ada", "bob"]):
            store.ledger.commit(
                [
                    Event(
                        f"call{number}",
                        units={"calls": 1, "inputs": 3},
                        amount=30,
                        cost=7,
                        customer=customer,
                        project="reviews",
                        model_version="reviews@1",
                    )
                ]
            )
        usage = own_usage(store.ledger, "ada")
    assert usage["total"] == [{"amount": "0.00006", "currency": "USD"}]
    (row,) = usage["data"]
    assert (row["calls"], row["inputs"], row["model"]) == (2, 6, "reviews@1")
    assert row["day"] == datetime.now(UTC).date().isoformat()
    assert "cost" not in str(usage)
