"""Numbers as people write them."""

from __future__ import annotations

import pytest

from feilun.data._numbers import number


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (None, None),
        ("", None),
        (" ", None),
        (5, 5.0),
        ("5", 5.0),
        (" -1.5e3 ", -1500.0),
        ("1.234", 1.234),
        ("0,234", 0.234),
        ("12,5", 12.5),
        ("1.234,5", 1234.5),
        ("1,234.5", 1234.5),
        ("1,234,567", 1234567.0),
        ("1.234.567", 1234567.0),
        ("1.234.567,89", 1234567.89),
        ("1 234,5", 1234.5),
        ("1\u202f234\u00a0567", 1234567.0),
        ("1'234.50", 1234.5),
        ("€ 12,50", 12.5),
        ("12,50 €", 12.5),
        ("$1,234.50", 1234.5),
        ("￥１２．５", 12.5),
        ("12.5元", 12.5),
        ("CHF 1'000.00", 1000.0),
        ("45 %", 0.45),
        ("4,5%", 0.045),
        ("(3)", -3.0),
        ("−7", -7.0),
    ],
)
def test_numbers_are_what_was_meant(written: object, meant: float | None) -> None:
    assert number(written) == (pytest.approx(meant) if meant is not None else None)


@pytest.mark.parametrize(
    "written",
    ["1,234", "-1,234", "one", "1.2.3", "1,23,456.7", "12-3", "1.234,5,6", "%", "€", "--1"],
)
def test_what_is_none_or_could_be_two_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        number(written)
