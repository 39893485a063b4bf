"""The durable executor: what is done stays done, what failed is taken up where it failed."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from feilun.errors import InvalidData
from feilun.pipeline import durable
from feilun.pipeline.durable import StepRunner


class Steps:
    """Counts what is executed; `broken` steps raise their error."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.broken: dict[str, Exception] = {}

    def __call__(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        self.ran.append(name)
        if name in self.broken:
            raise self.broken[name]
        return {"name": name, **arguments}


def body(run_id: str, step: StepRunner) -> dict[str, Any]:
    results = [step(name, {"run": run_id}) for name in ("one", "two", "three")]
    return {"names": [result["name"] for result in results]}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'dbos.db'}"


def test_a_finished_run_returns_what_it_returned(url: str) -> None:
    steps = Steps()
    first = durable.execute("a", "reviews", url, body, steps)
    again = durable.execute("a", "reviews", url, body, steps)
    assert first == again == {"names": ["one", "two", "three"]}
    assert steps.ran == ["one", "two", "three"]


def test_a_failed_run_is_taken_up_at_the_step_that_failed(url: str) -> None:
    steps = Steps()
    steps.broken["two"] = InvalidData("project.nothing_to_answer")
    for _ in range(2):  # failing twice changes nothing
        with pytest.raises(InvalidData) as caught:
            durable.execute("a", "reviews", url, body, steps)
        assert caught.value.code == "project.nothing_to_answer"
    steps.broken.clear()
    assert durable.execute("a", "reviews", url, body, steps)["names"][-1] == "three"
    assert steps.ran == ["one", "two", "two", "two", "three"]


def test_a_bug_in_a_step_keeps_its_type_and_traceback(url: str) -> None:
    steps = Steps()
    steps.broken["one"] = ZeroDivisionError("by nothing")
    with pytest.raises(ZeroDivisionError) as caught:
        durable.execute("a", "reviews", url, body, steps)
    assert any(entry.name == "__call__" for entry in caught.traceback)


def test_other_unfinished_runs_are_left_and_can_be_come_back_to(url: str) -> None:
    steps = Steps()
    steps.broken["three"] = InvalidData("project.nothing_to_answer")
    with pytest.raises(InvalidData):
        durable.execute("a", "reviews", url, body, steps)
    steps.broken.clear()
    durable.execute("b", "reviews", url, body, steps)
    steps.ran.clear()
    durable.execute("a", "reviews", url, body, steps)
    assert steps.ran == ["three"]


def test_a_forgotten_run_begins_anew(url: str) -> None:
    steps = Steps()
    durable.execute("a", "reviews", url, body, steps)
    durable.forget("a", url)
    durable.execute("a", "reviews", url, body, steps)
    assert steps.ran == ["one", "two", "three"] * 2


def test_an_interrupted_step_ends_before_the_caller_goes_on(url: str) -> None:
    """Ctrl-C reaches the main thread alone, while the step works in another."""
    ended = threading.Event()

    def endless(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGINT)
        try:
            while True:
                durable.check()
                time.sleep(0.01)
        finally:
            ended.set()

    with pytest.raises(KeyboardInterrupt):
        durable.execute("a", "reviews", url, body, endless)
    assert ended.is_set()
    steps = Steps()
    assert durable.execute("a", "reviews", url, body, steps)["names"] == ["one", "two", "three"]
