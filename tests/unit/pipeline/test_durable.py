"""The durable executor: what is done stays done, what failed is taken up where it failed."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from feilun.errors import InvalidData
from feilun.pipeline import durable
from feilun.pipeline.durable import StepRunner
from helpers.few import few


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


def test_it_works_where_an_event_loop_runs(url: str) -> None:
    """As in a notebook: the cell runs in the thread of the kernel's loop."""
    steps = Steps()
    steps.broken["two"] = InvalidData("project.nothing_to_answer")

    async def cell() -> dict[str, Any]:
        return durable.execute("a", "reviews", url, body, steps)

    with pytest.raises(InvalidData) as caught:
        asyncio.run(cell())
    assert caught.value.code == "project.nothing_to_answer"
    steps.broken.clear()
    assert asyncio.run(cell()) == {"names": ["one", "two", "three"]}
    assert steps.ran == ["one", "two", "two", "three"]


# Interrupted once its step is under way; then the same run to its end.
_INTERRUPTED = """
import asyncio, json, sys, time
from feilun.pipeline import durable

said = []

def body(run_id, step):
    return step("one", {})

def endless(name, arguments):
    print("working", flush=True)
    try:
        while True:
            durable.check()
            time.sleep(0.01)
    finally:
        said.append("ended")

async def cell():
    durable.execute("a", "reviews", sys.argv[1], body, endless)

try:
    if sys.argv[2] == "loop":
        asyncio.run(cell())
    else:
        durable.execute("a", "reviews", sys.argv[1], body, endless)
except KeyboardInterrupt:
    said.append("interrupted")
said.append(durable.execute("a", "reviews", sys.argv[1], body, lambda name, arguments: {"all": 1}))
print(json.dumps(said))
"""


@pytest.mark.parametrize("where", few(["plain", "loop"], "loop"))
def test_an_interrupted_step_ends_before_the_caller_goes_on(url: str, where: str) -> None:
    """Ctrl-C reaches the main thread alone, while the step works in another."""
    with subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-c", _INTERRUPTED, url, where],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(60) == 0
    assert json.loads(rest) == ["ended", "interrupted", {"all": 1}]
