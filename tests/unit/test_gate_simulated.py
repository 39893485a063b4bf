"""The gate on versions whose true difference is known; the long form is a benchmark."""

from __future__ import annotations

import pytest
from benchmarks.evidence.gate import MARGIN, rates, series
from benchmarks.evidence.selection import LABELLED, means

from feilun.evaluation.consultations import RISK


@pytest.mark.parametrize("rows", [100, 300, 1000])
def test_a_loss_of_the_margin_passes_as_often_as_stated(rows: int) -> None:
    """Three standard errors of 400 draws on top of the limit."""
    assert rates(rows, -MARGIN, 400).hold <= RISK + 0.06


def test_large_losses_stay_out_and_large_gains_go_live() -> None:
    assert rates(300, -0.05, 300).hold <= 0.02
    assert rates(300, -0.05, 300).promote <= 0.08
    assert rates(300, 0.05, 300).hold >= 0.97


def test_an_equal_version_passes_when_the_rows_can_tell() -> None:
    few, many = rates(100, 0.0, 300), rates(3000, 0.0, 300)
    assert many.hold >= 0.7
    assert few.unsure > many.unsure
    assert few.promote - few.hold == pytest.approx(few.unsure)


def test_many_attempts_on_the_same_rows_promote_no_more_than_stated() -> None:
    """Any of ten candidates that truly lose the margin; at a constant limit six of ten series end
    with one of them live."""
    assert series(300, -MARGIN, 10, 150, rule="k2")[0] <= 0.33
    assert series(300, -MARGIN, 10, 150, rule="constant")[0] >= 0.45


def test_a_promotion_may_begin_the_count_again() -> None:
    """Luck carried the promoted version over the bar; the next must beat that luck."""
    promotions = series(300, -MARGIN, 20, 60, rule="k2", resets=True)[1]
    assert promotions / 20 <= RISK / 4


@pytest.mark.parametrize("name", LABELLED)
def test_the_difference_that_is_measured_is_the_true_one_whatever_was_corrected(name: str) -> None:
    """Three standard errors of 300 draws; by the old rule all but the first are off by more."""
    found = means(name, 0.0, 300)
    assert abs(found["now"][0]) <= 0.003
    assert found["now"][1] >= 0.92
    if not name.startswith("0 %"):
        assert found["before"][0] > found["now"][0] + 0.003
        assert found["left over"][0] < found["now"][0]
