"""Methods that keep no answers out of fold by themselves are trained on folds, if time allows."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feilun.config import TrainingConfig
from feilun.families.spans import SPANS
from feilun.project import Workspace
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.training import out_of_fold
from feilun.training.fold_training import can_be_folded, train_folds
from feilun.training.job import DataStats, Machine, Report, TrainJob, TrainResult
from feilun.training.plan import Plan, plan
from feilun.training.settings import method, resolve
from helpers.bert import write_bert
from helpers.jobs import job_for, train, write_dataset

FAST = {"epochs": 6, "learning_rate": 3e-3, "batch_rows": 16, "augment": "off"}


def nobody(progress: object) -> None:
    """Hears nothing."""


class Counted:
    """A method that is counted and trained."""

    def __init__(self, name: str) -> None:
        self._method = method(name)
        self.jobs: list[TrainJob] = []

    def train(self, job: TrainJob, settings: Any, report: Report) -> TrainResult:
        """As the method does."""
        self.jobs.append(job)
        return self._method.train(job, settings, report)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("base"))


def folded(job: TrainJob, how: Any = None) -> Any:
    how = how or method(job.method)
    return train_folds(how, job, method(job.method).Settings(**job.settings), nobody)


def test_each_row_is_answered_by_a_network_that_has_not_seen_it(base: Path, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data")
    job = job_for("full", data, tmp_path, base, settings=FAST, folds=2)
    how = Counted("full")
    found = folded(job, how)
    dataset = Dataset(data)
    assert (list(found.ids), found.raw.shape) == (dataset.row_ids("train"), (180, 2))
    right = found.raw.argmax(axis=1) == dataset.labels("train")
    assert right.mean() > 0.8
    assert len(how.jobs) == 2
    again = folded(job, how)
    assert len(how.jobs) == 2, "after a kill whole folds are read, not trained again"
    assert (again.raw == found.raw).all()
    train(job)
    plain = job_for("full", data, tmp_path / "plain", base, settings=FAST)
    train(plain)
    weights = [(one.out / "model.safetensors").read_bytes() for one in (job, plain)]
    assert weights[0] == weights[1], "folds change nothing of the version"


def test_a_fold_learns_none_of_its_rows_nor_their_groups(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", 80)
    seen: list[tuple[set[str], int]] = []

    class Looking(Counted):
        def train(self, job: TrainJob, settings: Any, report: Report) -> TrainResult:
            part = Dataset(job.data)
            seen.append((set(part.row_ids("train")), part.size("validation")))
            return super().train(job, settings, report)

    job = job_for("linear", data, tmp_path, settings={"augment": "off"}, folds=4)
    folded(job, Looking("linear"))
    whole = set(Dataset(data).row_ids("train"))
    left_out = [whole - learned for learned, _ in seen]
    assert set.union(*left_out) == whole
    assert sum(map(len, left_out)) == len(whole)
    assert {held for _, held in seen} == {Dataset(data).size("validation")}


def test_where_a_fold_would_learn_less_there_are_no_answers(base: Path, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data")
    job = job_for("full", data, tmp_path, base, settings=FAST | {"epochs": 500}, folds=3)
    how = Counted("full")
    found = folded(replace(job, deadline=time.time() + 4), how)
    assert found.raw is None
    assert "training.folds = 0" in found.notes[0]
    assert len(how.jobs) == 1, "the rest of the time is for the version"
    assert folded(replace(job, folds=0)) is None


def _spans(folder: Path) -> Path:
    rows = []
    for number in range(90):
        name = ("Anna Keller", "Li Wei", "Olga Meyer")[number % 3]
        place = ("Oslo", "Porto", "Vienna", "上海")[number % 4]
        start = 5 + len(name) + 10
        spans = [[5, 5 + len(name), "PER"], [start, start + len(place), "LOC"]]
        rows.append({"text": f"Dear {name} moved to {place} ({number}).", "entities": spans})
    file = folder / "spans.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return file


@pytest.mark.slow
def test_spans_are_kept_and_judge_two_versions(tmp_path: Path, workspace_dir: Path) -> None:
    with Workspace(workspace_dir) as workspace:
        project = workspace.init("ents", task="token-classification")
        project.add(_spans(tmp_path))
        asked = {"training.method": "crf", "training.folds": 3}
        planned = project.plan(overrides=asked)
        assert any("crf is trained 3 times more" in line for line in planned.words)
        project.run(overrides=asked)
        project.run(overrides=asked | {"training.crf.c1": 0.5})
        store = workspace.store
        first, second = store.catalog.model_versions("ents")
        data = store.catalog.latest_data("ents")
        assert data is not None
        rows = sum(data.counts["train"].values())
        kept = out_of_fold.read(store.artifacts.path(second.weights), SPANS.Raw)
        assert kept is not None
        assert len(kept.keys) == rows
        assert {type(one).__name__ for said in kept.raw for one in said} == {"Found"}
        assert "folds_seconds" in second.metrics["training"]
        assert first.state == "live"
        reasons = " ".join(project.evaluate(second.id).to_json()["reasons"])
        assert f"{rows} training rows" in reasons


STATS = DataStats(3000, 300, 300, {"bad": 1500, "great": 1500}, mean_cost=90, max_cost=256)
MACHINE = Machine(2, 16 << 30, 100 << 30, 5e11, "bf16", has_torch=True)


def _planned(base: Path, previous: Path | None = None, **config: Any) -> Plan:
    settings = TrainingConfig(method="full", **config)
    job = TrainJob("", "text-classification", Path("d"), base, Path("o"), Path("s"), previous)
    return plan("full", job, settings, resolve(settings), STATS, MACHINE)


def test_a_plan_folds_where_it_is_asked_or_time_is_left(base: Path) -> None:
    plain = _planned(base)
    assert [stage.folds for stage in plain.stages] == [0, 0]
    asked = _planned(base, folds=4)
    assert [stage.folds for stage in asked.stages] == [0, 4], "linear has folds of its own"
    more, less = asked.stages[1].estimate.seconds, plain.stages[1].estimate.seconds
    assert 3 < more / less < 6
    assert any("full is trained 4 times more" in note for note in asked.notes)
    minutes = sum(stage.estimate.seconds for stage in plain.stages) / 60
    roomy = _planned(base, time_limit=8 * minutes)
    assert [stage.folds for stage in roomy.stages] == [0, 3]
    assert [stage.folds for stage in _planned(base, time_limit=3 * minutes).stages] == [0, 0]
    late = _planned(base, time_limit=3 * minutes, folds=5)
    assert [stage.folds for stage in late.stages] == [0, 0]
    assert any("full is not trained on folds" in note for note in late.notes)
    assert [s.folds for s in _planned(base, time_limit=8 * minutes, folds=0).stages] == [0, 0]
    (update,) = _planned(base, previous=base, folds=3).stages
    assert update.folds == 0, "what it goes on from has seen the rows"


def test_what_has_seen_the_rows_is_not_folded() -> None:
    task = tasks.get("text-classification")
    assert can_be_folded("full", task)
    assert can_be_folded("lora", task)
    assert not can_be_folded("linear", task), "it has folds of its own"
    assert not any(can_be_folded(name, task) for name in ("ensemble", "self-training", "distil"))
    assert can_be_folded("head", tasks.get("token-classification"))
    assert not can_be_folded("full", tasks.get("text-generation"))


def test_objects_come_back_as_they_were(tmp_path: Path) -> None:
    raw = SPANS.example_raw(20, ("PER", "LOC"), seed=1)
    out_of_fold.keep(tmp_path, [f"row-{n}" for n in range(20)], raw)
    found = out_of_fold.read(tmp_path, SPANS.Raw)
    assert found is not None
    assert found.raw.tolist() == raw.tolist()
    assert out_of_fold.read(tmp_path) is None, "numbers are wanted"
    out_of_fold.keep(tmp_path, ["a"], np.zeros((1, 2)))
    assert out_of_fold.read(tmp_path, SPANS.Raw) is None
