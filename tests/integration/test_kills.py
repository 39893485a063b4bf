"""A run that is killed again and again ends as one that nobody disturbed.

Every kill is a real SIGKILL of the command and its children at a seeded random time; one more
falls between the writing of an artifact and its renaming.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from feilun.project import Workspace
from helpers.bert import write_bert
from helpers.cli import command, environment, feilun_json
from helpers.rows import write_reviews

KILLS = 20
SETTINGS = [
    "--method",
    "full",
    *("--set", "training.full.epochs=16"),
    *("--set", "training.full.patience=99"),
    *("--set", "training.full.checkpoint_steps=5"),
    *("--set", "training.full.batch_tokens=256"),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("base"))


def _prepare(folder: Path, base: Path) -> Path:
    folder.mkdir()
    feilun_json("init", "reviews", "--base", str(base), cwd=folder)
    write_reviews(folder / "reviews.csv", 1200)
    feilun_json("data", "add", "reviews.csv", cwd=folder)
    return folder


def _logits(folder: Path, turned: dict[str, Any]) -> dict[str, Any]:
    with Workspace(folder) as workspace:
        version = workspace.project().model(turned["rungs"][-1]["version"]).record
        assert version.report is not None
        found: dict[str, Any] = load_file(
            workspace.store.artifacts.path(version.report) / "logits.safetensors"
        )
    return found


def _start(folder: Path, script: str | None = None) -> subprocess.Popen[bytes]:
    words = command("run", *SETTINGS, "--json")
    if script is not None:
        words = [sys.executable, "-c", script, *words[3:]]
    with (folder / "said.txt").open("w") as said:
        return subprocess.Popen(
            words,
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


# Kills its own process at the first artifact that is written and not yet renamed.
_BETWEEN = """
import os, signal
from feilun.store import artifacts
def kill(*_, **__):
    os.killpg(0, signal.SIGKILL)
artifacts.Artifacts._place = kill
from feilun.cli import main
main()
"""


def test_killed_run_ends_as_the_undisturbed_one(tmp_path: Path, base: Path) -> None:
    calm = _prepare(tmp_path / "calm", base)
    begun = time.monotonic()
    expected = feilun_json("run", *SETTINGS, cwd=calm)
    length = time.monotonic() - begun

    harried = _prepare(tmp_path / "harried", base)
    between = _start(harried, _BETWEEN)
    assert between.wait(timeout=120) == -signal.SIGKILL
    draw = random.Random(7)
    kills = 0
    while kills < KILLS:
        process = _start(harried)
        # A start costs about two seconds, a training step less: kills must fall on both.
        wait = draw.uniform(0.3, 2.0 + length / 3)
        try:
            process.wait(timeout=wait)
        except subprocess.TimeoutExpired:
            _kill(process)
            kills += 1
        else:
            pytest.fail(f"it finished after {kills} kills; train for longer")
    turned = feilun_json("run", *SETTINGS, cwd=harried)

    with Workspace(harried) as workspace:
        store = workspace.store
        assert len(store.catalog.runs("reviews")) == 1
        for step, count in store.catalog.executions(turned["run"]).items():
            assert count.finished == 1, step
        versions = store.catalog.model_versions("reviews")
        assert [v.method for v in versions] == [r["method"] for r in turned["rungs"]]
        full = versions[-1].metrics["training"]
    assert full["resumed_from_step"] > 0
    before, after = _logits(calm, expected), _logits(harried, turned)
    assert before.keys() == after.keys()
    for name in before:
        assert (before[name] == after[name]).all(), name


def test_others_execute_nothing_while_a_run_goes_on(tmp_path: Path, base: Path) -> None:
    folder = _prepare(tmp_path / "busy", base)
    process = _start(folder)
    server: Any = None
    try:
        state: dict[str, Any] = {}
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            runs = feilun_json("status", cwd=folder)["runs"]
            state = runs[0] if runs else {}
            if state.get("step", "") == "train:full" and state.get("progress"):
                break
            time.sleep(0.2)
        assert state["state"] == "running"
        assert state["pid"] == process.pid
        refused = feilun_json("run", *SETTINGS, cwd=folder, code=3)
        assert str(process.pid) in refused["error"]["message"]
        server = subprocess.Popen(
            command("serve", "--port", "0", "--json"),
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        assert b"address" in server.stdout.readline()
        assert process.wait(timeout=300) == 0, (folder / "said.txt").read_text()
    finally:
        _kill(process)
        if server is not None:
            server.terminate()
            server.wait(timeout=30)
            server.stdout.close()
    with Workspace(folder) as workspace:
        catalog = workspace.store.catalog
        (run,) = catalog.runs("reviews")
        for step, count in catalog.executions(run.id).items():
            assert (count.started, count.finished) == (1, 1), step
