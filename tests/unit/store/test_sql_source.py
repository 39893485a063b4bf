"""Rows of other people's databases."""

from __future__ import annotations

import datetime as dt
import sqlite3
import tracemalloc
from contextlib import closing
from pathlib import Path

import pytest

from feilun.errors import InvalidData
from feilun.store.sql_source import list_tables, stream_query


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE reviews (id INTEGER, review TEXT, score TEXT, photo BLOB)")
        connection.execute("CREATE VIEW good AS SELECT * FROM reviews WHERE score = 'great'")
        connection.executemany(
            "INSERT INTO reviews VALUES (?, ?, ?, ?)",
            [(n, f"茶 {n}% good", "great" if n % 2 else None, b"\x00") for n in range(2500)],
        )
        connection.commit()
    return path


def test_rows_stream(shop: Path) -> None:
    url = f"sqlite:///{shop}"
    columns, rows = stream_query(url, "SELECT * FROM reviews ORDER BY id", chunk=100)
    assert columns == ["id", "review", "score", "photo"]
    assert next(rows) == (0, "茶 0% good", None, b"\x00")
    assert sum(1 for _ in rows) == 2499
    assert list_tables(url) == ["good", "reviews"]


def test_reading_may_end_early(shop: Path) -> None:
    _, rows = stream_query(f"sqlite:///{shop}", "SELECT id FROM reviews")
    assert next(rows) == (0,)
    rows.close()


def test_the_query_is_sent_as_it_is(shop: Path) -> None:
    query = "SELECT review, '12:30', ':name' FROM reviews WHERE review LIKE '%7% good' LIMIT 1"
    _, rows = stream_query(f"sqlite:///{shop}", query)
    assert list(rows) == [("茶 7% good", "12:30", ":name")]


@pytest.mark.slow
def test_memory_is_flat(shop: Path) -> None:
    query = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)"
        " SELECT i, printf('%.500c', 'x') FROM n"
    )
    _, rows = stream_query(f"sqlite:///{shop}", query, chunk=500)
    next(rows)
    tracemalloc.start()
    count = sum(1 for _ in rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 59_999
    assert peak < 4 << 20


@pytest.mark.parametrize(
    "query", ["SELECT nothing FROM reviews", "SELEC", "DELETE FROM reviews", "SELECT 1; SELECT 2"]
)
def test_queries_that_fail(shop: Path, query: str) -> None:
    with pytest.raises(InvalidData, match=r"failed|gives no rows"):
        stream_query(f"sqlite:///{shop}", query)
    with closing(sqlite3.connect(shop)) as connection:
        assert connection.execute("SELECT count(*) FROM reviews").fetchone() == (2500,)


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="no SQLite database"):
        list_tables(f"sqlite:///{tmp_path}/typo.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:sesame@127.0.0.1:1/shop",
        "postgresql://127.0.0.1:1/shop?user=me&password=sesame",
        "mysql+nothing://me:sesame@host/shop",
        "oracle://me:sesame@host/shop",
        "sesame",
    ],
)
def test_what_is_said_shows_no_password(url: str) -> None:
    with pytest.raises(InvalidData, match="failed") as caught:
        stream_query(url, "SELECT 1")
    assert "sesame" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_rows_of_postgresql(postgres_url: str) -> None:
    query = """
        SELECT i, i::numeric / 4 AS quarter, 'x%'::text, '2026-01-02 03:04:05+00'::timestamptz
            AS at, '2026-01-02'::date, NULL, true, decode('00ff', 'hex'), ARRAY[1, 2],
            '{"a": 1}'::json, gen_random_uuid() IS NULL, i::numeric(10, 0)
        FROM generate_series(1, 2000) AS i
    """
    columns, rows = stream_query(postgres_url, query, chunk=100)
    assert columns[:4] == ["i", "quarter", "text", "at"]
    first = next(rows)
    assert first[:3] == (1, 0.25, "x%")
    assert dt.datetime.fromisoformat(str(first[3])) == dt.datetime(
        2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC
    )
    assert first[4:9] == ("2026-01-02", None, True, b"\x00\xff", "[1, 2]")
    assert first[10:] == (False, 1)
    assert isinstance(first[11], int)
    assert sum(1 for _ in rows) == 1999


def test_postgresql_is_only_read(postgres_url: str) -> None:
    for query in ("CREATE TABLE mine (i int)", "SELECT lo_create(0)"):
        with pytest.raises(InvalidData, match=r"syntax error|read-only"):
            stream_query(postgres_url, query)[1].close()
    assert list_tables(postgres_url) == []
    _, rows = stream_query(postgres_url, "SELECT 1 / (5 - i) FROM generate_series(1, 9) AS i", 2)
    with pytest.raises(InvalidData, match="division by zero"):
        list(rows)
