"""Every version is judged on the newest frozen test rows, whatever it was trained on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from feilun.data.sources.base import ExampleSource
from feilun.data.versions import build
from feilun.errors import InvalidData
from feilun.pipeline.steps._judged import judged_rows
from feilun.project import Workspace
from feilun.store.dataset import Dataset
from feilun.types import Example
from helpers.linear import linear_project
from helpers.rows import reviews, write_reviews


@pytest.mark.slow
def test_new_test_rows_judge_the_versions_that_are_there(tmp_path: Path) -> None:
    with linear_project(tmp_path, rows=120) as project:
        project.run(method="linear")
        before = project.evaluate()
        assert before.data == "reviews:1"
        project.add(write_reviews(tmp_path / "test.csv", 200, seed=9), split="test")
        catalog = project.workspace.store.catalog
        there = sum(catalog.data_version("reviews:2").counts["test"].values())
        after = project.evaluate()
        assert (after.data, after.rows) == ("reviews:2", there)
        assert after.rows > before.rows + 100
        assert f"on the {there} test rows of reviews:2" in after.tables()[0].title
        first = catalog.model_version("reviews@1")
        assert first.metrics["judged_on"] == "reviews:2"
        assert first.report is not None
        report = json.loads(
            (project.workspace.store.artifacts.path(first.report) / "report.json").read_text()
        )
        assert report["facts"]["data"]["version"] == "reviews:1"
        assert report["facts"]["data"]["judged"] == "reviews:2"
        assert report["facts"]["data"]["judged_rows"] == there
        # The gate compares the next version with the old one on the very same rows.
        turned = project.run(method="linear", overrides={"training.linear.strength": 2.0})
        assert any(f"the {there} test rows of reviews:2" in note for note in turned.notes)
        assert any(f"{there} test rows reviews@2" in why for why in turned.stages[0].reasons)


def test_rows_that_a_version_learned_do_not_judge_it(tmp_path: Path) -> None:
    more = write_reviews(tmp_path / "more.csv", 90, seed=4)
    with linear_project(tmp_path, rows=120) as project:
        project.add(more, split="train")
        project.train(method="linear")
        # The rows go and come again, this time to judge: the version has learned them.
        project.use_data("1")
        project.add(more, split="test")
        catalog, context = project.workspace.store.catalog, project.scope.context()
        data = catalog.latest_data(project.name)
        assert data is not None
        whole = sum(data.counts["test"].values())
        learned = project.evaluate("reviews@1")
        assert learned.data == data.id
        assert learned.rows <= whole - 80
        assert any(f"{whole - learned.rows} test rows were left out" in r for r in learned.reasons)
        rows = judged_rows(context, data, [catalog.model_version("reviews@1")])
        assert rows.left_out == whole - learned.rows == whole - len(rows.items("test"))
        assert len(rows.labels("test")) == len(rows.row_ids("test")) == learned.rows
        project.train(method="linear")
        assert project.evaluate("reviews@2").rows == whole, "it has not seen them"


def test_where_none_is_left_it_is_said(tmp_path: Path) -> None:
    more = write_reviews(tmp_path / "more.csv", 40, seed=4)
    with Workspace(tmp_path) as workspace:
        project = workspace.init("reviews")
        text = project.file.read_text("utf-8")
        project.file.write_text(text + "\n[data]\ntest = 0.0\n", "utf-8")
        project.add(write_reviews(tmp_path / "reviews.csv", 60))
        project.add(more, split="train")
        project.train(method="linear")
        project.use_data("1")
        project.add(more, split="test")
        with pytest.raises(InvalidData, match="all 40 test rows of reviews:4") as caught:
            project.evaluate()
        assert "--split test" in caught.value.hint()


@pytest.mark.slow
def test_corrections_that_an_earlier_version_put_among_the_test_rows_do_not_judge(
    tmp_path: Path,
) -> None:
    with linear_project(tmp_path, rows=120) as project:
        project.run(method="linear")
        catalog, context = project.workspace.store.catalog, project.scope.context()
        first = catalog.latest_data(project.name)
        assert first is not None
        artifacts = project.workspace.store.artifacts
        said = [Example(f"f{i}", text, label) for i, (text, label) in enumerate(reviews(30, 8))]
        out = artifacts.new()
        # As versions up to 0.1 wrote them.
        built = build(
            [ExampleSource("feedback", said, split="test")],
            task=context.task,
            settings=context.config.data,
            previous=Dataset(artifacts.path(first.artifact)),
            out=out,
        )
        ref = project.workspace.store.publish(out, "data").ref
        counts = built.to_json()["counts"]
        second = catalog.add_data_version(
            project.name, ref, "feedback", parent=first.id, counts=counts, roles=first.roles
        )
        rows = judged_rows(context, second, [catalog.model_version("reviews@1")])
        corrected = sum(counts["test"].values()) - sum(first.counts["test"].values())
        assert (rows.selected, rows.left_out) == (corrected, 0)
        assert corrected > 20
        found = project.evaluate()
        assert found.rows == sum(first.counts["test"].values())
        assert any(f"{corrected} test rows of an earlier data version" in r for r in found.reasons)
