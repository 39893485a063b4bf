"""Looks that a worker carries out: results are kept, and what a killed process left goes on."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from feilun import messages
from feilun.errors import AlreadyRunning, Conflict, UsageError
from feilun.pipeline import runner
from feilun.pipeline.runner import Noted
from feilun.project import Project
from feilun.project.queued import carry_out, tables_of
from feilun.types import Progress
from helpers.linear import linear_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with linear_project(tmp_path_factory.mktemp("shop")) as found:
        yield found


def test_a_look_that_a_killed_process_left_is_carried_out_and_kept_in_every_language(
    project: Project,
) -> None:
    catalog = project.workspace.store.catalog
    place = project.enqueue("plan", method="linear")
    catalog.begin_step(place, "plan")
    config = {**catalog.run(place).config, "machine": platform.node()}
    catalog.update_run(place, state="running", pid=2**22 + 1, config=config)  # nobody's
    ran = project.workspace.work(once=True, say=lambda _: None)
    assert [(one["kind"], one["code"]) for one in ran.rows] == [("plan", 0)]
    run = catalog.run(place)
    assert run.state == "finished"
    assert [(one.attempt, one.state) for one in catalog.steps(place)] == [
        (1, "interrupted"),
        (2, "finished"),
    ]
    for lang in messages.LANGUAGES:
        messages.use(lang, here_only=True)
        [table] = tables_of(run)
        assert table["columns"] == [
            messages.t(f"runs.plan_{name}", lang) for name in ("method", "why", "time", "memory")
        ]
        assert table["rows"][0][0] == "linear"
    assert not project.workspace.work(once=True, say=lambda _: None).rows
    with pytest.raises(AlreadyRunning):  # a worker that saw it wait comes too late
        carry_out(project.workspace, place)
    assert catalog.run(place) == run


def test_a_look_that_fails_says_why(project: Project) -> None:
    catalog = project.workspace.store.catalog
    place = project.enqueue("compare", options={"methods": "nonsense"})
    with pytest.raises(UsageError) as raised:
        carry_out(project.workspace, place)
    run = catalog.run(place)
    assert (run.state, run.error) == ("failed", raised.value.message())
    messages.use("zh", here_only=True)
    assert catalog.run(place).error == raised.value.message("zh")
    messages.use("en", here_only=True)
    assert [one.state for one in catalog.steps(place)] == ["failed"]


def test_what_somebody_else_carries_out_is_left_alone(project: Project) -> None:
    catalog = project.workspace.store.catalog
    place = project.enqueue("plan")
    catalog.update_run(place, state="running", pid=1)  # which lives
    with pytest.raises(AlreadyRunning):
        carry_out(project.workspace, place)
    assert catalog.run(place).state == "running"
    catalog.update_run(place, state="stopped")
    turn = project.enqueue("train")
    with pytest.raises(UsageError, match="train"):
        carry_out(project.workspace, turn)
    catalog.update_run(turn, state="stopped")


def test_a_turn_that_ended_under_a_killed_worker_is_not_done_again(project: Project) -> None:
    catalog = project.workspace.store.catalog
    place = project.enqueue("train", restart=True)
    begun = {**catalog.run(place).config, "begun": datetime.now(UTC).isoformat()}
    catalog.update_run(place, config=begun)
    run = catalog.add_run("reviews-train-1", "reviews", "train", state="running")
    error = UsageError("store.no_run", id="another")
    catalog.update_run(run.id, state="refused", error=error.sentence())
    project.workspace.work(once=True, say=lambda _: None)
    assert (catalog.run(place).state, catalog.run(place).error) == ("refused", error.message())
    messages.use("zh", here_only=True)
    assert catalog.run(place).error == error.message("zh")
    messages.use("en", here_only=True)
    assert not catalog.steps(run.id)


def test_a_turn_that_could_not_begin_says_why_in_either_language(project: Project) -> None:
    catalog = project.workspace.store.catalog
    place = project.enqueue("train")
    catalog.update_run(place, config={**catalog.run(place).config, "set": {"no.such": 1}})
    project.workspace.work(once=True, say=lambda _: None)
    assert catalog.run(place).state == "failed"
    said = {}
    for lang in messages.LANGUAGES:
        messages.use(lang, here_only=True)
        said[lang] = str(catalog.run(place).error)
    messages.use("en", here_only=True)
    assert all("no" in one for one in said.values())
    assert said["en"].isascii()
    assert not said["zh"].isascii()


def test_a_turn_that_was_stopped_goes_on_with_the_settings_that_it_had(project: Project) -> None:
    catalog = project.workspace.store.catalog
    config = project.config({"training.method": "linear", "task.feature_bits": 12})
    had = config.model_dump(mode="json")
    run = catalog.add_run("reviews-train-3", "reviews", "train", config=had, state="stopped")
    place = project.go_on(run.id)
    asked = catalog.run(place)
    assert (asked.kind, asked.config["restart"]) == ("train", False)
    assert project.config(asked.config["set"]).model_dump(mode="json") == had
    assert set(asked.config["set"]) == {"training.method", "task.feature_bits"}
    catalog.update_run(place, state="stopped")
    look = project.enqueue("plan")
    catalog.update_run(look, state="stopped")
    catalog.update_run(run.id, state="finished")
    for other in (look, run.id):  # no turn; one that has ended
        with pytest.raises(Conflict):
            project.go_on(other)


def test_the_figures_and_words_of_a_step_are_kept_and_thinned(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_POINTS", 10)
    catalog = project.workspace.store.catalog
    run = catalog.add_run("reviews-train-2", "reviews", "train", state="running")
    catalog.begin_step(run.id, "train:full")
    noted = Noted(replace(project.scope.context(), run_id=run.id), "train:full")
    for done in range(1, 101):
        note = "half" if done == 50 else ""
        noted(Progress("train", done, 100, "steps", {"loss": 1 / done}, note))
    noted.close()
    [step] = catalog.steps(run.id)
    assert step.progress is not None
    assert step.progress.done == 100
    assert 4 <= len(step.curve) <= 10
    places = [done for done, _ in step.curve]
    assert places == sorted(places)
    assert all(figures["loss"] == pytest.approx(1 / done) for done, figures in step.curve)
    gaps = {after - before for before, after in pairwise(places[1:])}
    assert len(gaps) == 1, "evenly"
    assert step.notes == ["half"]
    catalog.update_run(run.id, state="stopped")
