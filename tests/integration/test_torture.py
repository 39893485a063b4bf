"""Servers that are killed under load bill every answer once and lose no feedback. ``make torture``
is the same with more kills."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from torture.judge import Verdict
from torture.run import torture
from torture.servers import Postgres

LONG = int(os.environ.get("KILLS", "60"))


def _exact(verdict: Verdict, kills: int) -> None:
    told = "\n".join(verdict.lines())
    assert not any(verdict.faults.values()), told
    assert verdict.counts["kills"] == kills, told
    # Else nothing was asked of it.
    assert verdict.counts["calls answered"] > 20, told
    assert verdict.counts["calls repeated with their key"] > 0, told
    assert verdict.counts["feedback on record"] > 0, told
    assert verdict.counts["streams heard whole"] > 5, told
    assert verdict.counts["tokens charged"] > 100, told
    assert verdict.counts["kills of engine"] > 0, told
    assert verdict.counts["streams of the real model charged"] > 0, told


def test_a_killed_server_bills_every_answer_once(tmp_path: Path) -> None:
    _exact(torture(tmp_path / "t", 3, patient=False), 3)


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.close()


@pytest.mark.slow
def test_long_on_sqlite(tmp_path: Path) -> None:
    _exact(torture(tmp_path / "t", LONG, seed=2), LONG)


@pytest.mark.slow
def test_long_on_postgres_that_is_killed_too(tmp_path: Path, postgres: Postgres) -> None:
    verdict = torture(tmp_path / "t", LONG, replicas=2, postgres=postgres, seed=3)
    _exact(verdict, LONG)
    assert verdict.counts["kills of postgres"] > 0
