"""The store on both databases: what takes `any_store` runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from feilun.store import Store, open_store


@pytest.fixture(params=["sqlite", "postgres"])
def any_database(request: pytest.FixtureRequest) -> str | None:
    """None for SQLite files, else the URL of a PostgreSQL database with tables and no rows."""
    if request.param == "sqlite":
        return None
    url: str = request.getfixturevalue("migrated_url")
    return url


@pytest.fixture(params=["sqlite", "postgres"])
def any_empty_database(request: pytest.FixtureRequest) -> str | None:
    """As `any_database`, without tables."""
    if request.param == "sqlite":
        return None
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def open_any(workspace_dir: Path, any_database: str | None) -> Iterator[Callable[[], Store]]:
    """Opens the test's workspace, as often as wanted."""
    opened: list[Store] = []

    def open_one() -> Store:
        opened.append(open_store(workspace_dir, any_database))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def any_store(open_any: Callable[[], Store]) -> Store:
    """An empty store."""
    return open_any()


@pytest.fixture
def lite(workspace_dir: Path) -> Iterator[Store]:
    """An empty store on SQLite, for what has nothing to do with the database."""
    with open_store(workspace_dir) as store:
        yield store
