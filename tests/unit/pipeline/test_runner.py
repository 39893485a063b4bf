"""How a run is named: the same command finds the same run, `restart` a new one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from feilun.pipeline.runner import identity
from feilun.pipeline.turn import BODIES
from feilun.project import Project
from helpers.linear import answered, linear_project
from helpers.rows import write_reviews


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with linear_project(tmp_path) as project:
        yield project


def _name(project: Project, kind: Any = "run", restart: bool = False, **changes: Any) -> str:
    config = project.config(changes).model_dump(mode="json")
    return identity(project.workspace.store, kind, project.name, config, restart=restart)


def test_the_same_command_finds_the_same_run(project: Project) -> None:
    catalog = project.workspace.store.catalog
    first = _name(project)
    assert first == _name(project)
    catalog.add_run(first, project.name, "run")
    assert _name(project) == first


def test_what_is_learned_from_and_how_makes_another_run(project: Project, tmp_path: Path) -> None:
    first = _name(project)
    assert _name(project, "train") != first
    assert _name(project, **{"training.seed": 3}) != first
    project.add(write_reviews(tmp_path / "more.csv", 70, seed=8))
    assert _name(project) != first


def test_restarts_are_numbered_and_the_newest_goes_on(project: Project) -> None:
    catalog = project.workspace.store.catalog
    first = _name(project, restart=True)
    for number in range(2, 12):  # beyond nine, where names no longer sort as text
        catalog.add_run(_name(project), project.name, "run")
        name = _name(project, restart=True)
        assert name == f"{first}.{number}"
        catalog.add_run(name, project.name, "run")
        assert _name(project) == name


def test_an_unfinished_update_is_found_though_its_corrections_are_used(project: Project) -> None:
    store = project.workspace.store
    config = project.config().model_dump(mode="json")
    name = _name(project, "update")
    store.catalog.add_run(name, project.name, "update", config=config)
    store.catalog.begin_step(name, "collect")
    store.catalog.update_run(name, state="failed")
    store.catalog.add_model_version(project.name, "linear", weights="sha256:0")
    (call, truth), *_ = answered(project, 1)
    store.ledger.add_feedback(call, 0, truth, source="operator")
    assert _name(project, "update") == name
    store.catalog.update_run(name, state="finished")
    assert _name(project, "update") != name


class _Script:
    """Answers every step from a list of what is promoted by the gate and by the golden requests."""

    def __init__(self, *stages: tuple[str, bool, bool]) -> None:
        self._stages = {method: (gate, golden) for method, gate, golden in stages}
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((name, arguments))
        kind, _, method = name.partition(":")
        if kind == "plan":
            return {"data_version": "d:1", "rungs": [{"method": m} for m in self._stages]}
        if kind == "train":
            return {"version": method}
        if kind == "evaluate":
            return {"promote": self._stages[method][0], "reasons": []}
        if kind == "deploy":
            return {"promoted": self._stages[method][1]}
        return {}


def test_a_stage_is_held_against_the_best_that_really_went_live() -> None:
    script = _Script(("linear", True, True), ("head", True, False), ("full", True, True))
    turned = BODIES["run"]("id", script)
    judged = {name: given for name, given in script.asked if name.startswith("evaluate")}
    assert judged["evaluate:linear"]["baseline"] is None
    assert judged["evaluate:head"] == {
        "version": "head",
        "baseline": "linear",
        "below": "linear",
        "decides": True,
    }
    # head passed the gate and failed the golden requests: it is nothing to beat
    assert judged["evaluate:full"]["below"] == "linear"
    assert turned["live"] == "full"
    assert [stage.get("promoted") for stage in turned["rungs"]] == [True, False, True]


def test_a_refused_stage_is_climbed_past_and_not_deployed() -> None:
    script = _Script(("linear", False, True), ("head", True, True))
    turned = BODIES["run"]("id", script)
    assert "deploy:linear" not in [name for name, _ in script.asked]
    assert turned["live"] == "head"
