"""Rows of tables are observations: equal ones count each, and a file that comes again adds none."""

from __future__ import annotations

import csv
import random
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from feilun.data.audit.duplicates import exact, first_of
from feilun.data.audit.scan import scan
from feilun.data.clean.mending import Mending
from feilun.data.clean.recipe import Cleaning
from feilun.data.outcome import BuildReport, Notice
from feilun.data.sources.base import ExampleSource
from feilun.errors import UsageError
from feilun.project import Workspace
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.types import Example, Split
from helpers.builds import build_version
from helpers.cli import feilun

TASK = tasks.get("tabular-classification")
Rows = Sequence[tuple[int, str, str]]
PLANS = ("monthly", "yearly")


def drawn(rows: int, seed: int = 0) -> list[tuple[int, str, str]]:
    """Customers of few kinds, so that many are alike; some of the alike leave, some stay."""
    draw = random.Random(seed)
    found = []
    for _ in range(rows):
        months, plan = draw.randrange(60), draw.choice(PLANS)
        found.append((months, plan, draw.choice(["yes", "no"])))
    return found


def add(
    out: Path, rows: Rows, previous: Dataset | None = None, ids: bool = False, **more: object
) -> tuple[Dataset, BuildReport]:
    out.mkdir(exist_ok=True)
    file = out / "rows.csv"
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([*(["id"] if ids else []), "months", "plan", "churn"])
        for number, row in enumerate(rows):
            writer.writerow([*([f"c{number:04}"] if ids else []), *row])
    return build_version(out / "data", file, task=TASK, previous=previous, **more)


def kept(data: Dataset, split: Split | None = None) -> Counter[tuple[float, str, str]]:
    found: Counter[tuple[float, str, str]] = Counter()
    for one in data.examples(split):
        assert isinstance(one.item, dict)
        found[one.item["months"], one.item["plan"], one.label] += 1  # type: ignore[index]
    return found


def counted(rows: Rows) -> Counter[tuple[float, str, str]]:
    return Counter((float(months), plan, label) for months, plan, label in rows)


def test_alike_rows_count_each_and_a_file_that_comes_again_adds_none(tmp_path: Path) -> None:
    rows = drawn(400)
    assert max(Counter(row[:2] for row in rows).values()) > 3
    first, report = add(tmp_path / "1", rows)
    assert kept(first) == counted(rows)
    assert (report.duplicates, report.conflicts, report.undecided) == (0, 0, 0)
    [told] = [one for one in report.warnings if one.code == "data.equal_rows"]
    assert told.params["rows"] == 400 - len(set(rows))
    assert "data.repeated_ids" not in {one.code for one in report.warnings}
    assert len(set(first.row_ids())) == 400

    shuffled = random.Random(1).sample(rows, 400)
    again, report = add(tmp_path / "2", shuffled, first)
    assert (report.new, report.differing, report.conflicts) == (0, 0, 0)
    assert sorted(again.row_ids()) == sorted(first.row_ids())

    longer, report = add(tmp_path / "3", [*shuffled, *drawn(50, seed=2)], first)
    assert (report.new, report.differing) == (50, 0)
    assert kept(longer) == counted([*rows, *drawn(50, seed=2)])
    splits = {one.row_id: one.split for one in first.examples()}
    found = {one.row_id: one.split for one in longer.examples()}
    assert {row: found[row] for row in splits} == splits
    assert add(tmp_path / "4", drawn(50, seed=2), longer)[1].new == 0


def test_rows_that_equal_earlier_ones_are_told_and_appended(tmp_path: Path) -> None:
    """What comes in March may equal what came in February, and is yet another observation."""
    rows, march = drawn(300), drawn(200, seed=2)
    first, _ = add(tmp_path / "1", rows)
    here = counted([(*row[:2], "") for row in rows]) & counted([(*row[:2], "") for row in march])

    def told(report: BuildReport) -> list[int]:
        return [one.params["rows"] for one in report.warnings if one.code == "formats.rows_matched"]

    _, guessed = add(tmp_path / "2", march, first)
    assert (guessed.new, guessed.matched) == (200 - here.total(), here.total())
    assert told(guessed) == [here.total()]
    second, report = add(tmp_path / "3", march, first, append=True)
    assert (report.new, report.matched, report.differing, told(report)) == (200, 0, 0, [])
    assert kept(second) == counted([*rows, *march])
    splits = {one.row_id: one.split for one in first.examples()}
    found = {one.row_id: one.split for one in second.examples()}
    assert len(found) == 500
    assert {row: found[row] for row in splits} == splits
    third, report = add(tmp_path / "4", march, second, append=True)
    assert (report.new, len(set(third.row_ids()))) == (200, 700)
    # A row with an id of the user's own is the one that has it.
    named, _ = add(tmp_path / "5", rows, ids=True)
    assert add(tmp_path / "6", rows, named, ids=True, append=True)[1].new == 0


def test_what_adds_them_is_offered_and_done(tmp_path: Path) -> None:
    rows = drawn(80)
    file = tmp_path / "in march.csv"
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([("months", "plan", "churn"), *rows])
    with Workspace(tmp_path) as workspace:
        project = workspace.init("churn", task="tabular-classification")
        project.add(file)
        offered = project.add(file, columns={"label": "churn"})
        assert (offered.unchanged, offered.report["matched"]) == (True, 80)
        said = " ".join(note for table in offered.tables() for note in table.notes)
        assert offered.append is not None
        assert offered.append in said
        words = shlex.split(offered.append)
        assert words[3:] == [str(file), "--map", "label=churn", "--append"]
        done = feilun(*words[1:], cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert sum(sum(one.values()) for one in project.scope.data().counts.values()) == 160
        texts = workspace.init("texts")
        with pytest.raises(UsageError, match="text-classification"):
            texts.add(file, append=True)
        with pytest.raises(UsageError, match="--since"):
            project.add("sqlite:///x.db", query="select 1", since="a", append=True)


def test_corrected_targets_are_told_and_taken(tmp_path: Path) -> None:
    rows = drawn(200)
    first, _ = add(tmp_path / "1", rows)
    turned = [(*row[:2], {"yes": "no", "no": "yes"}[row[2]]) for row in rows[:1]]
    changed = counted([*turned, *rows[1:]])
    _, told = add(tmp_path / "2", [*turned, *rows[1:]], first)
    assert (told.new, told.differing) == (0, 1)
    second, taken = add(tmp_path / "3", [*turned, *rows[1:]], first, relabel=True)
    assert (taken.new, taken.corrected) == (0, 1)
    assert kept(second) == changed


def test_ids_tell_alike_rows_apart(tmp_path: Path) -> None:
    rows = [(number % 6, PLANS[number % 2], "yes" if number % 5 else "no") for number in range(60)]
    first, report = add(tmp_path / "1", rows, ids=True)
    assert kept(first) == counted(rows)
    assert {one.code for one in report.warnings}.isdisjoint({"data.equal_rows"})
    assert sorted(first.row_ids()) == [f"c{number:04}" for number in range(60)]
    assert add(tmp_path / "2", rows, first, ids=True)[1].new == 0
    # What customers say of an answer is a row of its own, even where a row of the table is equal.
    said = Example("fb_1", {"months": 0, "plan": "monthly"}, "yes", source="feedback")
    corrected = ExampleSource("feedback", [said], corrects=True)
    second, report = build_version(tmp_path / "3", corrected, task=TASK, previous=first)
    assert (report.new, report.corrected) == (1, 0)
    assert {one.row_id: one.split for one in second.examples()}["fb_1"] == "train"
    assert kept(second) == counted([*rows, (0, "monthly", "yes")])


def test_few_copies_stay_in_one_split_and_many_are_drawn_one_by_one(tmp_path: Path) -> None:
    copied = [(number, PLANS[number % 2], "yes" if number % 3 else "no") for number in range(300)]
    data, _ = add(tmp_path / "1", [*copied, *copied])
    halves: dict[object, set[str]] = {}
    for one in data.examples():
        halves.setdefault(str(one.item), set()).add(one.split)
    assert {len(splits) for splits in halves.values()} == {1}
    assert set.union(*halves.values()) == {"train", "validation", "test"}

    few = [(number % 3, PLANS[number % 2], "yes" if number % 7 else "no") for number in range(600)]
    data, _ = add(tmp_path / "2", few)
    shares = np.array([len(data.row_ids(one)) for one in ("train", "validation", "test")]) / 600
    assert np.abs(shares - [0.8, 0.1, 0.1]).max() < 0.05


def test_copies_are_found_and_dropped(tmp_path: Path) -> None:
    rows = [(number, PLANS[number % 2], "yes" if number % 3 else "no") for number in range(100)]
    torn = (*rows[0][:2], "yes")
    data, _ = add(tmp_path / "1", [*rows, *rows, torn])
    looked = scan(data)
    basis = Notice("audit.basis_all", {"rows": len(data)})
    [found] = exact(looked, first_of(looked), basis, ("feilun",), observations=True)  # type: ignore[arg-type]
    assert (found.finding.code, found.finding.count, found.finding.severity) == (
        "equal_rows", 100, "warn",
    )  # fmt: skip
    mending = Mending((Cleaning(drop_duplicates="exact"),))
    second, _ = build_version(tmp_path / "2", task=TASK, previous=data, mending=mending)
    assert kept(second, "test") == kept(data, "test")  # test rows stay, copies too
    learnt = kept(second, "train") + kept(second, "validation")
    assert learnt == counted([*rows, torn]) - kept(data, "test")
