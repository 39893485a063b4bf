"""The order of batches: whole, within the budget, like in cost, and the same every time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feilun.families.classes.objective import CrossEntropy
from feilun.tasks.base import Arrays, Encoded
from feilun.training import batches
from feilun.training.batches import EncodedRows, Labelled, order, order_once
from feilun.training.rows import Rows
from feilun.types import Item

COSTS = st.lists(st.integers(1, 300), min_size=1, max_size=400)


@given(COSTS, st.integers(1, 4), st.integers(1, 70), st.integers(1, 2000))
def test_every_epoch_meets_every_row_once_within_the_budget(
    costs: list[int], epochs: int, rows: int, budget: int
) -> None:
    found = order(np.array(costs), epochs, rows, budget, seed=3)
    assert len(found.ends) == epochs
    start = 0
    for end in found.ends:
        places = [place for batch in found.batches[start:end] for place in batch]
        assert sorted(places) == list(range(len(costs)))
        start = end
    assert start == len(found.batches)
    for batch in found.batches:
        assert len(batch) <= rows
        assert len(batch) == 1 or max(costs[p] for p in batch) * len(batch) <= budget


def test_the_seed_decides_and_epochs_differ() -> None:
    costs = np.random.default_rng(0).integers(5, 200, 500)
    first, again = (order(costs, 2, 32, 4096, seed=1) for _ in range(2))
    assert first == again
    assert first != order(costs, 2, 32, 4096, seed=2)
    one, two = first.batches[: first.ends[0]], first.batches[first.ends[0] :]
    assert one != two


def test_there_is_nearly_no_padding_and_hardly_a_small_batch() -> None:
    costs = np.random.default_rng(0).lognormal(4, 0.8, 3000).astype(int).clip(5, 256)
    found = order(costs, 1, 64, 8192, seed=0)
    padded = sum(max(costs[batch]) * len(batch) for batch in found.batches)
    assert padded < 1.08 * costs.sum()
    small = [batch for batch in found.batches if len(batch) < 16]
    assert len(small) <= 1


def test_evaluation_meets_every_row_once() -> None:
    costs = np.random.default_rng(0).integers(5, 200, 300)
    found = order_once(costs, 32, 2048)
    assert sorted(place for batch in found for place in batch) == list(range(300))


class _Processor:
    """Items are numbers; each becomes a kilobyte."""

    def __init__(self, cost: int | None) -> None:
        self.cost = cost
        self.encoded = 0

    def encode(self, items: Sequence[Item]) -> list[Encoded]:
        self.encoded += len(items)
        return [
            Encoded({"x": np.full(256, item, np.int32)}, self.cost or 1 + int(str(item)) % 7)
            for item in items
        ]

    def collate(self, batch: Sequence[Encoded]) -> Arrays:
        return {"x": np.stack([item.arrays["x"] for item in batch])}


@pytest.mark.parametrize("cost", [64, None])
def test_large_rows_are_encoded_again_instead_of_held(
    monkeypatch: pytest.MonkeyPatch, cost: int | None
) -> None:
    monkeypatch.setattr(batches, "_HELD_BYTES", 300 * 1024)
    processor = _Processor(cost)
    found = Rows(list(range(2000)), np.zeros(2000, np.int64))
    rows = EncodedRows(found, Labelled(processor, CrossEntropy(None, 0.0)))  # type: ignore[arg-type]
    assert len(rows.costs) == 2000
    # Equal costs need no second look at the others; unequal ones must be counted.
    assert processor.encoded == (512 if cost else 2000)
    before = processor.encoded
    assert [rows[place][0].arrays["x"][0] for place in (3, 255)] == [3, 255]
    assert processor.encoded == before
    assert rows[1999][0].arrays["x"][0] == 1999
    assert processor.encoded == before + 1
