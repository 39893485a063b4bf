"""What tells two data versions apart, row by row, against what a dictionary of all rows says."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from feilun.data.splits import SPLITS
from feilun.project.data_diff import SplitDiff, _compared
from feilun.store.dataset import DatasetWriter
from feilun.types import Example, Schema

_COLUMNS = {"text": "text", "price": "number"}


def _write(folder: Path, rows: list[Example], columns: dict[str, str]) -> str:
    with DatasetWriter(folder, columns) as writer:
        for row in rows:
            writer.add(row)
        writer.close(Schema("tabular-classification", ("a", "b")))
    return str(folder)


def _drawn(draw: random.Random, ids: range) -> list[Example]:
    rows = [
        Example(
            f"row-{number}",
            {
                "text": draw.choice([f"text {number}", "rewritten", None]),
                "price": draw.choice([1.5, 2.0, None]),
            },
            draw.choice(["a", "b", None]),
            draw.choice(SPLITS),
        )
        for number in ids
    ]
    draw.shuffle(rows)
    return rows


def _naively(new: list[Example], old: list[Example]) -> dict[str, SplitDiff]:
    after, before = ({row.row_id: row for row in rows} for rows in (new, old))
    both = [(after[one], before[one]) for one in after if one in before]

    def count(split: str) -> SplitDiff:
        pairs = [(a, b) for a, b in both if a.split == split]
        return SplitDiff(
            before=sum(row.split == split for row in old),
            came=sum(row.split == split for one, row in after.items() if one not in before),
            left=sum(row.split == split for one, row in before.items() if one not in after),
            moved_in=sum(a.split != b.split for a, b in pairs),
            moved_out=sum(b.split == split != a.split for a, b in both),
            relabelled=sum(a.label != b.label for a, b in pairs),
            mended=sum(a.item != b.item for a, b in pairs),
            after=sum(row.split == split for row in new),
        )

    return {split: count(split) for split in SPLITS}


@pytest.mark.parametrize("seed", range(3))
def test_rows_are_told_apart_one_by_one(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    old, new = _drawn(draw, range(300)), _drawn(draw, range(100, 350))
    folders = [_write(tmp_path / n, rows, _COLUMNS) for n, rows in (("new", new), ("old", old))]
    found = _compared(*folders)
    assert found == _naively(new, old)
    assert all(min(one.came, one.left, one.relabelled, one.mended) > 0 for one in found.values())


def test_the_first_version_came_whole(tmp_path: Path) -> None:
    rows = _drawn(random.Random(4), range(50))
    found = _compared(_write(tmp_path / "one", rows, _COLUMNS), None)
    assert found == _naively(rows, [])
