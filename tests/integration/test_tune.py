"""A search, from the rows to the version that it puts live: with its evidence, and interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from feilun.errors import NotFound, UsageError
from feilun.pipeline.steps._unseen import without_test_rows
from feilun.project import Project
from feilun.project.results import Turned
from feilun.project.tuning import SearchView
from feilun.store.dataset import Dataset
from feilun.types import Progress
from helpers.cli import feilun, feilun_json
from helpers.linear import linear_project

LINEAR = {"tune.methods": ["linear"], "training.augment": "off", "serving.golden_requests": 200}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with linear_project(tmp_path_factory.mktemp("tune"), rows=160) as made:
        yield made


@pytest.fixture(scope="module")
def tuned(project: Project) -> Turned:
    """A search that was interrupted in its second trial and gone on with."""
    seen: list[float] = []

    def interrupt(progress: Progress) -> None:
        seen.append(progress.figures.get("trials", 0.0))
        if seen[-1] == 2:
            raise RuntimeError("the power is off")

    with pytest.raises(RuntimeError, match="power"):
        project.tune(minutes=30, trials=2, overrides=LINEAR, report=interrupt)
    assert project.live is None
    return project.tune(minutes=30, trials=2, overrides=LINEAR)


def test_an_interrupted_search_goes_on_and_its_winner_goes_live(
    project: Project, tuned: Turned
) -> None:
    assert isinstance(tuned.search, SearchView)
    found = tuned.search.found
    states = [one["state"] for one in found["trials"]]
    assert states.count("complete") == 2
    assert found["trials"][0]["default"], "the settings as they stand are tried first"
    assert states[0] == "complete", "what was finished is not tried again"
    assert found["by"] == "folds"
    assert tuned.promoted
    live = project.live
    assert live is not None
    best = max(one["value"] for one in found["trials"] if one["value"] is not None)
    winner = found["trials"][found["winner"]["number"]]
    assert winner["value"] == best
    settings = live.record.config["rung"]["settings"]
    assert settings["min_rows"] == winner["given"]["min_rows"]
    assert settings["class_weights"] == winner["given"]["class_weights"]
    assert live.metrics["consultations"] == 1, "the test rows were asked for the winner alone"


def test_people_see_what_was_tried(project: Project, tuned: Turned) -> None:
    first, second = tuned.tables()
    assert "2 trainings came to their end" in first.notes[1]
    assert "the search never saw" in " ".join(first.notes)
    assert len(first.rows) == 2
    assert second.rows
    assert tuned.report is not None
    page = tuned.report.read_text("utf-8")
    assert "搜索" in page
    assert "minutes of training" in page
    assert tuned.to_json()["search"]["found"]["winner"]["method"] == "linear"


def test_the_same_search_is_not_made_twice(project: Project, tuned: Turned) -> None:
    again = project.tune(minutes=30, trials=2, overrides=LINEAR)
    assert again.run == tuned.run
    assert again.search == tuned.search


def test_the_test_rows_are_not_there(project: Project, tmp_path: Path) -> None:
    store = project.workspace.store
    data = store.catalog.latest_data(project.name)
    assert data is not None
    whole = Dataset(store.artifacts.path(data.artifact))
    part = Dataset(without_test_rows(whole, tmp_path / "rows"))
    assert whole.size("test") > 0
    assert part.size("test") == 0
    assert part.values("row_id") == whole.values("row_id", "train") + whole.values(
        "row_id", "validation"
    )
    assert part.items("train") == whole.items("train")
    assert part.schema == whole.schema


@pytest.mark.slow
def test_another_process_joins(project: Project, tuned: Turned) -> None:
    catalog = project.workspace.store.catalog
    with pytest.raises(NotFound, match="no search that is going on"):
        project.join_search()

    def leave(progress: Progress) -> None:
        if progress.figures.get("trials", 0.0) == 1:
            raise RuntimeError("enough")

    more = LINEAR | {"training.seed": 1}
    with pytest.raises(RuntimeError):
        project.tune(minutes=30, trials=2, overrides=more, report=leave)
    begun = next(run for run in catalog.runs(project.name) if run.state == "failed")
    catalog.update_run(begun.id, state="running")  # as it is while its process lives
    joined = project.join_search()
    assert [one["state"] for one in joined.found["trials"]].count("complete") == 2
    assert "whoever began it trains the winner" in str(joined.tables()[0].notes)
    catalog.update_run(begun.id, state="stopped")


def test_what_cannot_be_searched_is_said(project: Project) -> None:
    with pytest.raises(UsageError, match="no method nonsense") as wrong:
        project.tune(overrides={"tune.methods": ["nonsense"]})
    assert "linear" in wrong.value.message()
    with pytest.raises(UsageError, match=r"linear is left out: a training of it should take"):
        project.tune(minutes=0.001, overrides=LINEAR)
    with pytest.raises(UsageError, match="trees is left out"):
        project.tune(overrides={"tune.methods": ["trees"]})


def test_the_command(project: Project, tuned: Turned) -> None:
    folder = project.workspace.folder
    words = ["--trials", "1", "--method", "linear", "--set", "training.augment=off"]
    done = feilun_json("tune", *words, cwd=folder)
    assert done["kind"] == "tune"
    assert [one["state"] for one in done["search"]["found"]["trials"]] == ["complete"]
    refused = feilun("tune", "--join", "--json", cwd=folder)
    assert refused.returncode == 2
    assert "tune.none_going_on" in refused.stdout
