"""What is missing, misspelt or too early is answered with commands that work."""

from __future__ import annotations

import csv
import sqlite3
from pathlib import Path

import pytest

from feilun.errors import InvalidData
from feilun.project import Workspace
from helpers.advice import walks
from helpers.linear import answered
from helpers.newcomer import Newcomer
from helpers.rows import reviews, write_reviews

pytestmark = pytest.mark.slow

_FAILS = InvalidData.exit_code


def _begun(newcomer: Newcomer) -> None:
    """A small model, and in Chinese another project."""
    settings = newcomer.folder / "reviews" / "feilun.toml"
    plain = settings.read_text("utf-8") + "\n[task]\nfeature_bits = 12\n"
    plain += "[evaluation]\nrobustness = false\n"
    settings.write_text(plain, "utf-8")
    newcomer.gets_company()


@walks(
    "billing.no_price_version.hint",
    "cli.first_steps_again",
    "clean.no_recipe_file.hint",
    "clean.none_found.hint",
    "compression.nothing_to_explore.hint",
    "config.no_file.hint",
    "corpus.none.hint",
    "erase.nobody.hint",
    "forecast.no_rows.hint",
    "forecast.too_few.hint",
    "project.archived.hint",
    "project.no_head.hint",
    "project.no_key.hint",
    "project.nothing_trained_yet",
    "review.nobody_held.hint",
    "runs.how_many.hint",
    "sources.since_needs_query.hint",
    "store.no_project.hint",
    "upstream.none.hint",
)
def test_before_anything_is_trained(newcomer: Newcomer) -> None:
    folder = newcomer.folder
    words = {"ADDRESS": "http://127.0.0.1:9/v1", "地址": "http://127.0.0.1:9/v1"}

    def slip(line: str, name: str, place: int = 0, *, more: str = "", **given: str) -> None:
        newcomer.type(line, code=_FAILS)
        newcomer.follow(name, place, more=more, given={**words, **given})

    # The workspace as a whole.
    slip("feilun versions --project nope", "store.no_project.hint")
    _begun(newcomer)
    newcomer.type("feilun", code=2)
    newcomer.follow("cli.first_steps_again")
    slip("feilun erase", "erase.nobody.hint")
    slip("feilun audit verify --head x", "project.no_head.hint")
    slip(f"feilun runs compare {' '.join('abcdefghi')}", "runs.how_many.hint")
    newcomer.type("feilun customers add Acme")
    slip("feilun rerate Acme 2025-01 --plan-version 77", "billing.no_price_version.hint")
    slip("feilun predict tea --url http://127.0.0.1:9", "project.no_key.hint")
    newcomer.type("feilun project archive reviews")
    slip("feilun versions --project reviews", "project.archived.hint")
    slip("feilun feedback settle nobody --accept", "review.nobody_held.hint")
    slip("feilun upstream", "upstream.none.hint", NAME="asked", 名称="asked")
    assert (folder / "asked").is_dir()
    newcomer.project = "reviews"  # of several now, in both languages

    # Rows, from none to enough.
    write_reviews(folder / "few.csv", 24, noise=0.0)
    write_reviews(folder / "reviews.csv", 160, noise=0.0)
    newcomer.type("feilun project delete reviews --yes")
    newcomer.type("feilun init reviews")
    slip("feilun forecast --gain 0.02", "forecast.no_rows.hint", **_files("few.csv"))
    slip("feilun forecast --gain 0.02", "forecast.too_few.hint", **_files("reviews.csv"))
    slip("feilun data corpus lost --out x.csv", "corpus.none.hint", **_files("few.csv"))
    slip("feilun data clean --recipe lost.toml", "clean.no_recipe_file.hint")
    (folder / "other.csv").write_text("row_id,label\nx1,great\n", "utf-8")
    found = _files("written.csv")
    slip("feilun data clean --relabel other.csv", "clean.none_found.hint", **found)
    assert (folder / "written.csv").stat().st_size
    _shop(folder / "shop.db", newcomer.lang)
    slip("feilun data add few.csv --since id", "sources.since_needs_query.hint")
    with Workspace(folder) as workspace:
        assert workspace.project("reviews").scope.data().number == 3

    # Nothing was trained yet; then the settings are lost.
    newcomer.type("feilun versions")
    small = "--method linear --set compression.variants=[]"
    newcomer.follow("project.nothing_trained_yet", more=small)
    (folder / "reviews" / "feilun.toml").unlink()
    slip("feilun run", "config.no_file.hint", NAME="two", 名称="two")
    assert (folder / "two" / "feilun.toml").is_file()
    newcomer.project = "two"
    newcomer.type("feilun data add reviews.csv")
    slip("feilun compress --explore", "compression.nothing_to_explore.hint", more=small)


def _files(name: str) -> dict[str, str]:
    return dict.fromkeys(("FILE", "文件", "FILE...", "文件..."), name)


def _shop(file: Path, lang: str) -> None:
    columns = "id, review, score" if lang == "en" else "id, 评论, 情感"
    with sqlite3.connect(file) as shop:
        shop.execute(f"create table reviews ({columns})")
        rows = [(n, *row) for n, row in enumerate(reviews(60, seed=4, noise=0.0))]
        shop.executemany("insert into reviews values (?, ?, ?)", rows)
    shop.close()


@walks(
    "audit.left_out.hint",
    "billing.not_closed.hint",
    "clean.next_use",
    "compare.judged",
    "feedback.other_project.hint",
    "pipeline.no_rows_of_version.hint",
    "project.explore_all.hint",
    "project.frontier_chosen",
    "project.nothing_beside.hint",
    "store.canaries_full.hint",
)
def test_once_something_is_trained(newcomer: Newcomer) -> None:
    folder = newcomer.folder
    file = write_reviews(folder / "reviews.csv", 160, noise=0.0)
    with file.open("a", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(reviews(5, noise=0.0))
    newcomer.type("feilun init reviews")
    _begun(newcomer)
    newcomer.type("feilun data add reviews.csv")
    newcomer.type("feilun data audit")
    newcomer.follow("audit.left_out.hint")

    # Versions.
    small = "--method linear --set compression.variants=[]"
    newcomer.type(f"feilun train {small}")
    newcomer.type("feilun deploy reviews@1 --canary 10", code=_FAILS)
    newcomer.follow("project.nothing_beside.hint")
    with Workspace(folder) as workspace:
        assert workspace.project("reviews").model().record.state == "live"
    newcomer.type("feilun compare --methods linear")
    newcomer.follow("compare.judged", more=small)
    newcomer.type("feilun compress reviews@1 --explore", code=2)
    newcomer.follow("project.explore_all.hint")
    newcomer.type("feilun compress --explore")
    newcomer.follow("project.frontier_chosen")
    for seed in (3, 4):
        newcomer.type(f"feilun train {small} --set training.seed={seed}")
    newcomer.type("feilun deploy reviews@2 --canary 60 --force --reason trial")
    newcomer.type("feilun deploy reviews@3 --canary 60 --force --reason trial", code=_FAILS)
    newcomer.follow("store.canaries_full.hint")
    newcomer.type("feilun deploy reviews@3 --canary 60 --force --reason trial")
    newcomer.type("feilun rollback")
    write_reviews(folder / "more.csv", 200, seed=5, noise=0.0)
    newcomer.type("feilun data add more.csv")
    newcomer.type("feilun data use 1")
    newcomer.follow("clean.next_use", more=small, code=None)

    # A version without its rows; answers of another project; a month without an invoice.
    newcomer.type("feilun export reviews@1 made")
    newcomer.type("feilun init other")
    newcomer.project = "other"
    newcomer.type("feilun import made --project other")
    newcomer.type("feilun evaluate other@1", code=_FAILS)
    newcomer.follow("pipeline.no_rows_of_version.hint")
    with Workspace(folder) as workspace:
        said = answered(workspace.project("reviews"), 4)
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("prediction_id", "label"), *said])
    newcomer.type("feilun feedback add reviews.csv", code=None)
    newcomer.follow("feedback.other_project.hint")
    with Workspace(folder) as workspace:
        assert workspace.store.ledger.waiting("reviews") == len(said)
    newcomer.type("feilun customers add Acme")
    (folder / "plan.toml").write_text('name = "flat"\ncurrency = "EUR"\n', "utf-8")
    newcomer.type("feilun plan set plan.toml")
    with Workspace(folder) as workspace:
        [*_, price] = workspace.store.catalog.prices()
    newcomer.type(f"feilun rerate Acme 2025-01 --plan-version {price.id}", code=_FAILS)
    newcomer.follow("billing.not_closed.hint", given={"MONTH": "2025-01"})
