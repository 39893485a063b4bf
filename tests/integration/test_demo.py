"""The demonstration on small reviews, and what must never leave the testing file."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from feilun.demo import tell
from feilun.demo.reviews import Reviews
from feilun.errors import Conflict
from feilun.project import Workspace
from feilun.store.dataset import Dataset
from helpers.rows import reviews, write_reviews

MARKER = "zanzibar-quince-4711"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object], list[str]]:
    """The story on 700 training rows, 300 of them tomorrow's traffic, and 60 testing rows: some of
    them in the training file too, all of them marked."""
    files = tmp_path_factory.mktemp("files")
    training = write_reviews(files / "training.csv", 700, noise=0.2)
    testing = [(f"{text} {MARKER}", label) for text, label in reviews(60, seed=9)]
    with training.open(encoding="utf-8", newline="") as stream:
        head, *rows = csv.reader(stream)
    with training.open("w", encoding="utf-8", newline="") as stream:
        # Some among the first rows, which are trained on, some among the last, the traffic.
        csv.writer(stream).writerows([head, *testing[5:10], *rows, *testing[:5]])
    with (files / "testing.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("review", "score"), *testing])
    source = Reviews(training, files / "testing.csv", "reviews", "review", "score")
    folder = tmp_path_factory.mktemp("demo") / "demo"
    said: list[str] = []
    story = tell(
        folder,
        "en",
        show=lambda result: said.extend(table.title for table in result.tables()),
        say=said.append,
        report=lambda progress: None,
        method="linear",
        port=0,
        reviews=source,
        traffic=300,
    )
    story.stop()
    return folder, story.to_json(), said


def test_the_story_is_told_to_its_end(
    told: tuple[Path, dict[str, object], list[str]],
) -> None:
    _, story, said = told
    closing = story["closing"]
    assert isinstance(closing, dict)
    assert [row["method"] for row in closing["rows"]] == ["linear", "linear"]
    assert closing["tested"] == 60
    for row in closing["rows"]:
        assert row["accuracy"]["low"] < row["accuracy"]["value"] < row["accuracy"]["high"]
        assert row["cost_per_1000"] > 0
    assert story["failures_while_training"] == 0
    assert story["first_answer_seconds"] > 0  # type: ignore[operator]
    assert any("5 training rows, 5 traffic rows" in line for line in said)


def test_no_row_of_the_testing_file_gets_in(
    told: tuple[Path, dict[str, object], list[str]],
) -> None:
    folder, _, _ = told
    with Workspace(folder) as workspace:
        store = workspace.store
        versions = store.catalog.data_versions("reviews")
        assert len(versions) == 2
        for version in versions:
            rows = list(Dataset(store.artifacts.path(version.artifact)).examples())
            assert rows
            assert not [row for row in rows if MARKER in str(row.item)]
        logged = store.ledger.recent_predictions("reviews", limit=None, usable_only=False)
        assert len(logged) >= 290
        assert not [row for row in logged if MARKER in str(row.input)]
    # Neither anywhere else below the state folder, compressed files aside.
    for file in (folder / ".feilun").rglob("*"):
        if file.is_file() and file.suffix in {".db", ".jsonl", ".json"}:
            assert MARKER.encode() not in file.read_bytes(), file


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(Conflict):
        tell(
            tmp_path,
            "en",
            show=lambda result: None,
            say=lambda line: None,
            report=lambda progress: None,
        )
    assert (tmp_path / "thesis.txt").read_text() == "mine"
