"""How often the test rows were asked and when they came, as the catalog tells it."""

from __future__ import annotations

from pathlib import Path

import pytest

from feilun import messages
from feilun.evaluation.consultations import Consultations
from feilun.pipeline.steps._history import columns, consultations, months
from feilun.project.project import Project
from helpers.linear import linear_project
from helpers.rows import write_reviews


def test_each_version_counts_once_and_attempts_against_what_is_live(tmp_path: Path) -> None:
    with linear_project(tmp_path, rows=120) as project:
        turned = project.run(method="linear")
        _is_told_in_each_language(project, turned.run)
        catalog = project.workspace.store.catalog
        context = project.scope.context()
        first = catalog.model_version("reviews@1")
        dataset = context.dataset(context.data_of(first))
        assert consultations(context, first, dataset, None) == Consultations(1, 1)
        for number, seed in enumerate((1, 2), 2):
            project.train(method="linear", overrides={"training.linear.strength": float(seed)})
            project.evaluate(f"reviews@{number}")
            judged = catalog.model_version(f"reviews@{number}")
            assert judged.metrics["judged_against"] == "reviews@1"
            assert judged.metrics["consultations"] == number
            asked = consultations(context, judged, dataset, "reviews@1")
            assert asked == Consultations(number, number - 1)
        project.evaluate("reviews@2")
        again = catalog.model_version("reviews@2")
        assert consultations(context, again, dataset, "reviews@1") == Consultations(3, 2)
        assert consultations(context, again, dataset, "reviews@9") == Consultations(3, 1)


def _is_told_in_each_language(project: Project, run: str) -> None:
    """What a run said while it went on is said to each reader in theirs."""
    catalog = project.workspace.store.catalog
    (trained,) = [one for one in catalog.steps(run) if one.step.startswith("train")]
    english = list(trained.notes)
    messages.use("zh")
    (trained,) = [one for one in catalog.steps(run) if one.step.startswith("train")]
    assert messages.t("training.note_features") in trained.notes
    assert len(trained.notes) == len(english)
    assert not set(trained.notes) & set(english)
    messages.use("en")


@pytest.mark.slow
def test_rows_keep_the_month_they_came_in_and_fresh_ones_begin_the_count_anew(
    tmp_path: Path,
) -> None:
    with linear_project(tmp_path, rows=120) as project:
        project.run(method="linear")
        catalog = project.workspace.store.catalog
        old = catalog.latest_data(project.name)
        assert old is not None
        project.add(write_reviews(tmp_path / "test.csv", 200, seed=9), split="test")
        data = catalog.latest_data(project.name)
        assert data is not None
        assert data.parent == old.id
        context = project.scope.context()
        dataset = context.dataset(data)
        rows = dataset.row_ids("test")
        assert set(months(context, data, rows)) == {f"{data.created:%Y-%m}"}
        assert set(columns(dataset)) == {"source", "subject", "group"}
        assert len(columns(dataset)["source"]) == len(rows)
        first = catalog.model_version("reviews@1")
        assert consultations(context, first, dataset, None).total == 1
        project.train(method="linear", overrides={"training.linear.strength": 7.0})
        fresh = catalog.model_version("reviews@2")
        assert consultations(context, fresh, dataset, "reviews@1") == Consultations(1, 1)
