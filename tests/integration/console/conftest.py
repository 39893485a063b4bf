"""A workspace behind a console, which the tests of this folder share, in any order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from helpers.console import Console, console
from helpers.linear import QUICK, answered, linear_project


@pytest.fixture(scope="package")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A workspace with a live version, two customers and answers that can be reviewed."""
    folder = tmp_path_factory.mktemp("shop")
    with linear_project(folder) as project:
        project.run(method="linear", overrides=QUICK)
        answered(project, 12)
        project.workspace.customers.add("Second")
        with console(project.workspace) as served:
            yield served


@pytest.fixture(scope="package")
def names(shop: Console) -> dict[str, str]:
    """What stands for each part of a path."""
    catalog = shop.workspace.store.catalog
    customer = catalog.customers()[0].id
    key = shop.workspace.create_key("Customer")
    return {
        "project": "reviews",
        "version": "reviews@1",
        "data": "reviews:1",
        "number": "1",
        "run": catalog.runs("reviews")[0].id,
        "customer": customer,
        "key": key.id,
        "token": "0",
        "name": "nobody",
        "kind": "plan",
        "call": "call-5-0",
    }
