"""A file whose rows are here already, with other labels: told, offered, taken when asked for."""

from __future__ import annotations

import csv
import shlex
from pathlib import Path

import pytest

from feilun import messages
from feilun.table import Result
from helpers.builds import build_version
from helpers.cli import feilun
from helpers.linear import linear_project
from helpers.rows import reviews, write_reviews


def _corrected(source: Path, file: Path, rows: int) -> dict[str, str]:
    """Writes `source` with the labels of its first `rows` turned round; what they are now."""
    with source.open(encoding="utf-8", newline="") as stream:
        listed = list(csv.reader(stream))
    turned = {"great": "bad", "bad": "great"}
    for row in listed[1 : rows + 1]:
        row[1] = turned[row[1]]
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(listed)
    return {row[0]: row[1] for row in listed[1 : rows + 1]}


def _shown(result: Result) -> str:
    return " ".join(note for table in result.tables() for note in table.notes)


def test_corrected_labels_are_offered_and_taken(tmp_path: Path) -> None:
    with linear_project(tmp_path, rows=100) as project:
        fixed = tmp_path / "fixed labels.csv"
        now = _corrected(tmp_path / "reviews.csv", fixed, 100)
        data = project.scope.context().dataset
        catalog = project.workspace.store.catalog
        test = catalog.data_version("reviews:1").counts["test"]
        offered = project.add(fixed, columns={"text": "review"})
        assert offered.unchanged
        assert offered.report["differing"] == 100
        assert offered.report["differing_test"] == sum(test.values()) > 0
        assert offered.relabel is not None
        words = shlex.split(offered.relabel)
        assert words == ["feilun", "data", "add", str(fixed), "--map", "text=review", "--relabel"]
        assert "100 rows are here already" in _shown(offered)
        assert offered.relabel in _shown(offered)
        # What is offered is done when it is typed.
        done = feilun(*words[1:], cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        version = catalog.latest_data("reviews")
        assert version is not None
        assert version.id == "reviews:2"
        assert version.info["corrected"] == 100
        assert version.info["new"] == 0
        rows = {e.item: (e.label, e.split) for e in data(version).examples()}
        before = {e.item: e.split for e in data(catalog.data_version("reviews:1")).examples()}
        assert {item: label for item, (label, _) in rows.items()} == now
        assert {item: split for item, (_, split) in rows.items()} == before
        assert version.info["corrected_test"] == sum(test.values())
        again = project.add(fixed, relabel=True)
        assert (again.unchanged, again.relabel) == (True, None)


@pytest.mark.parametrize(
    ("lang", "word"), [("en", "by which every version is judged"), ("zh", "所有版本都按新标签评估")]
)
def test_relabelled_test_rows_are_told(tmp_path: Path, lang: messages.Language, word: str) -> None:
    with linear_project(tmp_path, rows=60) as project:
        fixed = tmp_path / "fixed.csv"
        _corrected(tmp_path / "reviews.csv", fixed, 60)
        messages.use(lang)
        assert word in _shown(project.add(fixed, relabel=True))


def test_a_version_is_judged_by_the_corrected_labels(tmp_path: Path) -> None:
    with linear_project(tmp_path, rows=120) as project:
        project.train(method="linear")
        before = project.evaluate()
        fixed = tmp_path / "fixed.csv"
        _corrected(tmp_path / "reviews.csv", fixed, 120)
        project.add(fixed, relabel=True)
        after = project.evaluate()
        assert (before.rows, after.data) == (after.rows, "reviews:2")
        scores = [one.metrics["accuracy"] or {} for one in (before, after)]
        assert scores[0]["value"] == pytest.approx(1 - scores[1]["value"])


def test_a_file_that_contradicts_itself_changes_nothing(tmp_path: Path) -> None:
    first, _ = build_version(tmp_path / "v1", write_reviews(tmp_path / "a.csv", 60))
    text, label = reviews(1)[0]
    other = "great" if label == "bad" else "bad"
    file = tmp_path / "b.csv"

    def add(out: str, *labels: str) -> int:
        with file.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([("review", "score"), *((text, one) for one in labels)])
        built = build_version(tmp_path / out, file, previous=first, relabel=True)[1]
        return built.corrected

    assert add("v2", other, label) == 0
    assert add("v3", other, other, label) == 1
    assert add("v4", other) == 1
