"""Golden requests: what they hold, and when two sets of answers count as the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from feilun.families.classes import CLASSES
from feilun.serving.golden import compare, golden_items
from feilun.store.dataset import Dataset, DatasetWriter
from feilun.tasks import base as tasks
from feilun.types import Example, Item, Output, Schema


def dataset(folder: Path, items: list[Item], task: str = "text-classification") -> Dataset:
    kinds = {column.name: column.kind for column in tasks.get(task).columns}
    with DatasetWriter(folder, kinds) as writer:
        for number, item in enumerate(items):
            split = "test" if number % 10 == 9 else "train"
            writer.add(Example(str(number), item, "ab"[number % 2], split))  # type: ignore[arg-type]
        writer.close(Schema(task, ("a", "b")), {})
    return Dataset(folder)


def texts(count: int) -> list[Item]:
    return [f"row {n} " + "word " * (n % 50) for n in range(count)]


def test_there_are_at_least_as_many_as_wanted_and_they_are_repeatable(tmp_path: Path) -> None:
    data = dataset(tmp_path, texts(1000))
    items = golden_items(data, 250, seed=1)
    assert len(items) >= 250
    assert items == golden_items(data, 250, seed=1)
    assert items != golden_items(data, 250, seed=2)


def test_they_hold_nothing_the_longest_and_chinese(tmp_path: Path) -> None:
    long = "the longest row of all " * 900
    items = golden_items(dataset(tmp_path, [*texts(300), long, "这是数据里的中文"]))
    assert {"", long, "这是数据里的中文"} <= set(items)
    assert any(isinstance(item, str) and item.strip() == "" and item for item in items)
    assert sum(1 for item in items if any("\u4e00" <= char <= "\u9fff" for char in str(item))) >= 4


def test_the_test_split_is_never_used(tmp_path: Path) -> None:
    rows = texts(100)
    rows[9] = "only in the test split, and by far the longest of them " * 50
    assert rows[9] not in golden_items(dataset(tmp_path, rows), 500)


def test_few_rows_repeat(tmp_path: Path) -> None:
    items = golden_items(dataset(tmp_path, texts(3)), 200)
    assert len(items) == 200
    assert items.count("row 1 word ") > 1


def test_pictures_have_extremes_too(tmp_path: Path) -> None:
    task = tasks.get("image-classification")
    pictures: list[Item] = task.example_items() * 3
    items = golden_items(dataset(tmp_path, pictures, "image-classification"), 200)
    assert len(items) == 200
    assert len(set(items)) > len(set(pictures)) + 3
    assert all(task.check(item) == item for item in items)


def outputs(*scores: float) -> list[Output]:
    return [
        {
            "label": "a" if score >= 0.5 else "b",
            "score": max(score, 1 - score),
            "scores": {"a": score, "b": 1 - score},
        }
        for score in scores
    ]


def test_equal_answers_pass() -> None:
    result = compare(CLASSES, outputs(0.1, 0.9), outputs(0.1, 0.9))
    assert result.passed
    assert (result.total, result.labels_equal, result.worst_difference) == (2, 2, 0)
    assert result.failures == ()


def test_small_differences_pass() -> None:
    assert compare(CLASSES, outputs(0.8), outputs(0.771)).passed


def test_one_flipped_label_fails_however_near() -> None:
    result = compare(CLASSES, outputs(0.501, 0.9), outputs(0.499, 0.9))
    assert not result.passed
    assert (result.labels_equal, result.failures[0].index) == (1, 0)
    assert result.worst_difference == pytest.approx(0.002)


def test_a_large_difference_fails_with_the_same_label() -> None:
    result = compare(CLASSES, outputs(0.9, 0.9), outputs(0.9, 0.86))
    assert not result.passed
    assert result.labels_equal == 2
    assert result.failures[0].difference == pytest.approx(0.04)


def test_missing_answers_and_none_at_all_fail() -> None:
    assert not compare(CLASSES, outputs(0.9, 0.9), outputs(0.9)).passed
    assert not compare(CLASSES, [], []).passed


def test_answers_without_every_score_are_compared_by_their_own() -> None:
    left: list[Output] = [{"label": "a", "score": 0.9}]
    assert compare(CLASSES, left, [{"label": "a", "score": 0.88}]).passed
    assert not compare(CLASSES, left, [{"label": "a", "score": 0.8}]).passed
    assert compare(CLASSES, left, outputs(0.9)).passed


def test_only_the_first_failures_are_kept() -> None:
    result = compare(CLASSES, outputs(*[0.9] * 50), outputs(*[0.1] * 50))
    assert len(result.failures) == 20
    assert result.labels_equal == 0


def test_one_of_twenty_may_differ_where_that_is_allowed() -> None:
    same, other = outputs(*[0.9] * 20), outputs(*[0.9] * 19, 0.1)
    assert not compare(CLASSES, same, other).passed
    found = compare(CLASSES, same, other, least=0.95)
    assert found.passed
    assert [one.index for one in found.failures] == [19]  # and is listed
    assert not compare(CLASSES, same, outputs(*[0.9] * 18, 0.1, 0.1), least=0.95).passed
    assert not compare(CLASSES, same, same[:19], least=0.9).passed
