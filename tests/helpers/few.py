"""Parameters of which `make test` takes a few."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def few(values: Iterable[Any], *quick: Any) -> list[Any]:
    """All of `values`; those that are not among `quick` are slow. A tuple is one set of several."""
    marks = pytest.mark.slow
    return [
        one
        if one in quick
        else pytest.param(*(one if isinstance(one, tuple) else (one,)), marks=marks)
        for one in values
    ]
