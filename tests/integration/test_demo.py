"""The demonstration on small reviews, and what must never leave the testing file."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from feilun import registry
from feilun.demo import tell
from feilun.demo.sample import Sample, prepare
from feilun.errors import Conflict
from feilun.messages import Language
from feilun.project import Workspace
from feilun.store.dataset import Dataset
from feilun.tasks import base
from feilun.training.settings import methods_for
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
    columns = {"text": "review", "label": "score"}
    source = Sample(training, files / "testing.csv", "reviews", columns, traffic=300)
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
        sample=source,
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
    assert closing["metric"] == "accuracy"
    assert 0.4 < closing["floor"] < 0.7
    for row in closing["rows"]:
        assert row["score"]["low"] < row["score"]["value"] < row["score"]["high"]
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


def _small(task: str, folder: Path, lang: Language) -> Sample:
    """The demonstration of `task` with a part of its rows."""
    found = prepare(task, folder, lang)
    for file, rows in ((found.training, 1300), (found.testing, 60)):
        with file.open(encoding="utf-8", newline="") as stream:
            head, *kept = csv.reader(stream)
        kept = kept[-rows:] if file == found.training else kept[:rows]  # times stay in one piece
        with file.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([head, *kept])
    return replace(found, traffic=60)


@pytest.mark.slow
@pytest.mark.parametrize("task", registry.names("demos"))
def test_every_task_that_has_one_is_shown(task: str, tmp_path: Path) -> None:
    lang: Language = "zh" if task == "chat" else "en"
    sample = _small(task, tmp_path / "files", lang)
    said: list[str] = []
    shown: list[str] = []
    story = tell(
        tmp_path / "demo",
        lang,
        show=lambda result: shown.extend(table.title for table in result.tables()),
        say=said.append,
        report=lambda progress: None,
        method=methods_for(base.get(task))[0],
        port=0,
        sample=sample,
    )
    story.stop()
    told = story.to_json()
    closing = told["closing"]
    assert closing["metric"] == base.get(task).primary
    assert closing["rows"]
    assert all(row["score"] is not None for row in closing["rows"])
    assert told["answers_while_training"] > 0
    assert told["failures_while_training"] == 0
    assert any({"en": "60 rows", "zh": "60 行"}[lang] in line for line in said)
    if sample.plan:  # of what customers asked, also in pieces by OpenAI's client, each has a bill
        heard = [line for line in said if " → " in line]
        assert len(heard) == 3
        assert all("词元" in line for line in heard)
        assert [title.partition("：")[2] for title in shown[-2:]] == ["灯塔书店", "北港食品"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "lang"), [*((task, "en") for task in registry.names("demos")), ("chat", "zh")]
)
def test_the_whole_of_it_ends(task: str, lang: Language, tmp_path: Path) -> None:
    story = tell(
        tmp_path / "demo",
        lang,
        show=lambda result: None,
        say=lambda line: None,
        report=lambda progress: None,
        port=0,
        task=task,
    )
    story.stop()
    told = story.to_json()
    assert told["failures_while_training"] == 0
    assert told["closing"]["rows"]


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
