"""What was done before: equal inputs give the same version, refused corrections count on."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from feilun.pipeline.lineage import to_learn
from feilun.pipeline.steps.reconsider import reconsider
from feilun.project import Project
from feilun.project.results import Turned
from helpers.linear import answered, linear_project
from helpers.rows import reviews, write_reviews


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with linear_project(tmp_path, rows=120) as made:
        yield made


def _shown(result: Turned) -> str:
    return " ".join(note for table in result.tables() for note in table.notes)


def _corrected(project: Project, count: int, seed: int) -> None:
    """So many corrections, all wrong: what learns them must get worse."""
    for call, truth in answered(project, count, seed=seed):
        wrong = "bad" if truth == "great" else "great"
        project.workspace.store.ledger.add_feedback(call, 0, wrong, source="operator")


def test_equal_inputs_give_the_same_version_and_no_attempt(project: Project) -> None:
    catalog = project.workspace.store.catalog
    project.run(method="linear", overrides={"training.linear.strength": 1.0})
    other = {"training.linear.strength": 30.0}
    tried = project.run(method="linear", overrides=other)
    assert tried.stages[0].version == "reviews@2"
    counted = catalog.model_version("reviews@2").metrics["consultations"]
    # A setting that has nothing to do with this version: it is judged again, that is all.
    again = project.run(method="linear", overrides=other | {"evaluation.resamples": 300})
    assert tried.run != again.run
    assert [stage.version for stage in again.stages] == ["reviews@2"]
    assert "counts as no new attempt" in _shown(again)
    assert catalog.model_version("reviews@2").metrics["consultations"] == counted
    assert len(catalog.model_versions("reviews")) == 2
    # New test rows make no other version either, and judge the one there is.
    project.add(write_reviews(project.file.parent / "t.csv", 60, seed=3), split="test")
    judged = project.run(method="linear", overrides=other)
    assert [stage.version for stage in judged.stages] == ["reviews@2"]
    assert catalog.model_version("reviews@2").metrics["judged_on"] == "reviews:2"


@pytest.mark.slow
def test_what_comes_after_training_makes_a_version_of_the_same_weights(project: Project) -> None:
    catalog = project.workspace.store.catalog
    project.run(method="linear")
    changed = project.run(method="linear", overrides={"serving.abstain_below": 0.6})
    assert [stage.version for stage in changed.stages] == ["reviews@2"]
    first, second = (catalog.model_version(f"reviews@{n}") for n in (1, 2))
    assert first.weights == second.weights
    assert first.variants != second.variants
    assert "the weights are those of reviews@1" in _shown(changed)
    assert second.metrics["consultations"] == 1, "the same weights were asked before"


def test_begun_anew_everything_is_done_anew(project: Project) -> None:
    project.train(method="linear")
    trained = project.train(method="linear", restart=True)
    assert [stage.version for stage in trained.stages] == ["reviews@2"]


@pytest.mark.slow
def test_the_live_version_stays_live(project: Project) -> None:
    project.run(method="linear")
    again = project.run(method="linear", overrides={"evaluation.resamples": 300})
    assert [(stage.version, stage.already) for stage in again.stages] == [("reviews@1", True)]
    assert "stays live" in str(again.tables()[0].rows)


@pytest.mark.slow
def test_corrections_of_a_refused_update_count_for_the_next(project: Project) -> None:
    store = project.workspace.store
    project.run(method="linear")
    need = {"update.min_corrections": 40}
    _corrected(project, 60, seed=11)
    refused = project.update(overrides=need)
    assert not refused.promoted
    assert refused.stages[0].version == "reviews@2"
    assert "60 corrections stay in reviews:2 and count for the next update" in _shown(refused)
    assert store.ledger.waiting("reviews") == 0
    assert project.workspace.status().projects[0]["corrections"] == 60
    # A few more are enough: the others are still to be learned.
    _corrected(project, 12, seed=12)
    following = project.update(overrides=need)
    assert following.data_version == "reviews:3"
    assert [stage.version for stage in following.stages] == ["reviews@3"]
    assert "60 of these corrections come from updates that did not go live" in _shown(following)
    assert "reviews:3: 72 pieces of feedback" in _shown(following)
    # What goes on from weights learns six old rows beside each correction, one beside any other.
    catalog = store.catalog
    live = catalog.model_version("reviews@1")

    def beside(asked: float | None = None) -> float:
        latest = catalog.latest_data("reviews")
        assert latest is not None
        return to_learn(catalog, latest, live, asked)[1]

    assert beside() == 6.0
    assert beside(2.5) == 2.5
    project.add(write_reviews(project.file.parent / "more.csv", 72, seed=21))
    assert beside() == pytest.approx(3.5, abs=0.1)
    # Once a version that learned them goes live they are done with.
    store.catalog.set_live("reviews", "reviews@3", reason="", actor="test")
    done = project.update(overrides=need)
    assert not done.stages
    assert done.reason.startswith("0 corrections so far")


_ABOUT = ["kettle", "lamp", "chair", "parcel", "driver", "box", "lid", "ribbon", "colour", "label"]
_ABOUT += ["cup", "handle", "spout", "shelf", "garden", "brother", "kitchen", "morning", "window"]


def _in_new_words(rows: int, seed: int) -> list[tuple[str, str]]:
    draw = random.Random(seed)
    words = [("brilliant", "great"), ("dreadful", "bad")]
    about = [" ".join(draw.sample(_ABOUT, 6)) for _ in range(rows)]
    return [(f"{words[n % 2][0]} {text} {n}", words[n % 2][1]) for n, text in enumerate(about)]


@pytest.mark.slow
def test_what_was_refused_is_judged_again_on_what_customers_ask_now(project: Project) -> None:
    """It knows words that no test row had when it was refused."""
    catalog = project.workspace.store.catalog
    project.run(method="linear")
    turned_round = [(text, "bad") for text, label in reviews(120, 9) if label == "great"]
    rows = [*_in_new_words(80, 1), *turned_round[:40]]
    project.add([{"text": text, "label": label} for text, label in rows], split="train")
    assert not project.run(method="linear").promoted
    assert catalog.model_version("reviews@2").state == "refused"
    few = project.scope.context()
    assert reconsider(few) == {"version": None, "rows": 0}, "nothing has come since"
    truth = dict(answered(project, 90, rows=_in_new_words(90, 2)))
    for drawn in project.review(60, drawn_only=True):
        drawn.label(truth[drawn.prediction.prediction_id])
    for item in project.review(90):
        item.label(truth[item.prediction.prediction_id])
    turned = project.update(overrides={"update.min_corrections": 3})
    assert [stage.version for stage in turned.stages] == ["reviews@2", "reviews@3"], turned
    assert turned.stages[0].promoted, turned.stages[0].reasons
    assert "reviews@2 was refused before and is judged again" in _shown(turned)
    updated = catalog.model_version(turned.stages[1].version)
    assert updated.parent == "reviews@2", "the update goes on from what is live by now"
    assert len(turned.stages) == 2
