"""A run that is killed again and again ends as one that nobody disturbed.

Every kill is a real SIGKILL of the command and its children at a seeded random time; one more
falls between the writing of an artifact and its renaming.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from feilun.project import Workspace
from helpers.bert import write_bert
from helpers.cli import command, environment, feilun, feilun_json
from helpers.forked import Forked
from helpers.rows import write_reviews

FEW = [
    *("--method", "full"),
    *("--set", "training.full.epochs=3"),
    *("--set", "training.full.patience=99"),
    *("--set", "training.full.checkpoint_steps=5"),
    *("--set", "training.full.batch_tokens=256"),
    # Two runs measure for themselves which is faster, and may find otherwise.
    *("--set", "training.full.precision=fp32"),
]
SETTINGS = [*FEW, *("--set", "training.full.epochs=10")]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("base"))


def _prepare(folder: Path, base: Path, rows: int = 400) -> Path:
    folder.mkdir()
    feilun_json("init", "reviews", "--base", str(base), cwd=folder)
    write_reviews(folder / "reviews.csv", rows)
    feilun_json("data", "add", "reviews.csv", cwd=folder)
    return folder


def _learnt(folder: Path, turned: dict[str, Any]) -> tuple[str | None, str | None, dict[str, Any]]:
    """The last version: the hash of its weights, the variant that answers, its answers."""
    with Workspace(folder) as workspace:
        version = workspace.project().model(turned["stages"][-1]["version"]).record
        assert version.report is not None
        found: dict[str, Any] = load_file(
            workspace.store.artifacts.path(version.report) / "logits.safetensors"
        )
    return version.weights, version.variant, found


def _start(
    folder: Path,
    script: str | None = None,
    *,
    restart: bool = False,
    settings: Sequence[str] = SETTINGS,
) -> Forked:
    words = command("run", *settings, "--json", *(["--restart"] if restart else []))
    if script is not None:
        words = [sys.executable, "-c", script, *words[3:]]
    with (folder / "said.txt").open("w") as said:
        return Forked(
            words,
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )


def _kill(process: Forked) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _kill_at_checkpoint(process: Forked, folder: Path) -> bool:
    """Kills the run while a checkpoint of unfinished training stands, however short training is on
    this machine. False when the run ended first."""
    while process.poll() is None:
        with suppress(FileNotFoundError):  # a folder that went away under the search
            if next((folder / ".feilun").rglob("checkpoint-*/sealed.json"), None) is not None:
                _kill(process)
                return True
        time.sleep(0.005)
    return False


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


@pytest.mark.slow
@pytest.mark.parametrize("kills", [2, 20])
def test_killed_run_ends_as_the_undisturbed_one(tmp_path: Path, base: Path, kills: int) -> None:
    calm = _prepare(tmp_path / "calm", base)
    begun = time.monotonic()
    expected = feilun_json("run", *SETTINGS, cwd=calm)
    length = time.monotonic() - begun

    harried = _prepare(tmp_path / "harried", base)
    between = _start(harried, _BETWEEN)
    assert between.wait(timeout=120) == -signal.SIGKILL
    draw = random.Random(7)
    killed, ended = 0, False
    while killed < kills:
        # One that ended all the same, on a machine that became faster, is begun anew.
        process = _start(harried, restart=ended)
        # A start costs about two seconds, a training step less: kills must fall on both.
        wait = draw.uniform(0.3, 2.0 + length / 4)
        try:
            ended = process.wait(timeout=wait) in (0, 1)
        except subprocess.TimeoutExpired:
            _kill(process)
            ended = False
            killed += 1
    while not _kill_at_checkpoint(_start(harried, restart=ended), harried):
        ended = True
    # 1: the gate refuses what answers exactly as the version that went live before.
    done = feilun("run", *SETTINGS, "--json", cwd=harried)
    assert done.returncode in (0, 1), done.stderr
    turned = json.loads(done.stdout)

    with Workspace(harried) as workspace:
        store = workspace.store
        for run in store.catalog.runs("reviews"):
            for step, count in store.catalog.executions(run.id).items():
                assert count.finished == 1, (run.id, step)
        versions = store.catalog.model_versions("reviews")
        keys = [(version.run_id, version.method) for version in versions]
        assert len(set(keys)) == len(keys)
        resumed = [v.metrics["training"].get("resumed_from_step", 0) for v in versions]
    assert max(resumed) > 0
    weights, variant, before = _learnt(calm, expected)
    weights_after, variant_after, after = _learnt(harried, turned)
    assert weights == weights_after
    assert before.keys() == after.keys()
    # Which variant answers is chosen by its speed as measured beside whatever else runs.
    for name in before if variant == variant_after else ():
        assert (before[name] == after[name]).all(), name


@pytest.mark.slow
def test_others_execute_nothing_while_a_run_goes_on(tmp_path: Path, base: Path) -> None:
    folder = _prepare(tmp_path / "busy", base, 200)
    process = _start(folder, settings=FEW)
    server: Any = None
    try:
        with Workspace(folder) as workspace:
            step: str | None = None
            while step != "train:full" and process.poll() is None:
                time.sleep(0.05)
                step = next((str(run["step"]) for run in workspace.status().runs), None)
        [state] = feilun_json("status", cwd=folder)["runs"]
        assert state["state"] == "running"
        assert state["pid"] == process.pid
        refused = feilun_json("run", *FEW, cwd=folder, code=3)
        assert str(process.pid) in refused["error"]["message"]
        server = Forked(
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
