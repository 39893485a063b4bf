"""Runs side by side: differences to the baseline, and the settings that made them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from feilun.errors import NotFound, UsageError
from feilun.project import Project, Workspace


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Three runs as a turn leaves them; the third was judged on other rows."""
    with Workspace(tmp_path) as workspace:
        made = workspace.init("reviews")
        catalog = workspace.store.catalog
        for number, (accuracy, rows) in enumerate([(0.8, "1"), (0.85, "1"), (0.9, "2")], 1):
            config = {"training": {"method": "linear", "seed": number}, "task": {"bits": [1, 2]}}
            run = catalog.add_run(f"run-{number}", "reviews", "run", config=config)
            catalog.update_run(run.id, state="running")
            catalog.update_run(run.id, state="finished", result={"data_version": "reviews:1"})
            version = catalog.add_model_version("reviews", "linear", run_id=run.id)
            metrics: dict[str, Any] = {
                "primary": "accuracy",
                "judged_on": f"reviews:{rows}",
                "test": {
                    "f1": {"value": 0.5, "low": 0.4, "high": 0.6},
                    "accuracy": {"value": accuracy, "low": accuracy - 0.1, "high": 1.0},
                },
            }
            catalog.update_model_version(version.id, metrics=metrics)
        yield made


def test_scores_are_compared_with_the_baseline(project: Project) -> None:
    found = project.compare_runs("run-1", "run-2", "run-3")
    assert [one["run"] for one in found.runs] == ["run-1", "run-2", "run-3"]
    assert found.runs[1]["scores"]["accuracy"]["difference"] == pytest.approx(0.05)
    assert "difference" not in found.runs[2]["scores"]["accuracy"]  # of other rows
    assert list(found.runs[0]["scores"]) == ["accuracy", "f1"]  # what decides comes first
    assert found.settings == {"training.seed": [1, 2, 3]}
    words = [" | ".join(row) for table in found.tables() for row in table.rows]
    scores = "0.800 [0.700, 1.000] | 0.850 [0.750, 1.000] +0.050 | 0.900 [0.800, 1.000]"
    assert f"accuracy | {scores}" in words


def test_a_baseline_stays_pinned(project: Project) -> None:
    project.pin_run("run-2")
    found = project.compare_runs("run-1")
    assert (found.baseline, [one["run"] for one in found.runs]) == ("run-2", ["run-2", "run-1"])
    assert project.compare_runs("run-1", baseline="run-3").baseline == "run-3"
    assert any(act["action"] == "run.pin" for act in project.workspace.acts.list(5).rows)
    project.pin_run(None)
    assert project.compare_runs("run-1").baseline == "run-1"


def test_what_cannot_be_compared(project: Project) -> None:
    with pytest.raises(UsageError):
        project.compare_runs()
    with pytest.raises(UsageError):
        project.compare_runs(*(f"run-{number}" for number in range(9)))
    other = project.workspace.init("other")
    for wrong in (lambda: other.compare_runs("run-1"), lambda: project.pin_run("nothing")):
        with pytest.raises(NotFound):
            wrong()
