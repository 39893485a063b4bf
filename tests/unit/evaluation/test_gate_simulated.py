"""The gate on versions whose true difference is known; the long form is a benchmark."""

from __future__ import annotations

import pytest
from benchmarks.evidence.families import SIMILAR, cheaper
from benchmarks.evidence.forgetting import refusals
from benchmarks.evidence.gate import MARGIN, POPULATIONS, promotions, rates, series
from benchmarks.evidence.selection import LABELLED, means

from helpers.few import few


def test_large_losses_stay_out_and_large_gains_go_live() -> None:
    assert rates(300, -0.05, 300).promoted <= 0.02
    assert rates(300, 0.05, 300).promoted >= 0.97


def test_no_more_losses_pass_than_by_a_limit_of_the_risk_and_fewer_on_many_rows() -> None:
    """Three standard errors of 400 draws on top."""
    found = [rates(rows, -MARGIN, 400) for rows in (100, 300, 1000, 3000)]
    assert all(one.promoted <= one.before + 0.06 for one in found)
    assert found[-1].promoted <= 0.08 < found[-1].before
    assert rates(3000, 0.0, 400).promoted == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize(("mean", "spread"), few(POPULATIONS, POPULATIONS[-1]))
def test_promotions_gain(mean: float, spread: float) -> None:
    """With 1,000 rows, also where most candidates are worse than what is live."""
    now, before = promotions(1000, mean, spread, 400)
    assert now.gain > 0
    assert now.of_all >= before.of_all - 0.0005
    assert now.lose <= before.lose + 0.02


def test_what_is_told_is_what_is_gained() -> None:
    """Where the true gains are as the prior holds them: 18.5 points of error, a tenth is 1.85."""
    now, _ = promotions(300, -0.0185 / 4, 0.0185, 2000)
    assert now.told == pytest.approx(now.gain, abs=0.0015)


def test_many_attempts_on_the_same_rows_promote_hardly_more_than_one() -> None:
    """Candidates that truly lose the margin; without the luck taken off, more than half of the
    series end with one of them live."""
    one = series(300, -MARGIN, 1, 150, rule="luck")[0]
    assert series(300, -MARGIN, 10, 150, rule="luck")[0] <= one + 0.12
    assert series(300, -MARGIN, 10, 150, rule="constant")[0] >= one + 0.25


def test_a_promotion_may_begin_the_count_again() -> None:
    """Luck carried the promoted version over the bar; the next must beat that luck."""
    promoted = series(300, -MARGIN, 20, 60, rule="luck", resets=True)[1]
    assert promoted / 20 <= 0.05


@pytest.mark.slow
def test_what_is_only_cheaper_loses_the_margin_in_less_than_one_of_twenty() -> None:
    """Three standard errors of 300 draws on top of 2.5 %."""
    for family, rows in (("share", 300), ("share", 3000), ("nDCG", 100)):
        assert cheaper(family, rows, -MARGIN, 300) <= 0.05
    assert cheaper("share", 3000, 0.0, 100, SIMILAR) >= 0.9


@pytest.mark.parametrize("name", few(LABELLED, *list(LABELLED)[:2]))
def test_the_difference_that_is_measured_is_the_true_one_whatever_was_corrected(name: str) -> None:
    """Three standard errors of 300 draws; by the old rule all but the first are off by more."""
    found = means(name, 0.0, 300)
    assert abs(found["now"][0]) <= 0.003
    assert found["now"][1] >= 0.92
    if not name.startswith("0 %"):
        assert found["before"][0] > found["now"][0] + 0.003
        assert found["left over"][0] < found["now"][0]


def test_few_updates_are_refused_for_what_they_did_not_forget() -> None:
    """True changes of 0 and of -5 margins on 100 earlier rows; three standard errors on top."""
    for family in ("share", "nDCG"):
        now, before = refusals(family, 100, 0.0, 150)
        assert now <= 0.05 + 0.054 < before
    assert refusals("nDCG", 100, -0.05, 50)[0] >= 0.7
