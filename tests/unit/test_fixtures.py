"""The PostgreSQL that the storage tests run on is a real one, and no test sees another's rows."""

from __future__ import annotations

import psycopg
import pytest


@pytest.mark.parametrize("turn", ["first", "second"])
def test_each_test_gets_an_empty_database(postgres_url: str, turn: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE only_here (turn text)")
        connection.execute("INSERT INTO only_here VALUES (%s)", [turn])
        rows = connection.execute("SELECT turn FROM only_here").fetchall()
        version = connection.info.server_version
    assert rows == [(turn,)]
    assert version >= 160000
