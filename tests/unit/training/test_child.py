"""Training in a child: real kills, real errors, and a resumed run equal to an undisturbed one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from feilun import messages
from feilun.errors import EnvironmentProblem, FeilunError, InvalidData
from feilun.training import checkpoints
from feilun.training.child import LOG, run_child
from feilun.training.job import TrainJob
from feilun.types import Progress
from helpers.bert import write_bert
from helpers.jobs import job_for, write_dataset
from helpers.rows import reviews

SETTINGS = {
    "epochs": 3,
    "learning_rate": 2e-3,
    "batch_rows": 8,
    "dropout": 0.1,  # so that the state of the random generator matters
    "patience": 3,
    "checkpoint_steps": 7,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def own_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings are started by this process as they are by a user's, not by the server of forks."""
    monkeypatch.setattr("feilun.training.child.subprocess", subprocess)


def children() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it ended meanwhile
            if "feilun.training.child" in process.cmdline():
                found.append(process)
    return found


def kill_at(step: int, number: int = signal.SIGKILL) -> Callable[[Progress], None]:
    """Kills the child as soon as it says that it is past `step`."""
    done = threading.Event()

    def report(progress: Progress) -> None:
        if progress.unit == "steps" and progress.done >= step and not done.is_set():
            done.set()
            for child in children():
                child.send_signal(number)

    return report


@pytest.mark.slow
def test_a_killed_training_goes_on_and_ends_the_same(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = write_bert(tmp_path / "base")
    # Two trainings may find on a busy machine that another precision is the faster one.
    settings = {**SETTINGS, "epochs": 12, "patience": 12, "precision": "fp32"}

    def job(name: str) -> TrainJob:
        return job_for("full", data, tmp_path / name, base, settings=settings)

    undisturbed = job("undisturbed")
    whole = run_child(undisturbed, lambda progress: None)
    assert whole.figures["resumed_from_step"] == 0

    killed = job("killed")
    for step in (30, 150):
        with pytest.raises(EnvironmentProblem) as caught:
            run_child(killed, kill_at(step))
        assert caught.value.code == "training.killed"
        assert caught.value.params["signal"] == signal.SIGKILL
        last = checkpoints.last_sealed(killed.scratch)
        assert last is not None
        # What a kill during a write leaves: newer, and not whole.
        torn = killed.scratch / "checkpoint-9999"
        torn.mkdir()
        (torn / "model.safetensors").write_bytes(b"half")
    result = run_child(killed, lambda progress: None)
    assert result.figures["resumed_from_step"] >= 7
    for file in ("model.safetensors", "config.json", "feilun.json"):
        assert (killed.out / file).read_bytes() == (undisturbed.out / file).read_bytes()
    own = ("seconds", "resumed_from_step", "peak_memory_bytes")
    again, once = (
        {name: value for name, value in one.figures.items() if name not in own}
        for one in (result, whole)
    )
    assert again == once
    assert not list(killed.scratch.glob("checkpoint-*"))


def test_checkpoints_of_another_job_are_not_taken(tmp_path: Path, data: Path) -> None:
    job = job_for("full", data, tmp_path, "scratch:vit", seed=1)
    checkpoints.claim(job)
    folder = job.scratch / "checkpoint-7"
    folder.mkdir()
    (folder / "x").write_text("x", "utf-8")
    checkpoints.seal(folder)
    checkpoints.claim(job)
    assert checkpoints.last_sealed(job.scratch) == folder
    other = TrainJob.from_json({**job.to_json(), "seed": 2})
    checkpoints.claim(other)
    assert checkpoints.last_sealed(other.scratch) is None


def test_a_checkpoint_with_a_short_file_is_not_whole(tmp_path: Path) -> None:
    for step in (5, 12):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "weights").write_bytes(b"1234")
        checkpoints.seal(folder)
    (tmp_path / "checkpoint-12" / "weights").write_bytes(b"12")
    last = checkpoints.last_sealed(tmp_path)
    assert last is not None
    assert last.name == "checkpoint-5"
    assert not (tmp_path / "checkpoint-12").exists()


def test_the_job_and_its_result_travel_as_json(tmp_path: Path) -> None:
    job = job_for(
        "full", tmp_path, tmp_path, tmp_path / "base", new_rows=("a", "b"), trackers=("wandb",)
    )
    assert TrainJob.from_json(json.loads(json.dumps(job.to_json()))) == job
    scratch = TrainJob.from_json({**job.to_json(), "base": "scratch:vit"})
    assert scratch.base == "scratch:vit"


def test_linear_in_a_child_reports_and_runs_at_low_priority(tmp_path: Path, data: Path) -> None:
    seen: list[tuple[Progress, int]] = []

    def report(progress: Progress) -> None:
        found = children()
        seen.append((progress, found[0].nice() if found else 0))

    job = job_for("linear", data, tmp_path)
    run_child(job, report)
    assert (job.out / "weights.safetensors").is_file()
    assert max(nice for _, nice in seen) >= psutil.Process().nice() + 10
    assert {progress.step for progress, _ in seen} == {"train"}
    assert not children()


def test_an_error_arrives_as_it_was_raised(tmp_path: Path) -> None:
    rows = [(text, "great") for text, _ in reviews(20)]
    job = job_for("linear", write_dataset(tmp_path / "data", rows=rows), tmp_path)
    messages.use("zh")
    with pytest.raises(InvalidData) as caught:
        run_child(job, lambda progress: None)
    assert caught.value.code == "training.one_label"
    assert "两种标签" in str(caught.value)


def test_notes_speak_the_parent_s_language(tmp_path: Path, data: Path) -> None:
    messages.use("zh")
    job = job_for("linear", data, tmp_path, settings={"max_rows": 100})
    assert "随机抽取" in run_child(job, lambda progress: None).notes[0]


def test_a_bug_shows_its_traceback_as_the_cause(tmp_path: Path, data: Path) -> None:
    job = job_for("linear", data, tmp_path, settings={"unheard_of": 1})
    with pytest.raises(FeilunError) as caught:
        run_child(job, lambda progress: None)
    assert caught.value.code == "training.crashed"
    assert caught.value.exit_code == 70
    assert "unheard_of" in str(caught.value.__cause__)
    assert "unheard_of" in (job.scratch / LOG).read_text("utf-8")


@pytest.mark.parametrize("method", ["linear", pytest.param("full", marks=pytest.mark.slow)])
def test_a_full_disk_is_said_in_words(
    tmp_path: Path, data: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel refuses to write: with EFBIG here, as with ENOSPC on a full disk."""
    # The bytecode of the modules is no part of it: Python would keep what was cut off.
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    def report(progress: Progress) -> None:
        for child in children():
            with contextlib.suppress(psutil.Error):
                child.rlimit(psutil.RLIMIT_FSIZE, (4096, 4096))

    base = write_bert(tmp_path / "base") if method == "full" else None
    job = job_for(method, data, tmp_path, base, settings=SETTINGS if base else {})
    with pytest.raises(EnvironmentProblem) as caught:
        run_child(job, report)
    assert caught.value.code == "training.cannot_write"
    if base:
        result = run_child(job, lambda progress: None)
        assert result.figures["epochs"] == 3


PARENT = """
import json, sys
from pathlib import Path
from feilun.training.child import run_child
from feilun.training.job import TrainJob
run_child(TrainJob.from_json(json.loads(sys.argv[1])), lambda p: print(p.done, flush=True))
"""


@pytest.mark.slow
def test_the_child_ends_with_its_parent(tmp_path: Path, data: Path) -> None:
    base = write_bert(tmp_path / "base")
    job = job_for("full", data, tmp_path, base, settings={**SETTINGS, "epochs": 1000})
    code = [sys.executable, "-c", PARENT, json.dumps(job.to_json())]
    with subprocess.Popen(code, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        found = [p.pid for p in psutil.Process(parent.pid).children(recursive=True)]
        assert found
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    end = time.monotonic() + 60
    while any(map(psutil.pid_exists, found)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(psutil.pid_exists, found))


def test_the_parent_never_imports_torch() -> None:
    code = (
        "import sys, feilun.training.child, feilun.training.settings; print('torch' in sys.modules)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == "False"
