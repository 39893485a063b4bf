"""How many rows are asked again with changes."""

from __future__ import annotations

import pytest

from feilun.pipeline.steps._robust import rows_for


@pytest.mark.parametrize(
    ("rate", "costly", "rows"),
    [
        (None, False, 300),  # nobody has measured how fast it is
        (500.0, False, 300),
        (100.0, False, 250),  # a minute, each row 24 times
        (9.0, False, 22),
        (0.5, False, 20),
        (500.0, True, 20),
    ],
)
def test_a_slow_variant_is_asked_for_fewer_rows(
    rate: float | None, costly: bool, rows: int
) -> None:
    assert rows_for(300, 24, rate, costly) == rows


def test_never_more_rows_than_wanted() -> None:
    assert rows_for(12, 24, 9.0, costly=False) == 12
