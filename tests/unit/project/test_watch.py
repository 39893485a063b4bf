"""A watched folder: whole files, each once; a bad one does not stop the others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from feilun.cli.app import run
from feilun.errors import NotFound
from feilun.project import Project, Workspace
from feilun.project.watch import REFUSED, Watcher, unknown_files
from helpers.forked import Forked
from helpers.rows import write_reviews


@pytest.fixture
def project(workspace_dir: Path) -> Iterator[Project]:
    with Workspace(workspace_dir) as workspace:
        yield workspace.init("reviews")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "incoming"
    made.mkdir()
    return made


def _old(file: Path) -> Path:
    """As if it had been there for an hour."""
    then = time.time() - 3600
    os.utime(file, (then, then))
    return file


def _watcher(project: Project, folder: Path, settle: float = 0.0) -> tuple[Watcher, list[str]]:
    said: list[str] = []
    return Watcher(project.scope, folder, say=said.append, settle=settle), said


def _versions(project: Project) -> int:
    return len(project.workspace.store.catalog.data_versions(project.name))


def test_each_file_comes_once(project: Project, folder: Path) -> None:
    _old(write_reviews(folder / "a.csv", 30))
    _old(write_reviews(folder / "b.csv", 50, seed=1))
    watcher, said = _watcher(project, folder)
    watcher.look()
    assert [one["file"] for one in watcher.done.taken] == ["a.csv", "b.csv"]
    assert _versions(project) == 1  # together
    watcher.look()
    # Another watch, and the same content under another name: nothing.
    (folder / "c.csv").write_bytes((folder / "a.csv").read_bytes())
    _old(folder / "c.csv")
    again, _ = _watcher(project, folder)
    again.look()
    again.look()
    assert again.done.taken == []
    assert again.done.waiting == []
    assert not unknown_files(project.scope, folder)
    assert _versions(project) == 1
    assert any("a.csv, b.csv" in line for line in said)


def test_what_programs_leave_is_no_file(project: Project, folder: Path) -> None:
    names = [
        "Thumbs.db", "desktop.ini", ".DS_Store", "._a.csv", "~$a.xlsx", ".~lock.a.csv#",
        "b.csv.part", "c.tmp", "d.csv.crdownload",
    ]  # fmt: skip
    for name in names:
        (folder / name).write_bytes(b"x")
        _old(folder / name)
    _old(write_reviews(folder / "a.csv", 30))
    (folder / "@eaDir").mkdir()
    watcher, said = _watcher(project, folder)
    watcher.look()
    watcher.look()
    assert [one["file"] for one in watcher.done.taken] == ["a.csv"]
    assert (watcher.done.refused, watcher.done.waiting) == ([], [])
    assert [line for line in said if str(len(names)) in line] == said[:1], "told once"
    assert sorted(path.name for path in folder.iterdir()) == sorted([*names, "a.csv", "@eaDir"])


def test_a_file_that_changes_is_left_alone(project: Project, folder: Path) -> None:
    file = write_reviews(folder / "a.csv", 30)
    watcher, _ = _watcher(project, folder, settle=0.2)
    assert watcher.look()  # worth a second look
    assert watcher.done.waiting == ["a.csv"]
    time.sleep(0.25)
    write_reviews(file, 40)  # still being written
    watcher.look()
    assert watcher.done.taken == []
    time.sleep(0.25)
    assert not watcher.look()
    assert project.workspace.store.catalog.latest_data("reviews").info["read"] == 40  # type: ignore[union-attr]


def test_what_was_moved_in_is_taken_at_once(project: Project, folder: Path, tmp_path: Path) -> None:
    _old(write_reviews(tmp_path / "a.csv", 30)).rename(folder / "a.csv")
    write_reviews(folder / "b.csv.part", 30, seed=1)
    write_reviews(folder / ".c.csv", 30, seed=2)
    (folder / "d").mkdir()
    watcher, _ = _watcher(project, folder, settle=60)
    assert not watcher.look()
    assert [one["file"] for one in watcher.done.taken] == ["a.csv"]
    assert watcher.done.waiting == []


def test_a_bad_file_is_set_aside_and_the_others_come(project: Project, folder: Path) -> None:
    _old(write_reviews(folder / "good.csv", 30))
    (folder / "bad.csv").write_text("name\ntea\ncoffee\n")
    (folder / "worse.csv").write_bytes(os.urandom(5000))
    for name in ("bad.csv", "worse.csv"):
        _old(folder / name)
    watcher, said = _watcher(project, folder)
    watcher.look()
    assert [one["file"] for one in watcher.done.taken] == ["good.csv"]
    assert sorted(one["file"] for one in watcher.done.refused) == ["bad.csv", "worse.csv"]
    assert sorted(path.name for path in folder.iterdir()) == ["good.csv", REFUSED]
    reason = (folder / REFUSED / "bad.csv.reason.txt").read_text("utf-8")
    assert "bad.csv" in reason
    assert sum("set aside" in line for line in said) == 2
    # Mended and put back under the same name, then bad once more.
    _old(write_reviews(folder / "bad.csv", 30, seed=3))
    watcher.look()
    assert len(watcher.done.taken) == 2
    (folder / "bad.csv").write_text("name\nmilk\n")
    _old(folder / "bad.csv")
    watcher.look()
    assert (folder / REFUSED / "bad~2.csv").is_file()


def test_files_too_small_to_begin_with_wait_for_more(project: Project, folder: Path) -> None:
    for number in range(3):
        _old(write_reviews(folder / f"{number}.csv", 6, seed=number))
        watcher, said = _watcher(project, folder)
        watcher.look()
        watcher.look()
        assert watcher.done.refused == []
        assert bool(watcher.done.taken) == (number > 0), said
    assert _versions(project) == 2


def test_a_small_file_waits_for_a_large_one(project: Project, folder: Path) -> None:
    _old(write_reviews(folder / "a.csv", 2))
    _old(write_reviews(folder / "b.csv", 30, seed=1))
    (folder / "c.csv").write_text("name\ntea\n")
    _old(folder / "c.csv")
    watcher, _ = _watcher(project, folder)
    watcher.look()
    watcher.look()
    assert [one["file"] for one in watcher.done.taken] == ["b.csv", "a.csv"]
    assert [one["file"] for one in watcher.done.refused] == ["c.csv"]


def test_a_run_that_holds_the_project_is_waited_for(project: Project, folder: Path) -> None:
    _old(write_reviews(folder / "a.csv", 30))
    watcher, said = _watcher(project, folder)
    with project.workspace.store.lock("reviews"):
        watcher.look()
    assert watcher.done.taken == []
    assert watcher.done.refused == []
    assert len(said) == 1
    watcher.look()
    assert len(watcher.done.taken) == 1


def test_nothing_is_noted_where_no_version_stands(
    project: Project, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _old(write_reviews(folder / "a.csv", 30))
    store = project.workspace.store
    monkeypatch.setattr(store, "publish", lambda *_: 1 / 0)
    watcher, _ = _watcher(project, folder)
    with pytest.raises(ZeroDivisionError):
        watcher.look()
    monkeypatch.undo()
    assert unknown_files(project.scope, folder)
    watcher.look()
    assert len(watcher.done.taken) == 1


def test_no_folder(project: Project, folder: Path) -> None:
    with pytest.raises(NotFound):
        project.watch(folder / "elsewhere", once=True)


def test_the_command_once(
    project: Project, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _old(write_reviews(folder / "a.csv", 30))
    words = ["data", "watch", str(folder), "--once", "--map", "text=review", "--json"]
    words += ["--workspace", str(project.workspace.folder)]
    assert run(words) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [one["version"] for one in printed["taken"]] == ["reviews:1"]
    assert run(words) == 0
    assert json.loads(capsys.readouterr().out)["taken"] == []


def test_it_ends_cleanly_when_interrupted(project: Project, folder: Path) -> None:
    words = [sys.executable, "-m", "feilun", "data", "watch", str(folder), "--every", "1"]
    words += ["--workspace", str(project.workspace.folder)]
    with Forked(words, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        assert "watching" in child.stderr.readline()
        _old(write_reviews(folder / "a.csv", 30)).rename(folder / "b.csv")
        assert "b.csv" in child.stderr.readline()
        child.send_signal(signal.SIGINT)
        rest = child.stderr.read()
        assert child.wait(30) == 130
    assert "1 files taken" in rest
    assert "Traceback" not in rest
    assert _versions(project) == 1


def test_the_worker_takes_what_arrives(project: Project, folder: Path) -> None:
    text = project.file.read_text("utf-8")
    project.file.write_text(f'{text}\n[data]\nwatch = ["{folder}", "nowhere"]\n', "utf-8")
    _old(write_reviews(folder / "a.csv", 30))
    said: list[str] = []
    ran = project.workspace.work(once=True, say=said.append)
    assert [(one["kind"], one["code"]) for one in ran.rows] == [("data watch", 0)]
    assert any("nowhere" in line for line in said)
    assert _versions(project) == 1
    _old(write_reviews(folder / "b.csv", 30, seed=1))
    assert project.workspace.work(once=True, say=said.append).rows == []  # not within a minute
