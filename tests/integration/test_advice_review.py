"""What is advised where people look at answers, and of a month that is closed, is typed."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest

from feilun.errors import Conflict
from feilun.project import Workspace
from feilun.store.ledger_records import Event
from helpers.advice import walks
from helpers.linear import answered
from helpers.month import MONTH, add_customer, add_plan, call, day
from helpers.newcomer import Newcomer
from helpers.rows import write_reviews

pytestmark = pytest.mark.slow


@walks("cli.review_done", "feilun update", "project.none_drawn", "trust.review")
def test_corrections_lead_to_reviews_and_these_to_the_next_update(newcomer: Newcomer) -> None:
    folder = newcomer.folder
    write_reviews(folder / "reviews.csv", 300, noise=0.0)
    newcomer.type("feilun init reviews")
    settings = folder / "reviews" / "feilun.toml"
    plain = "\n[task]\nfeature_bits = 12\n[evaluation]\nrobustness = false\n"
    settings.write_text(settings.read_text("utf-8") + plain, "utf-8")
    newcomer.gets_company()
    newcomer.type("feilun data add reviews.csv")
    newcomer.type("feilun run --method linear")

    # Corrections of the house, and two customers who say different things of one text.
    with Workspace(folder) as workspace:
        project = workspace.project("reviews")
        said = answered(project, 60, seed=17)
        ledger, catalog = workspace.store.ledger, workspace.store.catalog
        [row] = ledger.answers_of(said[0][0])
        for name, label in (("Ada", "great"), ("Bob", "bad")):
            who = catalog.add_customer(name).id
            one = replace(row, prediction_id=name, customer=who, input="they differ on this one")
            ledger.commit([Event(call_id=name, customer=who, project="reviews")], [one])
            ledger.add_feedback(name, 0, label, source="customer", customer=who)
    with (folder / "said.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("prediction_id", "label"), *said[:40]])
    newcomer.type("feilun feedback add said.csv")
    newcomer.type("feilun update", code=None)
    updated = newcomer.shown
    newcomer.follow("trust.review", 1, given={"CUSTOMER": "Ada", "客户": "Ada"})

    # Nothing can be drawn before the new version has answered. Then answers are drawn, and looked
    # at with one key each: Enter confirms.
    newcomer.shown = updated
    newcomer.follow("project.none_drawn")
    assert "feilun serve" in newcomer.shown
    with Workspace(folder) as workspace:
        answered(workspace.project("reviews"), 30, seed=5)
    newcomer.shown = updated
    keys = [("1/", "1"), ("2/", "2"), ("3/", "\r"), ("4/", "q")]
    newcomer.follow("project.none_drawn", keys=keys)
    assert "3" in newcomer.screen.splitlines()[-1]
    with Workspace(folder) as workspace:
        assert len(workspace.store.ledger.audited_answers("reviews")) == 3
    reviewed = newcomer.shown
    newcomer.follow("cli.review_done", 1)
    newcomer.shown = reviewed
    newcomer.follow("cli.review_done", code=None)


@walks("billing.closed_already.hint")
def test_a_closed_month_leads_to_its_invoice(newcomer: Newcomer) -> None:
    newcomer.type("feilun init reviews")
    with Workspace(newcomer.folder) as workspace:
        store = workspace.store
        add_plan(
            store,
            "flat",
            {"currency": "EUR", "rates": [{"unit": "inputs", "tiers": [{"per_1000": "6"}]}]},
        )
        call(store, add_customer(store, "Acme", "flat"), day(3), 100)
        number = str(workspace.invoices.close(MONTH).rows[0]["number"])
    newcomer.type(f"feilun invoice preview Acme --month {MONTH}", code=Conflict.exit_code)
    newcomer.follow("billing.closed_already.hint", given={"NUMBER": number, "编号": number})
    assert number in newcomer.screen
