"""A new task begins from what the organisation has learned, where that tells its targets apart."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from feilun.project import Project, Workspace
from feilun.project.planning import Planned
from helpers.bert import write_bert
from helpers.jobs import job_for, train, write_dataset
from helpers.rows import reviews, write_reviews

FAST: dict[str, Any] = {
    "compression.variants": [],
    "evaluation.robustness": False,
    "training.augment": "off",
    "training.full.epochs": 8,
    "training.full.learning_rate": 3e-3,
    "training.full.batch_rows": 16,
}
BASE = "minilm"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose usual base knows the words and nothing of them."""
    found = tmp_path_factory.mktemp("organisation")
    write_bert(found / "starters" / BASE)
    return found


@pytest.fixture(scope="module")
def workspace(folder: Path) -> Iterator[Workspace]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEILUN_STARTERS", str(folder / "starters"))
        with Workspace(folder) as opened:
            first = opened.init("reviews")
            first.add(write_reviews(folder / "reviews.csv", 240, noise=0.0))
            first.train(method="full", overrides=FAST)
            yield opened


def _other(workspace: Workspace, name: str, seed: int = 9) -> Project:
    """The same question, asked of other rows under other names."""
    project = workspace.init(name)
    rows = reviews(200, seed, noise=0.0)
    project.add([{"text": text, "label": f"{label}!"} for text, label in rows])
    return project


def _said(planned: Planned, words: str) -> bool:
    return any(words in line for line in planned.words)


def _bases(planned: Planned) -> set[str]:
    return {stage["base_name"] for stage in planned.stages if stage["base_name"]}


def _begun(project: Project) -> Any:
    return project.workspace.store.catalog.runs(project.name, limit=1)[0].plan["own_base"]


def test_a_new_task_begins_from_the_best_own_encoder(workspace: Workspace) -> None:
    own = workspace.store.catalog.model_versions("reviews")[-1]
    assert own.method == "full"
    project = _other(workspace, "moods")
    planned = project.plan(overrides=FAST)
    assert _said(planned, f"training begins from {own.id}")
    assert _bases(planned) == {own.id}
    project.train(method="head", overrides=FAST)
    begun = _begun(project)
    assert (begun["base"], begun["taken"]) == (own.id, True)
    assert begun["score"] > begun["usual_score"]
    version = workspace.store.catalog.model_versions("moods")[-1]
    assert version.config["rung"]["base_name"] == own.id
    again = project.plan(overrides=FAST)
    assert not _said(again, "LogME"), "it stays with what it began from"
    assert _bases(again) == {own.id}


def test_a_setting_turns_it_off_and_a_named_base_goes_before(
    workspace: Workspace, folder: Path
) -> None:
    project = _other(workspace, "plain", seed=3)
    for more in ({"project.own_base": False}, {"project.base": BASE}):
        planned = project.plan(overrides=FAST | more)
        assert not _said(planned, "LogME")
        assert _bases(planned) == {BASE}


@pytest.mark.slow
def test_the_usual_base_stays_where_it_tells_targets_apart_better(
    workspace: Workspace, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = write_dataset(tmp_path / "data", rows=reviews(400, 5, noise=0.0))
    settings = {"epochs": 20, "learning_rate": 3e-3, "batch_rows": 16, "augment": "off"}
    job = job_for("full", data, tmp_path, folder / "starters" / BASE, settings=settings)
    train(job)
    shutil.copytree(job.out, tmp_path / "starters" / BASE)
    monkeypatch.setenv("FEILUN_STARTERS", str(tmp_path / "starters"))
    with Workspace(folder) as opened:
        project = _other(opened, "learned", seed=4)
        planned = project.plan(overrides=FAST)
        assert _said(planned, f"training begins from {BASE}: the best encoder of this workspace")
        assert _bases(planned) == {BASE}


@pytest.mark.parametrize("kind", ["test", "answers"])
def test_what_knows_the_rows_is_no_base(workspace: Workspace, kind: str) -> None:
    """Test rows under other names, or training rows under the same."""
    project = workspace.init(f"known-{kind}")
    rows = reviews(240, noise=0.0)
    more = "!" if kind == "test" else ""
    fresh = [{"text": text, "label": label + more} for text, label in reviews(100, 8)]
    known = [{"text": text, "label": label + more} for text, label in rows]
    project.add(fresh)
    project.add(known, split="test" if kind == "test" else "train")
    assert not _said(project.plan(overrides=FAST), "LogME")
