"""What feilun names as the next command, in errors too, is typed and does what was said."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from feilun.errors import InvalidData
from feilun.project import Workspace
from feilun.store.ledger_records import Event
from helpers.advice import walks
from helpers.bert import write_bert
from helpers.linear import answered
from helpers.newcomer import NOT_PROMOTED, Newcomer
from helpers.rows import write_reviews

pytestmark = pytest.mark.slow


_FAILS = InvalidData.exit_code


@walks(
    "project.none.hint",
    "compare.no_rows.hint",
    "label.no_rows.hint",
    "corpus.next",
    "corpus.written",
    "project.nothing_trained.hint",
    "project.not_live_yet.hint",
    "clean.nothing_to_do.hint",
    "clean.file_lacks.hint",
    "clean.no_vault.hint",
    "clean.no_version.hint",
    "cli.exported",
    "cli.queued",
    "erase.models_hint",
    "evaluation.gate_label_more",
    "project.canary_deployed",
    "project.gate_refused.hint",
    "project.live_before",
    "project.not_exported.hint",
    "project.shadow_deployed",
    "review.live_unknown",
)
def test_what_errors_and_verbs_advise(newcomer: Newcomer) -> None:
    """Each is brought about, and followed."""
    folder, follow = newcomer.folder, newcomer.follow
    write_reviews(folder / "reviews.csv", 120, noise=0.0)

    def fails(line: str) -> None:
        newcomer.type(line, code=_FAILS)

    # Nothing is there yet: no project, rows, version.
    fails("feilun data add reviews.csv")
    follow("project.none.hint")
    newcomer.gets_company()
    settings = folder / "reviews" / "feilun.toml"
    plain = "\n[task]\nfeature_bits = 12\n[evaluation]\nrobustness = false\n"
    settings.write_text(settings.read_text("utf-8") + plain, "utf-8")
    fails("feilun label start --label great --label bad")
    follow("label.no_rows.hint")
    before = set(folder.iterdir())
    follow("corpus.next")
    [listed] = set(folder.iterdir()) - before
    with listed.open(encoding="utf-8-sig", newline="") as stream:
        drawn = list(csv.DictReader(stream))
    with listed.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, drawn[0])
        writer.writeheader()
        labels = ("great", "bad")
        writer.writerows([{**row, "label": labels[n % 2]} for n, row in enumerate(drawn)])
    follow("corpus.written")
    assert _rows(folder) == len(drawn)
    newcomer.type("feilun project delete reviews --yes")
    newcomer.type("feilun init reviews")
    settings.write_text(settings.read_text("utf-8") + plain, "utf-8")
    fails("feilun compare")
    follow("compare.no_rows.hint")
    assert _rows(folder) == 120
    fails("feilun predict tea")
    follow("project.nothing_trained.hint", more="--method linear")

    # Cleaning, and what it needs.
    fails("feilun data clean")
    follow("clean.nothing_to_do.hint")
    fails("feilun data unmask x")
    follow("clean.no_vault.hint")
    fails("feilun data use 9")
    follow("clean.no_version.hint")
    fails("feilun data clean --relabel reviews.csv")
    follow("clean.file_lacks.hint", place=1)

    # Versions beside one another, back and forth.
    newcomer.type("feilun run --method linear --later --set training.seed=3")
    follow("cli.queued", more="--once")
    newcomer.type("feilun deploy reviews@2", code=NOT_PROMOTED)
    refused = newcomer.shown
    follow("project.gate_refused.hint")
    assert _live(folder) == "reviews@2"
    follow("project.live_before")
    assert _live(folder) == "reviews@1"
    newcomer.shown = refused
    test = write_reviews(folder / "test.csv", 60, seed=9, noise=0.0)
    given = {"FILE": test.name, "文件": test.name}
    newcomer.follow("evaluation.gate_label_more", given=given)
    newcomer.type("feilun deploy reviews@2 --shadow")
    follow("project.shadow_deployed")
    follow("review.live_unknown")
    newcomer.type("feilun deploy reviews@2 --canary 10 --force --reason trial")
    follow("project.canary_deployed")
    assert _live(folder) == "reviews@1"

    # Out and in again; forgotten.
    fails("feilun import reviews.csv")
    follow("project.not_exported.hint")
    follow("cli.exported")
    newcomer.type("feilun erase delicious")
    follow("erase.models_hint", place=1)


def _rows(folder: Path) -> int:
    with Workspace(folder) as workspace:
        counts = workspace.project("reviews").scope.data().counts.values()
    return sum(sum(split.values()) for split in counts)


def _live(folder: Path) -> str:
    with Workspace(folder) as workspace:
        catalog = workspace.store.catalog
        live = catalog.live(catalog.project("reviews").endpoint)
    return live.version if live else ""


@walks(
    "billing.free",
    "billing.month_runs.hint",
    "billing.no_invoice.hint",
    "calls.no_call.hint",
    "forecast.one_aim.hint",
    "plans.customer_exists.hint",
    "project.archived_kept",
    "project.no_data.hint",
    "project.delete_live.hint",
    "project.delete_sure.hint",
    "project.deleted_billed",
    "project.unarchived_next",
    "store.no_key.hint",
)
def test_what_is_advised_of_money_and_whole_projects(newcomer: Newcomer) -> None:
    folder, follow = newcomer.folder, newcomer.follow
    write_reviews(folder / "reviews.csv", 300, noise=0.05)

    def fails(line: str) -> None:
        newcomer.type(line, code=_FAILS)

    newcomer.type("feilun init reviews")
    newcomer.gets_company()
    settings = folder / "reviews" / "feilun.toml"
    plain = "\n[task]\nfeature_bits = 12\n[evaluation]\nrobustness = false\n"
    settings.write_text(settings.read_text("utf-8") + plain, "utf-8")
    fails("feilun run")
    follow("project.no_data.hint")
    newcomer.type("feilun run --method linear")
    with Workspace(folder) as workspace:
        answered(workspace.project("reviews"), 5)
        busy = {"units": {"calls": 1, "inputs": 500}, "engine_us": 2_000_000}
        customer = workspace.store.catalog.customers()[0].id
        place = {"project": "reviews", "endpoint": "reviews", "model_version": "reviews@1"}
        workspace.store.ledger.commit([Event("busy", customer=customer, **place, **busy)])

    # Prices, invoices, customers.
    newcomer.type("feilun deploy reviews@1 --force --reason again")
    newcomer.type("feilun customers add Acme")
    fails("feilun customers add Acme")
    follow("plans.customer_exists.hint", more="--tax-id 7")
    fails("feilun invoice show 7")
    follow("billing.no_invoice.hint")
    month = f"{datetime.now(UTC):%Y-%m}"
    fails(f"feilun invoice close {month}")
    follow("billing.month_runs.hint")
    fails("feilun keys revoke x")
    follow("store.no_key.hint")
    fails("feilun calls x")
    follow("calls.no_call.hint")
    fails("feilun forecast")
    follow("forecast.one_aim.hint", place=1, code=None)

    # The project as a whole: put away, taken back, deleted.
    fails("feilun project delete reviews")
    follow("project.delete_live.hint")
    assert _live(folder) == ""
    follow("project.archived_kept")
    follow("project.unarchived_next")
    assert _live(folder) == "reviews@1"
    follow("billing.free")
    newcomer.type("feilun project archive reviews")
    fails("feilun project delete reviews")
    follow("project.delete_sure.hint")
    follow("project.deleted_billed")


@walks(
    "bases.explained",
    "bases.next",
    "cli.init_upstream",
    "feilun run --base",
    "formats.folder_of_tables.hint",
    "store.no_plan.hint",
    "tune.none_going_on.hint",
)
def test_what_is_advised_of_bases_searches_and_other_apis(newcomer: Newcomer) -> None:
    folder = newcomer.folder
    write_reviews(folder / "reviews.csv", 120, noise=0.0)
    for seed, name in enumerate(("first", "second")):
        write_bert(folder / name, seed=seed)

    follow = partial(newcomer.follow, given={"A": "first", "B": "second"})

    newcomer.type("feilun init reviews")
    newcomer.gets_company()
    settings = folder / "reviews" / "feilun.toml"
    plain = "\n[task]\nfeature_bits = 12\nmax_length = 32\n[evaluation]\nrobustness = false\n"
    settings.write_text(settings.read_text("utf-8") + plain, "utf-8")
    (folder / "parts").mkdir()
    write_reviews(folder / "parts" / "a.csv", 60, noise=0.0)
    newcomer.type("feilun data add parts", code=_FAILS)
    follow("formats.folder_of_tables.hint")
    newcomer.type("feilun data add reviews.csv")

    # Bases: the best is trained from, two are tried.
    newcomer.type("feilun bases first second")
    looked = newcomer.shown
    follow("bases.next", code=None)
    with Workspace(folder) as workspace:
        versions = workspace.store.catalog.model_versions("reviews")
    assert {"stack", "full"} & {one.method for one in versions}
    newcomer.shown = looked
    follow("bases.explained", code=None, more="--trials 1 --minutes 2")
    newcomer.type("feilun tune --join", code=_FAILS)
    follow("tune.none_going_on.hint", code=None, more="--trials 1 --minutes 2")

    # Plans of customers; what is paid for elsewhere.
    newcomer.type("feilun customers add Acme --plan none", code=_FAILS)
    (folder / "reviews.csv").write_text('name = "flat"\ncurrency = "EUR"\n', "utf-8")
    follow("store.no_plan.hint")
    newcomer.type("feilun init support --task chat --upstream http://127.0.0.1:9/v1")
    follow("cli.init_upstream", more="--project support")


@walks("data.equal_rows", "formats.rows_append")
def test_equal_rows_of_a_table_are_told_counted_and_dropped(newcomer: Newcomer) -> None:
    rows = [(number, "yes" if number % 3 else "no") for number in range(100)]
    with (newcomer.folder / "customers.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("months", "churn"), *rows, *rows])
    newcomer.type("feilun init reviews --task tabular-classification")
    newcomer.type("feilun data add customers.csv")
    assert _rows(newcomer.folder) == 200
    copied = newcomer.shown
    newcomer.type("feilun data add customers.csv")
    newcomer.follow("formats.rows_append")
    assert _rows(newcomer.folder) == 400
    newcomer.shown = copied
    newcomer.follow("data.equal_rows")
    assert 100 < _rows(newcomer.folder) < 150  # copies that judge stay
