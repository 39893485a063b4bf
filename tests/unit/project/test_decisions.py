"""The report of a decision is kept, and what a report advises fits what the version is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from feilun import messages
from feilun.evaluation.founder import going_on
from feilun.evaluation.gate import Decision
from feilun.evaluation.result import Evaluation
from feilun.project import Project
from helpers.linear import linear_project
from helpers.rows import write_reviews


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with linear_project(tmp_path, rows=120) as made:
        yield made


def _advice(project: Project, ref: str, lang: messages.Language) -> str:
    report = json.loads((project.workspace.store.artifacts.path(ref) / "report.json").read_text())
    evaluation = Evaluation.from_json(report["evaluation"])
    return going_on(evaluation, Decision.from_json(report["decision"]), lang)


def test_a_look_leaves_the_report_of_the_decision(project: Project) -> None:
    turned = project.run(method="linear")
    assert turned.report is not None
    assert turned.report.name == "reviews@1-decision.html"
    decided = turned.report.read_bytes()
    project.add(write_reviews(project.file.parent / "t.csv", 90, seed=3), split="test")
    looked = project.evaluate()
    assert looked.report is not None
    assert looked.report.name == "reviews@1.html"
    assert turned.report.read_bytes() == decided != looked.report.read_bytes()
    assert any(str(turned.report) in reason for reason in looked.reasons)
    version = project.model("reviews@1").record
    messages.use("zh", here_only=True)
    assert version.told == messages.t("training.why_named", "zh")  # whatever it was kept in
    messages.use("en", here_only=True)
    assert version.told == version.reason == messages.t("training.why_named", "en")
    (made,) = version.metrics["decisions"]
    assert (made["promote"], made["judged_on"], made["judged_against"]) == (True, "reviews:1", None)
    assert version.report != made["report"]
    # gc lets the artifact be: the version refers to it
    assert made["report"] in project.workspace.store.catalog.references()
    # Shown again, the run shows the same page; judged anew by a turn, it gets another.
    assert project.run(method="linear", overrides={"evaluation.resamples": 250}).report != (
        turned.report
    )
    assert turned.report.read_bytes() == decided
    assert sorted(page.name for page in turned.report.parent.glob("*.html")) == [
        "reviews@1-decision-2.html",
        "reviews@1-decision.html",
        "reviews@1.html",
    ]


@pytest.mark.slow
def test_what_is_advised_fits_the_state(project: Project) -> None:
    project.run(method="linear")
    version = project.model("reviews@1").record
    (made,) = version.metrics["decisions"]
    assert "feilun deploy" not in _advice(project, made["report"], "en")
    assert "goes live now" in _advice(project, made["report"], "en")
    assert "随即上线" in _advice(project, made["report"], "zh")
    assert "feilun deploy" not in project.evaluate().verdict, "it is live"
    # A candidate that passes is put live by a command of its own.
    other = {"training.linear.strength": 0.5, "evaluation.margin": 0.4}
    project.train(method="linear", overrides=other)
    project.file.write_text(
        project.file.read_text("utf-8") + "\n[evaluation]\nmargin = 0.4\n", "utf-8"
    )
    candidate = project.evaluate("reviews@2")
    assert ("feilun deploy reviews@2" in candidate.verdict) == candidate.promote
    project.deploy("reviews@2", force=True, reason="test")
    assert "feilun deploy" not in project.evaluate("reviews@2").verdict
