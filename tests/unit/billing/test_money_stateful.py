"""Whatever customers, keys, plans, prices, calls, retries, holds, credits, top-ups, calls that are
paid for beforehand, persons that are erased and closings come in whatever order: events, roll-ups,
volumes, quotas, balances and invoices agree with a model in plain Python to the last micro-unit
after every step (`helpers.money_machine`), and the chains verify."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    run_state_machine_as_test,
)

from feilun.store import open_store
from helpers.money_machine import Money


def _run(machine: Callable[[], Money], examples: int, steps: int) -> None:
    before = Money.done.copy()
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        ),
    )
    if examples * steps >= 1000:  # else chance may leave it out
        for what in ("answered", "refused", "erased"):
            assert Money.done[what] > before[what], what


def _on_sqlite(folder: Path) -> Callable[[], Money]:
    """Each example on a copy of an empty workspace."""
    template = folder / "template"
    open_store(template).close()
    numbers = itertools.count()

    def machine() -> Money:
        copy = folder / f"example-{next(numbers)}"
        shutil.copytree(template, copy)
        return Money(lambda: open_store(copy))

    return machine


def test_money_on_sqlite(tmp_path: Path) -> None:
    _run(_on_sqlite(tmp_path), 6, 25)


@pytest.mark.slow
def test_money_on_sqlite_for_longer(tmp_path: Path) -> None:
    _run(_on_sqlite(tmp_path), 100, 50)


@pytest.mark.slow
def test_money_on_postgres(tmp_path: Path, postgres_server: Any) -> None:
    """Each example on a copy of an empty database."""
    numbers = itertools.count()

    def sql(statement: str) -> None:
        with psycopg.connect(postgres_server.get_uri(), autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[arg-type]

    template = f"money_{uuid4().hex}"
    sql(f"CREATE DATABASE {template}")
    open_store(tmp_path, postgres_server.get_uri(database=template)).close()

    def machine() -> Money:
        name = f"{template}_{next(numbers)}"
        sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        url = postgres_server.get_uri(database=name)
        return Money(lambda: open_store(tmp_path, url))

    _run(machine, 40, 40)
