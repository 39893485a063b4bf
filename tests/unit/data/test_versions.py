"""Data versions: one row a content, splits that stay, corrections, labels that wait."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from feilun.config import DataConfig
from feilun.data.reading import content_keys
from feilun.data.sources import ExampleSource, Source
from feilun.data.versions import WAITING
from feilun.errors import InvalidData
from feilun.store.dataset import Dataset
from feilun.types import Example, Progress
from helpers.builds import bad_rows, build_version, texts_task
from helpers.rows import reviews


def write(file: Path, rows: Sequence[Sequence[object]], *header: str) -> Path:
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header or ("text", "label"))
        writer.writerows(rows)
    return file


def fingerprint(folder: Path) -> dict[str, str]:
    return {
        str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest()
        for f in folder.rglob("*")
        if f.is_file()
    }


def splits_of(data: Dataset) -> dict[str, str]:
    return {str(e.item): e.split for e in data.examples()}


def labels_of(data: Dataset) -> dict[str, str | None]:
    return {str(e.item): e.label for e in data.examples()}


def test_a_file_becomes_a_data_version(tmp_path: Path) -> None:
    file = write(tmp_path / "reviews.csv", reviews(300))
    signs: list[Progress] = []
    data, report = build_version(
        tmp_path / "v1", file, report=signs.append, task_settings={"max_length": 64}
    )
    assert len(data) == report.rows == report.new == report.read == 300
    assert data.schema.labels == report.labels == ("bad", "great")
    assert data.schema.settings == {"max_length": 64}
    assert [e.item for e in data.examples()] == [text for text, _ in reviews(300)]
    assert {e.source for e in data.examples()} == {"reviews.csv"}
    assert len(set(data.row_ids())) == 300
    assert report.counts == data.counts
    assert 15 <= data.size("test") <= 45
    assert report.bad_rows is None
    assert report.sources[0].details["encoding"] == "utf-8"
    assert report.sources[0].roles is not None
    assert report.sources[0].roles.label == "label"
    assert report.changed
    assert not report.warnings
    assert (signs[-1].step, signs[-1].done) == ("write", 300)
    assert {s.step for s in signs} == {"read", "near", "write"}
    assert not (tmp_path / "v1" / ".spill").exists()
    assert report.to_json()["counts"] == data.counts


def test_equal_files_give_equal_bytes(tmp_path: Path) -> None:
    file = write(tmp_path / "reviews.csv", reviews(200))
    build_version(tmp_path / "a", file)
    build_version(tmp_path / "b", file)
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")
    build_version(tmp_path / "c", file, settings=DataConfig(seed=1))
    assert fingerprint(tmp_path / "a") != fingerprint(tmp_path / "c")


def test_equal_contents_are_one_row(tmp_path: Path) -> None:
    rows = reviews(100)
    again = [(f"  {text}\n", label) for text, label in rows[:30]]
    composed = [("cafe\u0301 number 1", "great"), ("café number 1", "great")]
    data, report = build_version(
        tmp_path / "v", write(tmp_path / "a.csv", [*rows, *again, *composed])
    )
    assert len(data) == 101
    assert report.duplicates == 31
    assert report.conflicts == 0


def test_labels_that_contradict_each_other(tmp_path: Path) -> None:
    rows = reviews(50)
    most = [("most say great", label) for label in ("great", "bad", "great")]
    even = [("nobody knows", label) for label in ("great", "bad")]
    data, report = build_version(tmp_path / "v", write(tmp_path / "a.csv", [*rows, *most, *even]))
    labels = labels_of(data)
    assert labels["most say great"] == "great"
    assert "nobody knows" not in labels
    assert (report.conflicts, report.undecided, report.duplicates) == (2, 1, 3)
    assert [n.code for n in report.warnings] == ["data.undecided"]


def test_rows_keep_their_split_and_id_when_more_come(tmp_path: Path) -> None:
    rows = reviews(400)
    first, _ = build_version(tmp_path / "v1", write(tmp_path / "a.csv", rows[:250]))
    file = write(tmp_path / "b.csv", rows[200:])
    second, report = build_version(tmp_path / "v2", file, previous=first)
    assert (report.new, report.duplicates, report.rows) == (150, 50, 400)
    assert splits_of(first).items() <= splits_of(second).items()
    assert second.row_ids()[:250] == first.row_ids()
    assert set(report.new_ids) == set(second.row_ids()[250:])
    third, again = build_version(tmp_path / "v3", file, previous=second)
    assert not again.changed
    assert again.new_ids == ()
    assert fingerprint(tmp_path / "v3") == fingerprint(tmp_path / "v2")
    assert len(third) == 400


def test_the_same_rows_at_once_or_in_turn_mostly_fall_alike(tmp_path: Path) -> None:
    rows = reviews(1000)
    once, _ = build_version(tmp_path / "once", write(tmp_path / "c.csv", rows))
    first, _ = build_version(tmp_path / "v1", write(tmp_path / "a.csv", rows[:500]))
    second, _ = build_version(
        tmp_path / "v2", write(tmp_path / "b.csv", rows[500:]), previous=first
    )
    assert splits_of(once) == splits_of(second)


def test_a_disagreeing_file_does_not_change_labels_but_a_correction_does(tmp_path: Path) -> None:
    rows = reviews(60)
    first, _ = build_version(tmp_path / "v1", write(tmp_path / "a.csv", rows))
    text, label = rows[7]
    other = "bad" if label == "great" else "great"
    second, report = build_version(
        tmp_path / "v2", write(tmp_path / "b.csv", [(text, other), *reviews(5, seed=9)]),
        previous=first,
    )  # fmt: skip
    assert labels_of(second)[text] == label
    assert (report.conflicts, report.corrected) == (1, 0)
    corrections = [
        Example("f1", text, label), Example("f2", f" {text}", other),
        Example("f3", "quite new", "great"), Example("f4", "  ", "great"),
        Example("f5", "unlabelled", None),
    ]  # fmt: skip
    third, report = build_version(
        tmp_path / "v3", ExampleSource("feedback", corrections), previous=second
    )
    assert labels_of(third)[text] == other
    assert (report.corrected, report.new, report.bad) == (1, 1, 2)
    assert splits_of(third)[text] == splits_of(first)[text]
    new = {e.row_id: e for e in third.examples() if e.source == "feedback"}
    assert new["f3"].item == "quite new"
    assert set(report.new_ids) == {"f3"} | {e.row_id for e in third.examples() if e.item == text}
    assert [row["code"] for row in bad_rows(tmp_path / "v3")] == [
        "data.empty_input", "data.empty_label",
    ]  # fmt: skip


def test_held_out_contents_never_enter(tmp_path: Path) -> None:
    rows = reviews(100)
    held = write(tmp_path / "test.csv", [(f"{text} ", "?") for text, _ in rows[:20]])
    keys = content_keys([Source(held)], texts_task())
    assert len(keys) == 20
    first, _ = build_version(tmp_path / "v1", write(tmp_path / "a.csv", rows[:60]))
    data, report = build_version(
        tmp_path / "v2", write(tmp_path / "b.csv", rows), previous=first, exclude=keys
    )
    assert (len(data), report.held_out, report.removed) == (80, 40, 20)
    assert report.changed
    assert not set(labels_of(data)) & {text for text, _ in rows[:20]}


def test_groups_stay_together(tmp_path: Path) -> None:
    rows = [(text, label, i // 6) for i, (text, label) in enumerate(reviews(600))]
    header = ("text", "label", "group")
    first, _ = build_version(tmp_path / "v1", write(tmp_path / "a.csv", rows[:450], *header))
    second, _ = build_version(
        tmp_path / "v2", write(tmp_path / "b.csv", rows[450:], *header), previous=first
    )
    # the group 74 was cut through by the first file's end
    parts: dict[str, set[str]] = {}
    for example in second.examples():
        parts.setdefault(example.group, set()).add(example.split)
    assert len(parts) == 100
    assert all(len(splits) == 1 for splits in parts.values())
    assert {next(iter(s)) for s in parts.values()} == {"train", "validation", "test"}


def test_ids_of_the_user(tmp_path: Path) -> None:
    rows = [(i, text, label) for i, (text, label) in enumerate(reviews(40))]
    header = ("id", "text", "label")
    file = write(tmp_path / "a.csv", rows, *header)
    first, report = build_version(tmp_path / "v1", file)
    assert first.row_ids() == [str(i) for i in range(40)]
    other = [(i, text, label) for i, (text, label) in enumerate(reviews(5, seed=3))]
    more = write(tmp_path / "b.csv", other, *header)
    second, report = build_version(tmp_path / "v2", more, previous=first)
    assert second.row_ids()[40:] == [f"{i}~2" for i in range(5)]
    assert "data.repeated_ids" in [n.code for n in report.warnings]
    third_rows = [(i, text, label) for i, (text, label) in enumerate(reviews(2, seed=4))]
    more = write(tmp_path / "c.csv", third_rows, *header)
    third, report = build_version(tmp_path / "v3", more, previous=second)
    assert third.row_ids()[45:] == ["0~3", "1~3"]
    assert report.new_ids == ("0~3", "1~3")


def test_rows_sent_to_a_split(tmp_path: Path) -> None:
    rows = reviews(200)
    train = Source(write(tmp_path / "a.csv", rows[:160]))
    test = Source(write(tmp_path / "b.csv", rows[140:]), split="test")
    data, report = build_version(tmp_path / "v1", train, test)
    assert data.size("test") == 60
    assert data.size("validation") > 0
    assert (report.overlaps, report.duplicates) == (0, 20)
    assert data.info["own_splits"] == ["test"]
    more, _ = build_version(
        tmp_path / "v2", write(tmp_path / "c.csv", reviews(300, seed=1)), previous=data
    )
    assert more.size("test") == 60
    late, report = build_version(
        tmp_path / "v3", write(tmp_path / "d.csv", rows[:10]), previous=data, split="test"
    )
    assert report.overlaps == 10
    assert splits_of(late) == splits_of(data)


def test_training_rows_alone_are_warned_of(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", reviews(60))
    data, report = build_version(tmp_path / "v", file, split="train")
    assert data.size("train") == 60
    assert [n.code for n in report.warnings] == ["data.no_validation", "data.no_test"]
    with pytest.raises(InvalidData) as caught:
        build_version(tmp_path / "w", file, split="test")
    assert caught.value.code == "data.no_training_rows"


def test_a_new_label_waits_until_it_has_enough_rows(tmp_path: Path) -> None:
    first, _ = build_version(tmp_path / "v1", write(tmp_path / "a.csv", reviews(60)))

    def feedback(*numbers: int) -> ExampleSource:
        rows = [Example(f"n{i}", f"neither good nor bad {i}", "mixed") for i in numbers]
        return ExampleSource("feedback", [*rows, Example(f"g{numbers[0]}", f"{rows}", "great")])

    second, report = build_version(
        tmp_path / "v2", feedback(1, 2, 3), previous=first, new_label_rows=5
    )
    assert report.waiting == {"mixed": 3}
    assert second.schema.labels == ("bad", "great")
    assert (report.new, len(second)) == (1, 61)
    assert len(Dataset(tmp_path / "v2" / WAITING)) == 3
    third, report = build_version(
        tmp_path / "v3", feedback(3, 4, 5), previous=second, new_label_rows=5
    )
    assert report.waiting == {}
    assert third.schema.labels == ("bad", "great", "mixed")
    assert report.new_labels == ("mixed",)
    assert Counter(e.label for e in third.examples())["mixed"] == 5
    assert {e.split for e in third.examples() if e.label == "mixed"} == {"train"}
    assert not (tmp_path / "v3" / WAITING).exists()


def test_corrections_train_and_what_was_drawn_at_random_judges(tmp_path: Path) -> None:
    first, _ = build_version(tmp_path / "v1", write(tmp_path / "a.csv", reviews(200)))
    judging = next(e for e in first.examples() if e.split == "test")
    learned = next(e for e in first.examples() if e.split == "train")
    said = [Example(f"c{i}", f"a correction {i}", "great") for i in range(200)]
    said.append(Example("label", judging.item, "great" if judging.label == "bad" else "bad"))
    drawn = [Example(f"d{i}", f"drawn by lot {i}", "mixed") for i in range(4)]
    drawn.append(Example("seen", learned.item, learned.label))
    second, report = build_version(
        tmp_path / "v2",
        ExampleSource("feedback", said),
        ExampleSource("feedback-drawn", drawn, split="test"),
        previous=first,
        new_label_rows=5,
    )
    assert {e.split for e in second.examples() if e.source == "feedback"} == {"train"}
    splits, known = splits_of(second), splits_of(first)
    assert {text: splits[text] for text in known} == known
    assert (report.overlaps, second.info["own_splits"]) == (0, [])
    # Rows wait with what is to become of them, and rows of a file are drawn as ever.
    last = ExampleSource("feedback", [Example("c", "corrected", "mixed")])
    file = write(tmp_path / "b.csv", reviews(200, seed=5))
    third, report = build_version(tmp_path / "v3", file, last, previous=second, new_label_rows=5)
    assert report.new_labels == ("mixed",)
    parts = {e.row_id: e.split for e in third.examples() if e.label == "mixed"}
    assert parts == {"c": "train", **{f"d{i}": "test" for i in range(4)}}
    assert third.size("test") > second.size("test") + 10


def test_rows_of_a_file_leave_a_waiting_label_waiting_unless_they_bring_it(tmp_path: Path) -> None:
    first, _ = build_version(tmp_path / "v1", write(tmp_path / "a.csv", reviews(60)))
    wait = ExampleSource("feedback", [Example(f"n{i}", f"so so {i}", "mixed") for i in range(2)])
    second, _ = build_version(tmp_path / "v2", wait, previous=first, new_label_rows=5)
    plain = write(tmp_path / "b.csv", [("quite another text", "great")])
    third, report = build_version(tmp_path / "v3", plain, previous=second, new_label_rows=5)
    assert (report.waiting, report.new, report.new_labels) == ({"mixed": 2}, 1, ())
    own = write(tmp_path / "c.csv", [("neither this nor that", "mixed")])
    fourth, report = build_version(tmp_path / "v4", own, previous=third, new_label_rows=5)
    assert (report.waiting, report.new_labels) == ({}, ("mixed",))
    assert Counter(e.label for e in fourth.examples())["mixed"] == 3


def test_new_labels_follow_the_old_ones(tmp_path: Path) -> None:
    rows = [(f"text number {i}", 2 + i % 2 * 8) for i in range(40)]
    first, _ = build_version(tmp_path / "v1", write(tmp_path / "a.csv", rows))
    assert first.schema.labels == ("2", "10")
    more = [(f"other text {i}", 1) for i in range(20)]
    second, _ = build_version(tmp_path / "v2", write(tmp_path / "b.csv", more), previous=first)
    assert second.schema.labels == ("2", "10", "1")


def test_small_labels_are_in_every_split(tmp_path: Path) -> None:
    rows = [*reviews(300), *((f"rare thing {i}", "rare") for i in range(5))]
    data, report = build_version(tmp_path / "v", write(tmp_path / "a.csv", rows))
    assert {split: counts["rare"] for split, counts in data.counts.items()} == {
        "train": 3, "validation": 1, "test": 1,
    }  # fmt: skip
    assert {"data.rare_labels", "data.imbalance"} <= {n.code for n in report.warnings}


def test_bad_rows_are_told_one_by_one(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    good = "".join(f'"{text}",{label}\n' for text, label in reviews(50))
    long = "x" * 5000
    file.write_text(
        f"text,label\n{good}no label,\n,great\nnan label,nan\ntoo,many,{long}\nfew\n", "utf-8"
    )
    data, report = build_version(tmp_path / "v", file)
    assert (len(data), report.bad, report.read) == (50, 5, 55)
    rows = bad_rows(tmp_path / "v")
    assert [(row["row"], row["code"]) for row in rows] == [
        (51, "data.empty_label"), (52, "data.empty_input"), (53, "data.empty_label"),
        (54, "data.ragged"), (55, "data.ragged"),
    ]  # fmt: skip
    assert rows[0] == {
        "file": "a.csv", "row": 51, "code": "data.empty_label",
        "reason": "the label (column label) is missing",
        "values": {"text": "no label", "label": ""},
    }  # fmt: skip
    assert rows[3]["values"]["column3"].endswith("… (5,000)")
    assert report.reasons[0][1] == 2
    assert report.bad_rows == tmp_path / "v.bad"
    # the next build without bad rows takes the file away
    build_version(tmp_path / "w", file.rename(tmp_path / "b.csv"), bad_rows=tmp_path / "v.bad")
    write(tmp_path / "c.csv", reviews(50))
    _, report = build_version(tmp_path / "x", tmp_path / "c.csv", bad_rows=tmp_path / "v.bad")
    assert report.bad_rows is None
    assert not (tmp_path / "v.bad").exists()


def test_a_dictionary_of_datasets_keeps_its_division(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = reviews(150)
    parts = {
        name: datasets.Dataset.from_dict(
            {"text": [t for t, _ in part], "label": [label for _, label in part]}
        )
        for name, part in (("train", rows[:100]), ("test", rows[100:]))
    }
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "d")
    data, report = build_version(tmp_path / "v", tmp_path / "d")
    assert data.size("test") == 50
    assert data.size("validation") > 0
    assert [s.name for s in report.sources] == ["d/train", "d/test"]
