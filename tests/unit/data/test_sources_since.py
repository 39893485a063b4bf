"""A table by SQL, only what is new: nothing is lost, nothing comes twice, nothing is guessed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from feilun.cli.app import run
from feilun.errors import Conflict, FeilunError, InvalidData, UsageError
from feilun.project import Project, Workspace
from helpers.rows import reviews

QUERY = "SELECT id, review, score FROM reviews WHERE review NOT LIKE '%:spam%' -- all the rest"
Execute = Callable[[str, list[tuple[Any, ...]]], None]
TABLE = "CREATE TABLE reviews (id {id}, added {added}, review TEXT, score TEXT)"


def _rows(first: int, last: int, added: str = "2026-11-22 10:00:00") -> list[tuple[Any, ...]]:
    return [(n, added, *row) for n, row in enumerate(reviews(last))][first:]


class Shop:
    """Somebody's database, in one of two kinds."""

    def __init__(self, url: str, file: Path | None) -> None:
        self.url = url
        self.file = file

    def run(self, statement: str, rows: list[tuple[Any, ...]] | None = None) -> None:
        if self.file is not None:
            with closing(sqlite3.connect(self.file)) as connection, connection:
                connection.executemany(statement, [()] if rows is None else rows)
            return
        import psycopg

        with psycopg.connect(self.url) as connection:
            connection.cursor().executemany(
                statement.replace("?", "%s"), [()] if rows is None else rows
            )

    def insert(self, rows: list[tuple[Any, ...]]) -> None:
        self.run("INSERT INTO reviews VALUES (?, ?, ?, ?)", rows)


@pytest.fixture(params=["sqlite", "postgresql"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    if request.param == "sqlite":
        made = Shop(f"sqlite:///{tmp_path / 'shop.db'}", tmp_path / "shop.db")
        made.run(TABLE.format(id="INTEGER", added="TEXT"))
    else:
        made = Shop(request.getfixturevalue("postgres_url"), None)
        made.run(TABLE.format(id="BIGINT", added="TIMESTAMP"))
    made.insert(_rows(0, 60))
    return made


@pytest.fixture
def project(workspace_dir: Path) -> Iterator[Project]:
    with Workspace(workspace_dir) as workspace:
        yield workspace.init("reviews")


def _refused(call: Callable[[], Any], kind: type[FeilunError], code: str) -> str:
    with pytest.raises(kind) as caught:
        call()
    assert caught.value.code == f"sources.{code}"
    return str(caught.value)


def test_only_new_rows_are_read(project: Project, shop: Shop) -> None:
    first = project.add(shop.url, query=QUERY, since="id")
    assert (first.report["read"], first.report["new"]) == (60, 60)
    shop.insert(_rows(60, 80))
    second = project.add(shop.url, query=QUERY, since="id")
    assert (second.report["read"], second.report["new"]) == (21, 20)  # and the row at the mark
    third = project.add(shop.url, query=QUERY, since="id")
    assert third.unchanged
    assert third.report["read"] == 1
    assert third.report["rows"] == 80


def test_rows_that_share_the_mark_are_not_lost(project: Project, shop: Shop) -> None:
    query = "SELECT added, review, score FROM reviews ORDER BY review;"
    project.add(shop.url, query=query, since="added")
    shop.insert(_rows(60, 70))  # the same second
    shop.insert(_rows(70, 75, "2026-11-22 10:00:01"))
    shop.insert(_rows(75, 80, "2026-11-22 09:59:59"))  # older than the mark: too late
    second = project.add(shop.url, query=query, since="added")
    assert second.report["new"] == 15
    assert project.add(shop.url, query=query, since="added").report["read"] == 5


def test_three_new_rows_are_read_as_the_first_ones_were(project: Project, shop: Shop) -> None:
    project.add(shop.url, query=QUERY, since="id")
    shop.insert([(90, "2026-11-22 11:00:00", "great", "bad")])
    added = project.add(shop.url, query=QUERY, since="id")
    assert added.report["sources"][0]["roles"]["inputs"] == {"text": "review"}
    assert added.report["new"] == 1


def test_the_mark_stays_where_no_version_stands(project: Project, shop: Shop) -> None:
    shop.run("UPDATE reviews SET score = 'great'")
    with pytest.raises(InvalidData):
        project.add(shop.url, query=QUERY, since="id")
    shop.run("UPDATE reviews SET score = 'bad' WHERE id < 30")
    assert project.add(shop.url, query=QUERY, since="id").report["new"] == 60


def test_a_mark_whose_row_is_gone(project: Project, shop: Shop) -> None:
    project.add(shop.url, query=QUERY, since="id")
    shop.run("DELETE FROM reviews WHERE id = 59")
    assert project.add(shop.url, query=QUERY, since="id").unchanged
    shop.insert(_rows(60, 61))
    assert project.add(shop.url, query=QUERY, since="id").report["new"] == 1


def test_a_row_without_a_value_is_refused(project: Project, shop: Shop) -> None:
    project.add(shop.url, query=QUERY, since="id")
    shop.insert([(None, "2026-11-22 11:00:00", "lovely tea", "great")])
    words = _refused(
        lambda: project.add(shop.url, query=QUERY, since="id"), InvalidData, "since_empty"
    )
    assert "'id'" in words
    assert len(project.workspace.store.catalog.data_versions("reviews")) == 1


@pytest.mark.parametrize("column", ["review", "rate"])
def test_a_column_without_an_order_in_time_is_refused(
    project: Project, shop: Shop, column: str
) -> None:
    query = "SELECT review, score, CAST(id AS REAL) AS rate FROM reviews"
    _refused(lambda: project.add(shop.url, query=query, since=column), InvalidData, "since_kind")
    assert project.workspace.store.catalog.latest_data("reviews") is None


def test_texts_of_two_forms_are_refused(project: Project, tmp_path: Path) -> None:
    shop = Shop(f"sqlite:///{tmp_path / 'a.db'}", tmp_path / "a.db")
    shop.run(TABLE.format(id="INTEGER", added="TEXT"))
    shop.insert(_rows(0, 30))
    query = "SELECT added, review, score FROM reviews"
    project.add(shop.url, query=query, since="added")
    shop.insert(_rows(30, 40, "2026-11-23T10:00:00"))
    words = _refused(
        lambda: project.add(shop.url, query=query, since="added"), InvalidData, "since_mixed"
    )
    assert "2026-11-22 10:00:00" in words


def test_another_query_is_refused_until_it_is_meant(project: Project, shop: Shop) -> None:
    project.add(shop.url, query=QUERY, since="id")
    other = "SELECT id, review, score FROM reviews WHERE id >= 0"
    words = _refused(
        lambda: project.add(shop.url, query=other, since="id"), Conflict, "since_changed"
    )
    assert "id = 59" in words
    assert "postgres:" not in words
    beside = project.add(shop.url, query=other, since="id", mark="second")
    assert beside.unchanged
    assert beside.report["read"] == 60
    again = project.add(shop.url, query=other, since="id", restart=True)
    assert again.report["read"] == 60
    assert project.add(shop.url, query=other, since="id").report["read"] == 1


def test_what_cannot_be_asked(project: Project, shop: Shop) -> None:
    _refused(lambda: project.add(shop.url, query=QUERY, since="nr"), UsageError, "since_no_column")
    _refused(lambda: project.add("a.csv", since="id"), UsageError, "since_needs_query")
    _refused(lambda: project.add(shop.url, query=QUERY, mark="a"), UsageError, "since_needed")
    both = (shop.url, shop.url)
    _refused(lambda: project.add(*both, query=QUERY, since="id"), UsageError, "since_needs_query")


def test_the_command(project: Project, shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data", "add", shop.url, "--query", QUERY, "--since", "id", "--json"]
    words += ["--workspace", str(project.workspace.folder)]
    assert run(words) == 0
    assert json.loads(capsys.readouterr().out)["report"]["read"] == 60
    assert run(words) == 0
    assert json.loads(capsys.readouterr().out)["unchanged"] is True
    assert run([*words, "--restart"]) == 0
    assert json.loads(capsys.readouterr().out)["report"]["read"] == 60
