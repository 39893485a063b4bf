"""The ledger as CloudEvents, read by the official SDK."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from feilun.billing.cloudevents import cloud_event
from feilun.billing.credits import give_credit
from feilun.billing.invoices import close_month
from feilun.cli.app import run
from feilun.project import Workspace
from feilun.project.invoicing import Invoices
from feilun.store import Store
from feilun.store.ledger_records import Event
from feilun.store.records import Customer
from helpers.month import AFTER, BEGIN, MONTH, add_customer, add_plan, call, day


@pytest.fixture
def store(any_store: Store) -> Store:
    any_store.catalog.add_project("reviews", "text-classification")
    return any_store


def _month(store: Store) -> Customer:
    rates = [{"unit": "inputs", "tiers": [{"per_1000": "2.5"}]}]
    add_plan(store, "p", {"currency": "EUR", "monthly_minimum": "4", "rates": rates})
    customer = add_customer(store, "Ada", "p")
    call(store, customer, day(1), 100, tokens=830)
    call(store, customer, day(2), 1)
    give_credit(store, customer.id, 12_345, "slow", currency="EUR", now=day(3))
    return customer


def _read(file: Path) -> list[CloudEvent]:
    """By the SDK, which refuses what is no CloudEvent 1.0."""
    lines = file.read_text("utf-8").splitlines()
    return [JSONFormat().read(CloudEvent, line) for line in lines]


def test_the_sdk_reads_every_line(store: Store, tmp_path: Path) -> None:
    customer = _month(store)
    file = tmp_path / "usage.jsonl"
    assert Invoices(store).export_usage(file) == 3
    events = _read(file)
    assert [event.get_type() for event in events] == [
        "feilun.usage.v1",
        "feilun.usage.v1",
        "feilun.credit.v1",
    ]
    assert [event.get_id() for event in events] == [event.id for event in store.ledger.events()]
    assert {event.get_source() for event in events} == {"/feilun/ledger"}
    assert {event.get_subject() for event in events} == {customer.id}
    assert events[0].get_time() == day(1)
    data = events[0].get_data()
    assert isinstance(data, dict)
    assert (data["inputs"], data["tokens"], data["amount"]) == (100, 830, "0.25")
    assert (data["currency"], data["endpoint"], data["model"]) == ("EUR", "reviews", "reviews@1")
    assert "cost" not in data
    assert "key_id" not in data


def test_an_export_again_has_the_same_ids(store: Store, tmp_path: Path) -> None:
    _month(store)
    first, again = tmp_path / "a", tmp_path / "b"
    Invoices(store).export_usage(first)
    Invoices(store).export_usage(again)
    assert first.read_bytes() == again.read_bytes()


def test_a_time_limits_it(store: Store, tmp_path: Path) -> None:
    _month(store)
    file = tmp_path / "part"
    assert Invoices(store).export_usage(file, since=day(2), until=day(3)) == 1
    assert Invoices(store).export_usage(file, until=BEGIN) == 0
    assert file.read_text() == ""


def test_a_minimum_is_a_fee(store: Store, tmp_path: Path) -> None:
    _month(store)
    close_month(store, MONTH, now=AFTER)
    file = tmp_path / "all"
    Invoices(store).export_usage(file)
    fees = [event for event in _read(file) if event.get_type() == "feilun.fee.v1"]
    [fee] = fees
    data = fee.get_data()
    assert isinstance(data, dict)
    # 101 × 2.5 / 1000 = .2525; 4 − .2525
    assert (data["amount"], data["outcome"]) == ("3.7475", f"minimum:{MONTH}")


@pytest.mark.parametrize("kind", ["hold", "release"])
def test_what_nobody_owes_is_not_exported(kind: Any) -> None:
    assert cloud_event(Event("c", kind, created=datetime.now(UTC), id="e")) is None


def test_the_command(workspace_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Workspace(workspace_dir) as workspace:
        workspace.store.catalog.add_project("reviews", "text-classification")
        _month(workspace.store)
    place = ["--workspace", str(workspace_dir), "--json"]
    file = workspace_dir / "usage.jsonl"
    options = ["--format", "cloudevents", "--since", "2025-10-01", "--until", "2025-10-03"]
    assert run(["usage", "export", str(file), *options, *place]) == 0
    assert json.loads(capsys.readouterr().out)["events"] == 2
    assert len(_read(file)) == 2
    assert run(["usage", *place]) == 0, "usage itself still works"
    assert "rows" in json.loads(capsys.readouterr().out)
    assert run(["usage", "export", str(file), "--since", "yesterday", *place]) == 2
    assert run(["usage", "export", str(workspace_dir / "no" / "such"), *place]) == 3
