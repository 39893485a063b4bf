"""Margins, the idle machine, the price for a margin; and the commands about plans and customers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feilun.billing.economics import busy_seconds, idle_share, margins, suggest
from feilun.cli.app import run
from feilun.errors import InvalidData
from feilun.project import Workspace
from feilun.project.margins import margin, suggest_price
from feilun.project.moments import moment_of, per_second, share_of
from feilun.store.ledger_records import Event, UsageRow

HOUR = 3600


def row(customer: str, amount: int, seconds: float, currency: str = "USD") -> UsageRow:
    """What `customer` paid, for answers that took `seconds` of a machine at 0.36 an hour."""
    cost = round(seconds * 0.36 / HOUR * 1e6)
    return UsageRow(
        by={"customer": customer, "model_version": "reviews@1"},
        currency=currency,
        units={"inputs": 10},
        amount=amount,
        cost=cost,
        engine_us=round(seconds * 1e6),
        events=1,
    )


def test_the_idle_machine_falls_on_all_by_what_they_used() -> None:
    # Ten hours paid for at 0.36; Ada used one of them, Bob two, seven were idle.
    rows = [row("ada", 2_000_000, HOUR), row("bob", 1_000_000, 2 * HOUR), row("cem", 0, 0)]
    found, unborne = margins(
        rows, "customer", per_hour={"reviews@1": 0.36}, machine=(0.36, "USD"), paid_hours=10
    )
    by = {one.name: one for one in found}
    assert (by["ada"].cost, by["ada"].idle) == (360_000, 840_000)
    assert (by["bob"].cost, by["bob"].idle) == (720_000, 1_680_000)
    assert (by["ada"].margin, by["ada"].verdict) == (800_000, "earns")
    assert (by["bob"].margin, by["bob"].verdict) == (-1_400_000, "carried")
    assert (by["cem"].margin, by["cem"].verdict) == (0, "earns")
    assert [one.name for one in found] == ["bob", "cem", "ada"]  # the worst first
    assert by["ada"].share == pytest.approx(0.4)
    assert unborne == 0
    assert idle_share(found, unborne) == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("revenue", "verdict"),
    [(0, "unpriced"), (1, "loses"), (359_999, "loses"), (360_000, "carried"), (3_600_000, "earns")],
)
def test_who_loses_money(revenue: int, verdict: str) -> None:
    found, _ = margins(
        [row("ada", revenue, HOUR)],
        "customer",
        per_hour={"reviews@1": 0.36},
        machine=(0.36, "USD"),
        paid_hours=10,
    )
    assert found[0].verdict == verdict


def test_a_machine_that_answered_nothing() -> None:
    found, unborne = margins([], "model", per_hour={}, machine=(0.36, "USD"), paid_hours=10)
    assert (found, unborne) == ([], 3_600_000)
    assert idle_share(found, unborne) == 1.0


def test_another_currency_needs_its_rate() -> None:
    options = {"per_hour": {}, "machine": (0.36, "USD"), "paid_hours": 1.0}
    with pytest.raises(InvalidData, match="--exchange EUR="):
        margins([row("ada", 5, 1, "EUR")], "customer", **options)  # type: ignore[arg-type]
    [found], _ = margins(
        [row("ada", 100, 1, "EUR")],
        "customer",
        exchange={"EUR": Decimal("1.08")},
        **options,  # type: ignore[arg-type]
    )
    assert found.revenue == 108


def test_machine_time_is_told_from_the_cost() -> None:
    assert busy_seconds(row("ada", 0, 90), 0.36) == pytest.approx(90, abs=0.1)
    assert busy_seconds(row("ada", 0, 90), 0.0, streams=2) == 45


def test_a_price_by_hand() -> None:
    # 2 ms an input, 100 a second: a fifth of a machine at 0.36 an hour, so 0.0001 a second.
    # 1,000 inputs take 10 s of it, 2 of them busy: 0.0002 for the answers, 0.0008 idle.
    made = suggest(0.002, load=100, margin=0.6, per_hour=0.36)
    assert (made.cost, made.idle, made.machines) == (200, 800, 1)
    assert made.busy == pytest.approx(0.2)
    assert made.price == 2500
    # Ten times the load takes three machines, which are two thirds busy.
    assert suggest(0.002, load=1000, margin=0.6, per_hour=0.36).machines == 3


@given(
    seconds=st.floats(1e-5, 2),
    load=st.floats(1e-3, 1e4),
    share=st.floats(0, 0.95),
    per_hour=st.floats(0.01, 50),
)
def test_a_price_leaves_its_margin(
    seconds: float, load: float, share: float, per_hour: float
) -> None:
    made = suggest(seconds, load=load, margin=share, per_hour=per_hour)
    an_hour = load * HOUR * made.price / 1000 / 1e6
    paid = made.machines * per_hour
    assert an_hour - paid >= share * an_hour - 1e-9 * an_hour
    assert made.busy <= 0.7 + 1e-6 or made.machines == 1
    assert load * seconds <= made.machines * 0.7 + 1e-6
    assert abs((made.cost + made.idle) / 1e6 * load * HOUR / 1000 - paid) <= load * HOUR * 2e-9


@pytest.mark.parametrize(("load", "share"), [(0, 0.5), (-1, 0.5), (1, 1.0), (1, -0.1)])
def test_loads_and_margins_that_cannot_be(load: float, share: float) -> None:
    with pytest.raises(InvalidData):
        suggest(0.01, load=load, margin=share, per_hour=1)


def test_words_for_loads_margins_and_dates() -> None:
    assert [per_second(text) for text in ("3/s", "120 / min", "1.8/h", "86400/day")] == [
        3,
        2,
        0.0005,
        1,
    ]
    assert [share_of("60%"), share_of("0.6")] == [0.6, 0.6]
    now = datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert moment_of("2026-12-01", now) == datetime(2026, 12, 1, tzinfo=UTC)
    assert moment_of("2026-12-01T02:00+02:00", now) == datetime(2026, 12, 1, tzinfo=UTC)
    assert moment_of("2026-11-22", now) is None
    for wrong in (per_second, share_of, moment_of):
        with pytest.raises(InvalidData):
            wrong("soon")


# On a workspace


@pytest.fixture
def selling(workspace_dir: Path) -> Workspace:
    """A workspace in which Ada pays well and Bob does not."""
    workspace = Workspace(workspace_dir)
    workspace.init("reviews")
    store = workspace.store
    version = store.catalog.add_model_version(
        "reviews", "linear", config={"project": {"serving": {"machine_per_hour": 0.36}}}
    )
    for name, amount in (("Ada", 2_000_000), ("Bob", 1000)):
        customer = workspace.customers.add(name)
        event = Event(
            f"call-{name}",
            units={"calls": 1, "inputs": 500_000},
            amount=amount,
            customer=customer.id,
            project="reviews",
            endpoint="reviews",
            model_version=version.id,
            cost=100_000,
            engine_us=2_000_000_000,
        )
        store.ledger.commit([event])
    return workspace


def test_the_customer_that_loses_you_money(selling: Workspace) -> None:
    with selling:
        found = margin(selling.scope, per_hour=0.36)
        assert [r["name"] for r in found.rows] == ["Bob", "Ada"]
        assert found.rows[0]["verdict"] == "loses"
        assert "The customer Bob loses you money" in found.rows[0]["words"]
        assert found.rows[0]["cost"] == "0.10"
        (table,) = found.tables()
        assert table.notes[0] == found.rows[0]["words"]
        assert [r["name"] for r in margin(selling.scope, by="model", per_hour=0.36).rows] == [
            "reviews@1"
        ]
        # Paid for from the first event on, not from its day's midnight; or since a server stands.
        assert found.hours < 0.1
        catalog = selling.store.catalog
        month = f"{datetime.now(UTC):%Y-%m}"
        begin = datetime.fromisoformat(f"{month}-01").replace(tzinfo=UTC)
        stood = datetime.now(UTC) - timedelta(hours=5)
        catalog.set_setting("first_served", stood.isoformat())
        server = catalog.register_server("127.0.0.1", 8000, "http://127.0.0.1:8000")
        catalog.unregister_server(server.id)
        assert catalog.first_served() == stood
        idle = margin(selling.scope, per_hour=0.36, machines=2)
        since_then = (datetime.now(UTC) - max(stood, begin)) / timedelta(hours=1)
        assert idle.hours == pytest.approx(2 * since_then, abs=0.1)
        share = max(0.0, 1 - 2000 / (idle.hours * HOUR))
        assert idle.idle_share == pytest.approx(share, abs=0.01)
        last = datetime.now(UTC).replace(day=1) - timedelta(days=1)
        assert margin(selling.scope, month=f"{last:%Y-%m}").rows == []


def test_a_price_from_what_the_ledger_measured(selling: Workspace) -> None:
    with selling:
        made = suggest_price(selling.scope, None, margin=0.6, load=100, per_hour=0.36)
        # A million inputs cost 0.2 at 0.36 an hour: 2,000 seconds, 2 ms each.
        assert made.seconds == pytest.approx(0.002)
        assert (made.measured, made.price, made.cost, made.idle) == (
            1_000_000,
            "0.0025",
            "0.0002",
            "0.0008",
        )
        selling.init("other")
        with pytest.raises(InvalidData, match="has answered nothing"):
            suggest_price(selling.scope, "other", margin=0.6, load=1)


def test_the_commands(
    workspace_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "pro.toml"
    file.write_text(
        'currency = "JPY"\n[[rates]]\nincluded = 100\ntiers = [{ per_1000 = "80" }]\n'
        '[limits]\nmonthly_budget = "9000"\nwarn_at = "10"\n'
    )

    def feilun(*words: str, code: int = 0) -> dict[str, object]:
        assert run([*words, "--workspace", str(workspace_dir), "--json"]) == code
        printed: dict[str, object] = json.loads(capsys.readouterr().out)
        return printed

    feilun("init", "reviews")
    assert feilun("plan", "set", str(file))["state"] == "now"
    assert feilun("plan", "show", "pro")["unknown"] == []
    slip = tmp_path / "gold.toml"
    slip.write_text(file.read_text().replace("included", 'project = "reviws"\nincluded'))
    later = feilun("plan", "set", str(slip), "--from", "2199-01-01")
    assert (later["name"], later["state"], later["unknown"]) == ("gold", "later", ["reviws"])
    assert [one["name"] for one in feilun("plan", "list")["rows"]] == ["gold", "pro"]  # type: ignore[attr-defined]
    document = feilun("plan", "show", "pro")["document"]
    assert document["rates"][0]["included"] == 100  # type: ignore[index]
    added = feilun(
        *("customers", "add", "Ada", "--plan", "pro", "--rate", "5", "--concurrency", "2"),
        *("--legal-name", "Ada KK", "--language", "zh", "--tax-rate", "10"),
    )
    assert added["in_force"] == {
        "rate": 5,
        "burst": 5,
        "concurrency": 2,
        "monthly_budget": "9000",
        "warn_at": "10",
    }
    assert added["details"] == {"legal_name": "Ada KK", "language": "zh", "tax_rate": "10"}
    changed = feilun("customers", "set", "Ada", "--no-limit", "rate", "--tax-id", "T1")
    assert changed["limits"] == {"concurrency": 2}
    with Workspace(workspace_dir) as workspace:
        ada = str(added["id"])
        event = Event("c", units={"inputs": 9}, amount=12_500_000, currency="JPY", customer=ada)
        workspace.store.ledger.commit([event])
    shown = feilun("customers", "show", "Ada")
    assert (shown["used"], shown["spent"]) == (9, {"JPY": "12.5"})
    assert shown["warnings"] == ["The customer: 12.5 JPY are spent this month, past the mark of 10"]
    assert feilun("customers", "set", "Ada", "--no-plan")["plan"] is None
    for words in (
        ("plan", "show", "silver"),
        ("plan", "show", "pro", "--plan-version", "99"),
        ("plan", "set", str(file), "--from", "2020-01-01"),
        ("plan", "set", str(tmp_path / "none.toml")),
        ("customers", "add", "Ada"),
        ("customers", "add", " Ada "),
        ("customers", "add", "Bob", "--plan", "silver"),
        ("customers", "add", "Bob", "--rate", "0"),
        ("customers", "add", "Bob", "--monthly-budget", "much"),
        ("customers", "add", "Bob", "--language", "fr"),
        ("customers", "set", "Ada", "--no-limit", "speed"),
        ("customers", "set", "Ada", "--plan", "pro", "--no-plan"),
        ("customers", "show", "Bob"),
        ("price", "suggest", "--load", "soon"),
        ("margin", "--exchange", "EUR=much"),
    ):
        error = feilun(*words, code=2)["error"]
        assert error["message"]  # type: ignore[index]
    assert [one["name"] for one in feilun("customers", "list")["rows"]] == ["Ada"]  # type: ignore[attr-defined]
    # And for people, in both languages.
    for lang, words in (("en", "list prices"), ("zh", "标价")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FEILUN_LANG", lang)
            assert run(["customers", "list", "--workspace", str(workspace_dir)]) == 0
            assert words in capsys.readouterr().out
