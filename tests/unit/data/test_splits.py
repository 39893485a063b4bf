"""The division into splits: by lot, the same every time, small labels in every split."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feilun.data.splits import AUTO, Shares, assign, lots


def keys(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1 << 63, n, dtype=np.uint64)


def divide(
    labels: list[int], fixed: list[int] | None = None, shares: Shares | None = None, seed: int = 0
) -> np.ndarray:
    fixed = fixed or [AUTO] * len(labels)
    return assign(
        keys(len(labels), seed),
        np.array(labels, np.int32),
        np.array(fixed, np.int8),
        shares or Shares(0.1, 0.1),
    )


def test_lots_are_even_and_depend_on_the_seed() -> None:
    found = lots(keys(20_000), 0)
    assert 0 <= found.min() < 0.001 < 0.999 < found.max() < 1
    assert abs(found.mean() - 0.5) < 0.01
    assert abs(np.corrcoef(found, lots(keys(20_000), 1))[0, 1]) < 0.05
    assert lots(np.array([7], np.uint64), 3)[0] == lots(np.array([1, 7], np.uint64), 3)[1]


def test_shares_are_met() -> None:
    split = divide([0] * 5000 + [1] * 5000)
    assert np.bincount(split).tolist() == pytest.approx([8000, 1000, 1000], abs=100)


def test_a_row_keeps_its_split_when_others_come() -> None:
    few, many = divide([0] * 100), divide([0] * 1000)
    assert (few == many[:100]).all()


@pytest.mark.parametrize(
    ("rows", "train", "validation", "test"),
    [(1, 1, 0, 0), (4, 4, 0, 0), (5, 3, 1, 1), (20, 16, 2, 2), (49, 39, 5, 5)],
)
def test_small_labels_are_counted_out(rows: int, train: int, validation: int, test: int) -> None:
    labels = [0] * 1000 + [1] * rows
    split = divide(labels)
    assert np.bincount(split[1000:], minlength=3).tolist() == [train, validation, test]


def test_what_is_decided_stays() -> None:
    fixed = [2, 1, 0, AUTO] * 10
    split = divide([0] * 20 + [1] * 20, fixed)
    decided = np.array(fixed) != AUTO
    assert (split[decided] == np.array(fixed)[decided]).all()
    assert (divide([0, 1], [2, 0]) == [2, 0]).all()


def test_no_split_with_a_share_stays_empty() -> None:
    split = divide([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3])
    assert np.bincount(split, minlength=3).tolist() == [10, 1, 1]
    without = divide([0] * 30 + [1] * 30, shares=Shares(0.2, 0.0))
    assert set(without.tolist()) == {0, 1}


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=200),
    st.sampled_from([0.0, 0.1, 0.4]),
    st.sampled_from([0.0, 0.1, 0.4]),
    st.integers(0, 5),
)
def test_every_label_trains(labels: list[int], validation: float, test: float, seed: int) -> None:
    split = divide(labels, shares=Shares(validation, test), seed=seed)
    assert set(split.tolist()) <= {0, 1, 2}
    for label in set(labels):
        mine = split[np.array(labels) == label]
        assert (mine == 0).any()
        if len(mine) >= 5:
            assert not test or (mine == 2).any()
            assert not validation or (mine == 1).any()
    assert (divide(labels, shares=Shares(validation, test), seed=seed) == split).all()
