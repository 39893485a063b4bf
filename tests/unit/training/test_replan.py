"""A training that is slower than planned ends in time, and as if it had been planned so."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feilun import messages
from feilun.pipeline.steps._paces import paces
from feilun.project import Workspace
from feilun.store.dataset import Dataset, DatasetWriter
from feilun.tasks import base as tasks
from feilun.training import steering
from feilun.training.job import Estimate
from feilun.training.methods import head, linear, trees
from feilun.training.replan import Bend, Replan, load, save
from feilun.types import Example, Progress, Schema
from helpers.bert import write_bert
from helpers.jobs import job_for, train, write_dataset


class Machine:
    """A clock that steps, judgements and checkpoints move on."""

    def __init__(self, plan: Replan, step: float, judging: float = 0.0, saving: float = 0.0):
        self.now, self.plan = 1000.0, plan
        self.step, self.judging, self.saving = step, judging, saving
        plan.clock = lambda: self.now

    def run(self, slower: Iterator[float] | None = None) -> int:
        """Trains to the end; the steps that were made."""
        slower = slower or itertools.repeat(1.0)
        self.plan.begin(0)
        step = 0
        while step < self.plan.end:
            step += 1
            self.now += self.step * next(slower)
            self.plan.stepped(step)
            if step in self.plan.ends or step == self.plan.end:
                self.now += self.judging
                self.plan.judged()
                self.now += self.saving
                self.plan.saved()
        return step


def plan(steps: int, seconds: float | None, epochs: int = 4, judging: float = 0.0) -> Replan:
    ends = [round(steps * (epoch + 1) / epochs) for epoch in range(epochs)]
    return Replan(steps, ends, None if seconds is None else 1000 + seconds, judging)


@pytest.mark.parametrize("slower", [1.2, 2.0, 4.0, 9.0])
def test_a_slow_machine_makes_fewer_steps_and_keeps_the_limit(slower: float) -> None:
    machine = Machine(plan(1000, 1000 + 4 * 30, judging=20), slower, 30 * slower, 2)
    made = machine.run()
    assert 1000 / slower * 0.7 <= made < 1000
    assert machine.now - 1000 <= 1.1 * 1120
    # It was no more than the limit asked for.
    assert machine.now - 1000 >= 0.85 * 1120


def test_a_machine_that_is_fast_enough_makes_all_steps() -> None:
    machine = Machine(plan(1000, 1100), 1.0, 10, 1)
    assert (machine.run(), machine.plan.bends) == (1000, [])
    machine = Machine(plan(1000, None), 50.0)
    assert machine.run() == 1000


def test_neighbours_who_come_are_met_and_who_go_are_made_use_of() -> None:
    come = Machine(plan(1000, 1000), 0.9)
    made = come.run(itertools.chain([1.0] * 500, itertools.repeat(3.0)))
    assert made < 800
    assert come.now - 1000 <= 1.1 * 1000
    gone = Machine(plan(1000, 1000), 0.9)
    back = gone.run(itertools.chain([3.0] * 100, itertools.repeat(1.0)))
    assert back > 700
    assert gone.now - 1000 <= 1.1 * 1000


def test_the_schedule_ends_where_the_training_does() -> None:
    machine = Machine(plan(1000, 500), 1.0)
    machine.run()
    places = [machine.plan.place(step) for step in range(machine.plan.end + 1)]
    assert places[0] == 0
    assert places[-1] == pytest.approx(1000)
    assert np.diff(places).min() > 0
    # Nothing jumps: a step is never worth more than the rest of the plan spread over the rest.
    assert np.diff(places).max() < 4


def test_what_was_decided_outlives_a_kill(tmp_path: Path) -> None:
    bends = [Bend(10, 10.0, 50), Bend(30, 55.5, 40)]
    save(tmp_path, "mine", bends)
    assert load(tmp_path, "mine") == bends
    assert load(tmp_path, "another") == []
    (tmp_path / "replan.json").write_text("torn {", "utf-8")
    assert load(tmp_path, "mine") == []
    # A checkpoint from before the second decision knows the first alone.
    again = Replan(100, [100], 1e12, 0.0, bends)
    again.begin(20)
    assert (again.end, again.bends) == (50, bends[:1])
    # Without a limit now, what is left of the plan is trained.
    free = Replan(100, [100], None, 0.0, bends)
    free.begin(20)
    assert (free.end, free.place(20), free.place(100)) == (100, bends[0].place + 10 * 90 / 40, 100)


@pytest.mark.slow
def test_a_fine_tuning_ends_early_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages.use("en")
    ticks = itertools.count()  # a clock that each look moves on by a second
    slow = functools.partial(steering.Replan, clock=lambda: float(next(ticks)))
    monkeypatch.setattr(steering, "Replan", slow)
    settings = {"epochs": 12, "batch_rows": 8, "learning_rate": 2e-3, "checkpoint_seconds": 1000}
    base, data = write_bert(tmp_path / "base"), write_dataset(tmp_path / "data", 120)
    job = job_for("full", data, tmp_path, base, settings=settings, deadline=70.0)
    seen: list[Progress] = []
    found = train(job, seen.append)
    figures = found.figures
    assert figures["steps"] == figures["steps_allowed"] < figures["steps_planned"]
    assert next(ticks) <= 77
    [said] = [note for note in found.notes if "time limit ended the training" in note]
    assert f"after {figures['steps']:.0f} of {figures['steps_planned']:.0f} planned steps" in said
    assert any("at this pace the time limit ends it" in one.note for one in seen)
    rates = [one.figures["learning_rate"] for one in seen if "learning_rate" in one.figures]
    assert rates[-1] < 0.1 * max(rates)
    assert figures["validation_accuracy"] > 0


def test_a_head_embeds_what_there_is_time_for(tmp_path: Path) -> None:
    messages.use("en")
    base, data = write_bert(tmp_path / "base"), write_dataset(tmp_path / "data", 400)
    job = job_for("head", data, tmp_path, base, settings={"augment": "off"}, deadline=0.0)
    found = train(job)
    total = Dataset(data).size("train") + Dataset(data).size("validation")
    assert found.figures["rows"] == head._FEWEST < total
    assert found.figures["cut_short"] == 1
    assert any(f"is enough for {head._FEWEST} of" in note for note in found.notes)


def test_the_next_plan_knows_what_the_last_one_took(tmp_path: Path) -> None:
    done = {"seconds": 0.0}
    with Workspace(tmp_path) as workspace:
        workspace.init("t")
        catalog = workspace.store.catalog
        cases: dict[str, tuple[float, dict[str, Any]]] = {
            "slower": (1e-9, done),
            "faster": (1e9, done),
            "ended": (1e-9, done | {"steps_allowed": 5, "steps_planned": 9}),
            "fewer": (1e-9, done | {"cut_short": 1.0}),
            "resumed": (1e-9, done | {"resumed_from_step": 4}),
            "reused": (1e-9, {"seconds": 60.0}),
        }
        stages = [{"method": name, "estimated": told} for name, (told, _) in cases.items()]
        plan = {"machine": {"cores": 2}, "rungs": stages}
        catalog.add_run("r", "t", "run", plan=plan)
        for name, (_, figures) in cases.items():
            catalog.begin_step("r", f"train:{name}")
            catalog.finish_step("r", f"train:{name}", {"figures": figures})
        assert paces(catalog, 2) == {"slower": 10.0, "faster": 0.1}  # ten times at the most
        assert paces(catalog, 4) == {}


@pytest.mark.slow
def test_a_stage_without_time_is_left_out_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages.use("en")
    for one in (linear, trees):  # told beforehand to take nothing: both are planned
        monkeypatch.setattr(one, "estimate", lambda *_: Estimate(1, 0.0))
    draw = np.random.default_rng(1)
    rows = [
        {"a": float(a), "b": float(b), "label": "yes" if a > b else "no"}
        for a, b in draw.normal(size=(200, 2))
    ]
    with Workspace(tmp_path) as workspace:
        project = workspace.init("t", task="tabular-classification")
        project.add(rows)
        done = project.run(overrides={"training": {"time_limit": 0.0001}})
        assert [stage.method for stage in done.stages] == ["linear"]
        assert any("trees was left out" in note for note in done.notes)


def test_trees_end_with_the_time(tmp_path: Path) -> None:
    messages.use("en")
    draw = np.random.default_rng(0)
    rows = [{"a": float(a), "b": float(b)} for a, b in draw.normal(size=(300, 2))]
    bound = tasks.get("tabular-classification").bound(
        {"inputs": [["a", "number"], ["b", "number"]]}
    )
    with DatasetWriter(tmp_path / "data", {"a": "number", "b": "number"}) as writer:
        for number, row in enumerate(rows):
            split = ("train", "train", "validation", "test")[number % 4]
            label = "yes" if row["a"] * row["b"] > 0 else "no"
            writer.add(Example(f"row-{number}", row, label, split))
        writer.close(
            Schema(bound.name, ("no", "yes"), {"inputs": [["a", "number"], ["b", "number"]]})
        )
    job = job_for("trees", tmp_path / "data", tmp_path, deadline=0.0)
    job = replace(
        job, task=bound.name, task_settings={"inputs": [["a", "number"], ["b", "number"]]}
    )
    found = train(job)
    assert (found.figures["trees"], found.figures["cut_short"]) == (2, 1)  # one a booster
    assert any("ended the training after 2 trees" in note for note in found.notes)
