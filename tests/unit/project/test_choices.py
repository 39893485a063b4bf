"""From settings to answers: a target, costs and abstaining, through compression, evaluation,
deployment and the server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from feilun import messages
from feilun.engines.card import read_card
from feilun.errors import InvalidSettings
from feilun.families.classes.point import point_of
from feilun.families.classes.rule import PLAIN, Rule
from feilun.project import Project
from feilun.serving.process import temporary_server
from helpers.linear import linear_project
from helpers.rows import write_reviews

TABLES = """
[evaluation.target]
label = "bad"
missed_at_most = 0.2
accuracy_at_least = 0.5
[evaluation.costs]
label = "bad"
missed = 10
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    messages.use("en")
    with linear_project(tmp_path_factory.mktemp("choices")) as project:
        text = project.file.read_text("utf-8")
        project.file.write_text(text + "\n[task]\nfeature_bits = 12\n", "utf-8")
        project.add(write_reviews(project.file.parent / "noisy.csv", 200, seed=2, noise=0.3))
        project.train(method="linear")
        project.compress()
        yield project


@pytest.fixture
def changed(project: Project) -> Iterator[Project]:
    """The project with `TABLES` in its file for the time of a test."""
    kept = project.file.read_text("utf-8")
    project.file.write_text(kept + TABLES, "utf-8")
    yield project
    project.file.write_text(kept, "utf-8")


def _rule(project: Project) -> Rule:
    record = project.model().record
    artifact = record.artifact()
    assert artifact is not None
    return point_of(read_card(project.workspace.store.artifacts.path(artifact)).point).rule


def test_without_settings_the_card_is_as_it_was(project: Project) -> None:
    assert _rule(project) == PLAIN
    record = project.model().record
    folder = project.workspace.store.artifacts.path(record.artifact() or "")
    assert "rule" not in json.loads((folder / "feilun.json").read_text("utf-8"))


def test_costs_set_a_threshold_that_travels_in_the_card(changed: Project) -> None:
    packed = changed.compress()
    rule = _rule(changed)
    assert rule.label == "bad"
    assert rule.threshold < 0.5
    assert any("answered from a probability of" in reason for reason in packed.reasons)
    found = changed.evaluate()
    assert "asked" in found.verdict
    assert "by your costs its errors then cost" in found.verdict
    report = json.loads(_report(changed))
    assert report["evaluation"]["choice"]["costs"]["threshold"] == pytest.approx(rule.threshold)
    assert report["evaluation"]["choice"]["rule"]["label"] == "bad"


def test_abstaining_is_set_on_validation_and_served(project: Project) -> None:
    kept = project.file.read_text("utf-8")
    text = kept.replace("[serving]", "[serving]\nabstain_below = 0.999999")
    project.file.write_text(text, "utf-8")
    try:
        project.compress()
        assert _rule(project) == Rule(abstain_below=0.999999)
        assert project.predict("tea").outputs[0]["abstained"] is True
        settings = project.workspace.settings
        with temporary_server(project.workspace.folder, settings) as address:
            project.deploy()
            key = project.workspace.create_key("Ada")
            answer = httpx.post(
                f"{address}/v1/predict",
                json={"inputs": ["tea"], "explain": True},
                headers={"authorization": f"Bearer {key.secret}"},
                trust_env=False,
            ).json()
        assert answer["outputs"][0]["abstained"] is True
        assert answer["outputs"][0]["explanation"]["method"] == "exact"
        found = project.evaluate()
        assert "It is the version that answers now" in found.verdict
        assert "to a person" in found.verdict
        assert not any("no live version" in reason for reason in found.reasons)
    finally:
        project.file.write_text(kept, "utf-8")


def test_errors_in_the_report_are_explained(project: Project) -> None:
    project.evaluate()
    misses = json.loads(_report(project))["evaluation"]["misses"]
    assert misses
    for miss in misses:
        assert any(weight for _, _, weight in miss["shades"])
        assert all(end <= len(miss["text"]) for _, end, _ in miss["shades"])


def test_a_label_that_is_not_there_is_refused(project: Project) -> None:
    kept = project.file.read_text("utf-8")
    for table in ("[evaluation.costs]", "[evaluation.target]\nmissed_at_most = 0.1"):
        project.file.write_text(f'{kept}\n{table}\nlabel = "awful"\n', "utf-8")
        try:
            with pytest.raises(InvalidSettings, match="awful"):
                project.compress() if "costs" in table else project.evaluate()
        finally:
            project.file.write_text(kept, "utf-8")


def test_a_target_without_its_label_is_refused(project: Project) -> None:
    with pytest.raises(InvalidSettings, match="need the label"):
        project.config({"evaluation.target": {"missed_at_most": 0.1}})


def _report(project: Project) -> str:
    store = project.workspace.store
    ref = store.catalog.model_version(project.model().id).report
    assert ref is not None
    return (Path(store.artifacts.path(ref)) / "report.json").read_text("utf-8")
