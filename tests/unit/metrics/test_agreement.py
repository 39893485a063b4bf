"""Agreement against examples of the literature."""

from __future__ import annotations

import pytest

from feilun.metrics.agreement import cohen_kappa, krippendorff_alpha

# Three people, 15 rows (Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011).
_SAID = (
    "* * * * * 3 4 1 2 1 1 3 3 * 3",
    "1 * 2 1 3 3 4 3 * * * * * * *",
    "* * 2 1 3 4 4 * 2 1 1 3 3 * 4",
)
UNITS = [
    [value for value in unit if value != "*"]
    for unit in zip(*(line.split() for line in _SAID), strict=True)
]


def test_the_textbooks_alpha() -> None:
    found = krippendorff_alpha(UNITS)
    assert found is not None
    alpha, low, high = found
    assert alpha == pytest.approx(0.691, abs=5e-4)
    assert low < alpha < high <= 1
    assert found == krippendorff_alpha(UNITS)  # the same draws every time


def test_ends_of_the_scale() -> None:
    assert krippendorff_alpha([["a", "a"], ["b", "b"], ["a", "a"]]) == (1, 1, 1)
    apart = krippendorff_alpha([["a", "b"]] * 20)
    assert apart is not None
    assert apart[0] < 0
    for nothing in ([], [["a"], ["b"]], [["a", "a"], ["a", "a"]]):
        assert krippendorff_alpha(nothing) is None


def test_kappa() -> None:
    # 20 times both yes, 15 times both no, 5 and 10 times apart: 0.4.
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    first, second = zip(*pairs, strict=True)
    assert cohen_kappa(first, second) == pytest.approx(0.4)
    assert cohen_kappa([], []) is None
    assert cohen_kappa(["a"], ["a"]) is None
