"""A search: what it asks for, what it keeps, how it is shared and how it goes on."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from feilun.store.store import open_store
from feilun.tasks import base as tasks
from feilun.training.search import Arm, Asked, Search
from feilun.training.settings import MethodSettings, method, methods
from feilun.training.space import changed, space_of, with_default
from feilun.types import OneOf, Real, Whole
from helpers.forked import Forked

QUICK = Arm("linear", None, {"min_rows": Whole(1, 8)}, {"min_rows": 2})
DEAR = Arm(
    "full",
    "minilm",
    {"learning_rate": Real(1e-5, 1e-3, log=True), "batch_rows": OneOf((8, 64))},
    {"learning_rate": 1e-4, "batch_rows": 64},
)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'search.db'}"


def _made(asked: Asked) -> None:
    """A training whose score is known: 1 where the learning rate is 3e-4."""
    if asked.arm is QUICK or asked.arm.method == "linear":
        asked.complete(0.5, 0.4, 0.6, 1.0)
        return
    far = abs(asked.given["learning_rate"] - 3e-4) / 3e-4
    asked.complete(1.0 - far, None, None, 2.0)


def test_the_settings_as_they_stand_are_tried_first_then_what_was_best_before(url: str) -> None:
    search = Search(url, "run", [QUICK, DEAR], higher=True)
    search.begin([("full minilm", {"learning_rate": 2e-4}), ("head elsewhere", {})])
    asked = [search.ask() for _ in range(3)]
    assert [(one.arm.name, one.default) for one in asked] == [
        ("linear", True),
        ("full minilm", True),
        ("full minilm", False),
    ]
    assert asked[0].given == {"min_rows": 2}
    assert asked[1].given == {"learning_rate": 1e-4, "batch_rows": 64}
    assert asked[2].given["learning_rate"] == 2e-4
    search.close()


@pytest.mark.slow
def test_the_best_is_found_and_what_mattered_is_told(url: str) -> None:
    search = Search(url, "run", [QUICK, DEAR], higher=True)
    search.begin()
    for _ in range(16):
        _made(search.ask())
    best = search.best()
    assert best is not None
    assert best.method == "full"
    assert best.base == "minilm"
    assert best.value is not None
    assert best.value > 1.0 - abs(1e-4 - 3e-4) / 3e-4, "better than the settings as they stand"
    arm, shares = search.importance()
    assert arm == "full minilm"
    assert next(iter(shares)) == "learning_rate"
    assert sum(shares.values()) == pytest.approx(1.0)
    search.close()


def test_less_is_better_where_the_metric_says_so(url: str) -> None:
    search = Search(url, "run", [QUICK], higher=False)
    search.begin()
    for value in (0.3, 0.1, 0.2):
        search.ask().complete(value, None, None, 1.0)
    best = search.best()
    assert best is not None
    assert best.value == 0.1
    search.close()


def test_of_equal_trials_the_settings_as_they_stand_win(url: str) -> None:
    search = Search(url, "run", [QUICK], higher=True)
    search.begin()
    for seconds in (9.0, 1.0, 2.0):
        search.ask().complete(0.5, None, None, seconds)
    best = search.best()
    assert best is not None
    assert best.default
    search.close()


def test_what_falls_behind_is_ended(url: str) -> None:
    search = Search(url, "run", [DEAR], higher=True)
    search.begin()
    ended = 0
    for value in (0.9, 0.91, 0.92, 0.1, 0.93, 0.1):
        asked = search.ask()
        assert not asked.behind(0.1, value), "too early to tell"
        if asked.behind(0.4, value):
            asked.pruned("behind", 1.0)
            ended += value == 0.1
        else:
            asked.complete(value, None, None, 2.0)
    assert ended == 2
    assert [one.state for one in search.trials()].count("pruned") >= 2
    search.close()


def test_an_interrupted_trial_is_the_next_one(url: str) -> None:
    search = Search(url, "run", [QUICK, DEAR], higher=True)
    search.begin()
    _made(search.ask())
    interrupted = search.ask()
    interrupted.again(3.0)
    search.close()
    later = Search(url, "run", [QUICK, DEAR], higher=True)
    later.begin()
    asked = later.ask()
    assert (asked.arm.name, asked.given, asked.default) == (
        "full minilm",
        interrupted.given,
        True,
    )
    assert later.spent() == pytest.approx(3.0, abs=1.1), "what it took counts"
    later.close()


def test_what_a_killed_process_tried_is_tried_again(url: str) -> None:
    search = Search(url, "run", [DEAR], higher=True)
    search.begin()
    lost = search.ask()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    lost._trial.set_user_attr("process", f"{socket.gethostname()}:{gone.pid}")
    held = search.ask()  # of a process that is alive: this one
    assert held._trial.user_attrs["process"].endswith(f":{os.getpid()}")
    search.close()
    later = Search(url, "run", [DEAR], higher=True)
    later.begin()
    assert later.ask().given == lost.given
    states = {one.number: one.state for one in later.trials()}
    assert states[lost.number] == "failed"
    assert states[held.number] == "running"
    later.close()


def test_no_two_take_the_same_trial(url: str) -> None:
    also = [("linear", {"min_rows": 1 + number % 8}) for number in range(23)]
    first = Search(url, "run", [QUICK], higher=True)
    first.begin(also)
    several = [first, *(Search(url, "run", [QUICK], higher=True) for _ in range(3))]
    together = Barrier(len(several))

    def take(search: Search) -> list[int]:
        together.wait()
        return [search.ask().number for _ in range(6)]

    with ThreadPoolExecutor(len(several)) as pool:
        taken = [number for numbers in pool.map(take, several) for number in numbers]
    assert sorted(taken) == list(range(24))
    for search in several:
        search.close()


WORKER = """
import sys
from feilun.training.search import Arm, Search
from feilun.types import Whole
arm = Arm("linear", None, {"min_rows": Whole(1, 1000)}, {"min_rows": 2})
search = Search(sys.argv[1], "run", [arm], higher=True)
for _ in range(4):
    asked = search.ask()
    asked.complete(float(asked.given["min_rows"]), None, None, 0.01)
"""


def _shared(url: str) -> None:
    arm = Arm("linear", None, {"min_rows": Whole(1, 1000)}, {"min_rows": 2})
    search = Search(url, "run", [arm], higher=True)
    search.begin()
    command = [sys.executable, "-W", "error", "-c", WORKER, url]
    several = [Forked(command) for _ in range(2)]
    assert [one.wait(120) for one in several] == [0, 0]
    found = search.trials()
    assert [one.number for one in found] == list(range(8))
    assert all(one.state == "complete" for one in found)
    search.close()


def test_processes_share_a_search_on_sqlite(url: str) -> None:
    _shared(url)


@pytest.mark.slow
def test_processes_share_a_search_on_postgres(migrated_url: str, tmp_path: Path) -> None:
    with open_store(tmp_path, migrated_url) as store:
        url = store.search_url()
        assert url == store.search_url()
        _shared(url)
        with store.databases["catalog"].read() as connection:
            found = connection.exec_driver_sql(
                "SELECT table_schema FROM information_schema.tables WHERE table_name = 'trials'"
            ).scalars()
            assert list(found) == ["search"]


def test_arms_travel_as_json() -> None:
    for arm in (QUICK, DEAR):
        assert Arm.from_json(arm.to_json()) == arm


# What each method, family and task says of itself.


def _spaces() -> Iterator[tuple[str, str]]:
    for name in methods():
        for task in tasks.names():
            if method(name).supports(tasks.get(task), None) is None:
                yield name, task


def test_every_method_can_be_told_what_it_says_it_can() -> None:
    for name, task_name in _spaces():
        task, chosen = tasks.get(task_name), method(name)
        settings = chosen.Settings()
        assert isinstance(settings, MethodSettings)
        read = task.Settings().model_dump()
        for setting, one in space_of(chosen, task).items():
            ends = one.values if isinstance(one, OneOf) else (one.low, one.high)
            for value in ends:
                own, then = changed(settings, read, {setting: value})
                task.Settings(**then)
                found = {**own.model_dump(), **{f"task.{k}": v for k, v in then.items()}}
                assert found[setting] == value, (name, setting)


def test_losses_are_tried_where_a_method_has_them() -> None:
    reviews, table = tasks.get("text-classification"), tasks.get("tabular-regression")
    assert "class_weights" in space_of(method("linear"), reviews)
    assert "label_smoothing" not in space_of(method("linear"), reviews), "nothing is softened there"
    assert {"label_smoothing", "learning_rate", "rank", "task.max_length"} <= set(
        space_of(method("lora"), reviews)
    )
    assert "class_weights" not in space_of(method("linear"), table), "numbers have no classes"


def test_a_range_holds_the_setting_as_it_stands() -> None:
    assert with_default(Real(0.1, 0.2), 0.5) == Real(0.1, 0.5)
    assert with_default(Whole(2, 4), 1) == Whole(1, 4)
    assert with_default(OneOf((8, 16)), 5) == OneOf((5, 8, 16))
    assert with_default(OneOf((8, 16)), 8) == OneOf((8, 16))
    assert with_default(Real(0.1, 0.2), None) == Real(0.1, 0.2)
