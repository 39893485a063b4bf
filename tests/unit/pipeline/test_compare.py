"""Methods side by side: trained on the same rows, judged on rows that decide nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from feilun import messages
from feilun.errors import EnvironmentProblem, InvalidData, UsageError
from feilun.pipeline.steps import compare as step
from feilun.project import Project, Workspace
from feilun.training.job import Report, TrainJob, TrainResult
from feilun.training.settings import methods
from feilun.types import Progress
from helpers.bert import write_bert
from helpers.jobs import train
from helpers.linear import linear_project

FAST = 'epochs = 1\nlearning_rate = 1e-2\nprecision = "fp32"'


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("compare")
    base = write_bert(folder / "bert")
    with linear_project(folder, rows=120) as made:
        text = made.file.read_text("utf-8")
        text = text.replace("[project]\n", f'[project]\nbase = "{base}"\n', 1)
        made.file.write_text(text.replace("[training]\n", f"[training]\n{FAST}\n", 1), "utf-8")
        yield made


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Children take seconds to import torch; the same training runs here. What a test trained."""
    trained: list[str] = []

    def run(job: TrainJob, report: Report) -> TrainResult:
        trained.append(job.method)
        return train(job, report)

    monkeypatch.setattr(step, "run_child", run)
    return trained


def test_methods_stand_in_one_table(project: Project, in_this_process: list[str]) -> None:
    seen: list[Progress] = []
    view = project.compare("linear, lora,prefix-tuning,adalora", report=seen.append)
    found = {one.method: one for one in view.found.methods}
    assert in_this_process == ["linear", "adalora", "lora", "prefix-tuning"]
    assert view.found.reference == "linear"
    assert found["linear"].gain is None
    for name in ("lora", "prefix-tuning", "adalora"):
        one = found[name]
        assert one.score is not None
        assert one.gain is not None
        assert one.score.low <= one.score.value <= one.score.high
        assert one.gain.low <= one.gain.value <= one.gain.high
        assert found["linear"].score is not None
        assert one.gain.value == pytest.approx(one.score.value - found["linear"].score.value)
        assert one.trained
        assert one.seconds
    assert found["prefix-tuning"].trained < found["adalora"].trained  # type: ignore[operator]
    values = [one.score.value for one in view.found.methods if one.score]
    assert values == sorted(values, reverse=True)
    counts = project.scope.data().counts
    assert view.found.rows == sum(counts["validation"].values())
    assert view.found.train == sum(counts["train"].values())
    assert [one.done for one in seen if one.step == "compare"] == [0, 1, 2, 3, 4]
    # Nothing of it is a version, and no test row was asked.
    assert project.models() == []
    left = list((project.file.parent / "comparisons").rglob("*"))
    assert [one.name for one in left if one.is_file()] == ["comparison.json"]


@pytest.mark.slow
def test_the_same_is_not_trained_again(project: Project, in_this_process: list[str]) -> None:
    first = project.compare(["linear", "ia3"])
    again = project.compare(["ia3", "linear"])
    assert in_this_process == ["linear", "ia3"]
    assert again.found.again
    assert again.found.methods == first.found.methods
    assert any("--restart" in note for table in again.tables() for note in table.notes)
    project.compare(["ia3", "linear"], restart=True)
    assert len(in_this_process) == 4


@pytest.mark.slow
def test_one_that_fails_ends_nothing_and_is_tried_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(job: TrainJob, report: Report) -> TrainResult:
        if job.method == "bottleneck":
            raise EnvironmentProblem("training.no_memory", method=job.method)
        return train(job, report)

    monkeypatch.setattr(step, "run_child", run)
    view = project.compare("linear,bottleneck")
    best, failed = view.found.methods
    assert (best.method, best.failed) == ("linear", False)
    assert failed.failed
    assert "memory" in failed.reason
    assert failed.reason in view.tables()[1].rows[0]
    monkeypatch.setattr(step, "run_child", train)
    assert all(one.score for one in project.compare("linear,bottleneck").found.methods)


@pytest.mark.slow
def test_an_interrupted_comparison_goes_on(
    project: Project, monkeypatch: pytest.MonkeyPatch, in_this_process: list[str]
) -> None:
    def run(job: TrainJob, report: Report) -> TrainResult:
        if job.method == "dora":
            raise KeyboardInterrupt
        return train(job, report)

    with monkeypatch.context() as patch:
        patch.setattr(step, "run_child", run)
        with pytest.raises(KeyboardInterrupt):
            project.compare("linear,dora")
    view = project.compare("linear,dora")
    assert in_this_process == ["dora"]
    assert all(one.score for one in view.found.methods)


def test_what_cannot_learn_the_rows_is_listed_with_its_reason(project: Project) -> None:
    view = project.compare("linear,crf,theta,ensemble,dpo", reference="linear")
    left = {one.method: one.reason for one in view.found.methods if not one.score}
    assert set(left) == {"crf", "theta", "ensemble", "dpo"}
    assert all(left.values())
    entries, others = step._entries(project.scope.context(), ())
    assert all(one.reason for one in others)
    assert sorted([one.name for one in entries] + [one.method for one in others]) == sorted(
        methods()
    ), "every method has its line"
    messages.use("zh")
    assert view.tables()[1].title == "未参与比较"
    messages.use("en")
    plain = json.loads(json.dumps(view.to_json()))
    assert plain["methods"][0]["score"]["value"] == view.found.methods[0].score.value  # type: ignore[union-attr]


def test_bad_requests_say_what_is_allowed(project: Project, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="adalora"):
        project.compare("lroa")
    with pytest.raises(UsageError, match="no method"):
        project.compare(" , ")
    with pytest.raises(UsageError, match="linear"):
        project.compare("linear", reference="lora")
    with pytest.raises(UsageError, match="theta"):
        project.compare("theta")
    with Workspace(tmp_path) as workspace, pytest.raises(InvalidData, match="validation"):
        workspace.init("empty").compare("linear")
