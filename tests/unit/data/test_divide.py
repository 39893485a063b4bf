"""The division: near-duplicates and groups together, a test split that stays, subjects, times."""

from __future__ import annotations

import csv
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from feilun.config import DataConfig
from feilun.data.near import groups
from feilun.data.sources import ExampleSource, Source
from feilun.data.splits import AUTO, Shares, by_time
from feilun.errors import InvalidData
from feilun.modalities.times import moment
from feilun.store.dataset import Dataset
from feilun.types import Example
from helpers.builds import bad_rows, build_version, images_task
from helpers.twins import CHANGES, change, sentences


def write(file: Path, rows: Sequence[Sequence[object]], *header: str) -> Path:
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header or ("text", "label"))
        writer.writerows(rows)
    return file


def labelled(texts: Sequence[str], seed: int = 0) -> list[tuple[str, str]]:
    draw = random.Random(seed)
    return [(text, draw.choice(["good", "bad"])) for text in texts]


def both(count: int, seed: int = 0) -> list[str]:
    half = count // 2
    return sentences(half, "en", 9, seed) + sentences(count - half, "zh", 8, seed)


def twins(texts: Sequence[str], seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    return [change(text, CHANGES[i % len(CHANGES)], draw) for i, text in enumerate(texts)]


def parts(data: Dataset) -> dict[str, str]:
    return {str(e.item): e.split for e in data.examples()}


def crossing(data: Dataset) -> int:
    """Rows that stand in another split than the first of their near-duplicates."""
    texts, splits = [str(i) for i in data.items()], data.values("split")
    return sum(splits[row] != splits[lead] for row, lead in enumerate(groups(texts).tolist()))


def test_near_duplicates_stand_in_one_split(tmp_path: Path) -> None:
    texts = both(400)
    rows = labelled(texts + twins(texts))
    random.Random(0).shuffle(rows)
    file = write(tmp_path / "a.csv", rows)
    data, report = build_version(tmp_path / "on", file)
    assert len(data) == len(rows) == report.rows
    assert report.near >= 0.95 * 400
    assert report.near_test == 0
    assert crossing(data) == 0
    assert 0.06 < data.size("test") / len(data) < 0.14
    assert data.info["near_duplicates"] is True
    off, report = build_version(tmp_path / "off", file, settings=DataConfig(near_duplicates=False))
    assert (report.near, len(off)) == (0, len(rows))
    assert crossing(off) > 50
    again, _ = build_version(tmp_path / "again", file)
    assert parts(again) == parts(data)
    assert not [f for f in (tmp_path / "on").iterdir() if f.name.startswith(".")]


def test_a_row_without_twins_keeps_the_place_that_its_lot_gives(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", labelled(both(300)))
    on, _ = build_version(tmp_path / "on", file)
    off, _ = build_version(tmp_path / "off", file, settings=DataConfig(near_duplicates=False))
    assert parts(on) == parts(off)


def test_the_test_split_is_frozen_and_what_is_nearly_in_it_never_trains(tmp_path: Path) -> None:
    texts = both(300)
    first, _ = build_version(tmp_path / "v1", write(tmp_path / "a.csv", labelled(texts)))
    splits = parts(first)
    judging = [text for text, split in splits.items() if split == "test"]
    training = [text for text, split in splits.items() if split == "train"][: len(judging)]
    choosing = [text for text, split in splits.items() if split == "validation"]
    more = write(
        tmp_path / "b.csv", labelled([*twins(judging), *twins(training), *twins(choosing)])
    )
    second, report = build_version(tmp_path / "v2", more, previous=first)
    assert report.near_test == len(judging)
    assert "splits.near_test" in [n.code for n in report.warnings]
    assert parts(first).items() <= parts(second).items()
    assert second.size("test") == first.size("test")
    assert second.size("train") == first.size("train") + len(training)
    assert second.size("validation") == first.size("validation") + len(choosing)
    assert report.near == len(training) + len(choosing)
    assert set(report.new_ids) == set(second.row_ids()) - set(first.row_ids())

    feedback = [Example(f"f{i}", text, "good") for i, text in enumerate(twins(judging, seed=5))]
    third, report = build_version(
        tmp_path / "v3", ExampleSource("feedback", feedback), previous=second
    )
    assert (report.near_test, report.new, report.changed) == (len(judging), 0, False)
    assert parts(third) == parts(second)
    # a correction of the very row is no near-duplicate of it: the label changes, the split stays
    right = Example("c", judging[0], "better")
    fourth, report = build_version(
        tmp_path / "v4", ExampleSource("feedback", [right]), previous=second
    )
    assert (report.corrected, report.near_test) == (1, 0)
    assert parts(fourth) == parts(second)


def test_a_test_set_of_the_users_own_stays_as_he_sent_it(tmp_path: Path) -> None:
    texts = both(200)
    train = Source(write(tmp_path / "a.csv", labelled(texts)))
    own = Source(write(tmp_path / "b.csv", labelled(twins(texts[:30]))), split="test")
    data, report = build_version(tmp_path / "v1", train, own)
    assert data.size("test") == 30
    assert {e.source for e in data.examples("test")} == {"b.csv"}
    assert report.near_test == 30
    assert crossing(data) == 0
    # rows that he sends to test join it, whatever is there already
    late = write(tmp_path / "c.csv", labelled(twins(twins(texts[:5]), seed=9)))
    more, report = build_version(tmp_path / "v2", late, previous=data, split="test")
    assert more.size("test") > 30
    assert report.near_test == 0


def test_groups_hold_and_their_near_duplicates_elsewhere_go(tmp_path: Path) -> None:
    texts = both(600)
    rows = [(text, label, f"shop {i // 6}") for i, (text, label) in enumerate(labelled(texts))]
    rows += [(text, "good", f"shop {i}") for i, text in enumerate(twins(texts[300:400]))]
    data, report = build_version(
        tmp_path / "v", write(tmp_path / "a.csv", rows, "text", "label", "group")
    )
    by_group = defaultdict(set)
    for example in data.examples():
        by_group[example.group].add(example.split)
    assert len(by_group) == 100
    assert all(len(splits) == 1 for splits in by_group.values())
    assert report.near_test > 0
    assert len(data) == len(rows) - report.near_test
    assert crossing(data) == 0


def test_subjects_may_divide(tmp_path: Path) -> None:
    texts = both(500)
    rows = [(t, y, f"person {i % 50}") for i, (t, y) in enumerate(labelled(texts))]
    settings = DataConfig(split_by="subject")
    header = ("text", "label", "subject")
    first, _ = build_version(
        tmp_path / "v1", write(tmp_path / "a.csv", rows[:300], *header), settings=settings
    )
    data, _ = build_version(
        tmp_path / "v2", write(tmp_path / "b.csv", rows[300:], *header),
        settings=settings, previous=first,
    )  # fmt: skip
    by_subject = defaultdict(set)
    for example in data.examples():
        by_subject[example.subject].add(example.split)
    assert len(by_subject) == 50
    assert all(len(splits) == 1 for splits in by_subject.values())
    assert {"train", "test"} <= {next(iter(s)) for s in by_subject.values()}
    mixed, _ = build_version(tmp_path / "v3", tmp_path / "a.csv")
    by_subject = defaultdict(set)
    for example in mixed.examples():
        by_subject[example.subject].add(example.split)
    assert any(len(splits) > 1 for splits in by_subject.values())


def test_the_newest_rows_judge(tmp_path: Path) -> None:
    texts = both(200)
    days = random.Random(0).sample(range(200), 200)
    rows = [
        (text, label, f"2026-{1 + day // 28:02}-{1 + day % 28:02}")
        for (text, label), day in zip(labelled(texts), days, strict=True)
    ]
    settings = DataConfig(split_by="time")
    file = write(tmp_path / "a.csv", rows, "text", "label", "日期")
    data, report = build_version(tmp_path / "v", file, settings=settings)
    assert report.sources[0].roles is not None
    assert report.sources[0].roles.time == "日期"
    day_of = dict(zip(texts, days, strict=True))
    found = {part: [day_of[str(i)] for i in data.items(part)] for part in data.counts}
    assert sorted(found["test"]) == list(range(180, 200))
    assert sorted(found["validation"]) == list(range(160, 180))
    assert data.info["split_by"] == "time"
    # what is nearly a newer row is left out of the older ones
    older = [(text, "good", "2020-01-01") for text in twins(data.items("test"))]
    file = write(tmp_path / "b.csv", [*rows, *older], "text", "label", "日期")
    again, report = build_version(tmp_path / "w", file, settings=settings)
    assert report.near_test > 0
    assert crossing(again) == 0


def test_times_that_cannot_be_read_and_files_without_any(tmp_path: Path) -> None:
    rows = [(*row, "2026-01-01") for row in labelled(both(40))]
    rows += [("without a time of its own", "good", ""), ("quite lost in time", "bad", "soon")]
    settings = DataConfig(split_by="time", columns={"time": "when"})
    file = write(tmp_path / "a.csv", rows, "text", "label", "when")
    data, report = build_version(tmp_path / "v", file, settings=settings)
    assert report.bad == 1
    assert bad_rows(tmp_path / "v")[0]["code"] == "splits.bad_time"
    assert parts(data)["without a time of its own"] == "train"
    with pytest.raises(InvalidData) as caught:
        build_version(
            tmp_path / "w", write(tmp_path / "b.csv", labelled(both(40))),
            settings=DataConfig(split_by="time"),
        )  # fmt: skip
    assert caught.value.code == "splits.no_time"
    # times that do not divide are not looked at
    other, report = build_version(
        tmp_path / "x", file, settings=DataConfig(columns={"time": "when"})
    )
    assert (report.bad, len(other)) == (0, 42)


@pytest.mark.parametrize(
    "given",
    ["2026-01-31", "2026/1/31", "2026年1月31日", "20260131", "2026-01-31T00:00:00Z", 1769817600,
     "1769817600", 1769817600000, "2026.01.31 00:00", "2026-01-31 08:00:00+08:00"],
)  # fmt: skip
def test_the_same_moment_in_many_ways(given: str | int) -> None:
    assert moment(given, "t") == 1769817600.0


@pytest.mark.parametrize("given", ["soon", "01/02/2026", "2026-13-01", b"x", "--", float("inf")])
def test_no_moment(given: str | bytes | float) -> None:
    with pytest.raises(InvalidData):
        moment(given, "t")


def test_no_time_is_no_fault() -> None:
    assert [moment(v, "t") for v in (None, "", "  ", float("nan"))] == [None] * 4


def test_by_time() -> None:
    times = np.array([5.0, 1, 4, 2, 3, np.nan, 9, 8, 7, 6])
    fixed = np.full(10, AUTO, np.int8)
    fixed[0] = 2
    split = by_time(times, fixed, Shares(0.25, 0.25))
    assert split.tolist() == [2, 0, 0, 0, 0, 0, 2, 2, 1, 1]
    assert by_time(times, fixed, Shares(0.0, 0.0)).tolist() == [2] + [0] * 9


def test_pictures_are_not_asked(tmp_path: Path) -> None:
    from PIL import Image

    draw = random.Random(0)
    for i in range(20):
        folder = tmp_path / "p" / ("cat" if i % 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        colour = tuple(draw.randrange(256) for _ in range(3))
        Image.new("RGB", (8, 8), colour).save(folder / f"{i}.png")
    _, report = build_version(tmp_path / "v", tmp_path / "p", task=images_task())
    assert (report.near, report.near_test) == (0, 0)
