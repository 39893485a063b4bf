"""Progress that fits a terminal of 80 columns, times in words, and a Ctrl-C that is heard."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from feilun import messages
from feilun.cli.failures import INTERRUPTED, goes_on
from feilun.cli.progress import Lines, drawn, figures
from feilun.durations import about, spoken
from feilun.project import Workspace
from feilun.types import Progress
from helpers.cli import command, environment, feilun
from helpers.forked import Forked
from helpers.linear import linear_project
from helpers.rows import write_reviews

_FIGURES = {
    "learning_rate": 0.00002,
    "epoch": 3.0,
    "loss": 0.4123,
    "accuracy": 0.83123,
    "validation_accuracy": 0.81234,
}


def _last_line(width: int, lang: messages.Language) -> str:
    messages.use(lang)
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None, height=20)
    with drawn(console) as report:
        for done in (0, 30, 60, 74):
            report(Progress("train:full", done, 100, "steps", _FIGURES))
            time.sleep(0.02)
    plain = re.sub(r"\x1b\[[0-9?]*[a-zA-Z]", "", out.getvalue())
    return [line.rstrip() for line in plain.replace("\r", "\n").split("\n") if line.strip()][-1]


@pytest.mark.parametrize(("lang", "left"), [("en", "s left"), ("zh", "还需 ")])
def test_eighty_columns_hold_bar_percent_time_and_two_figures(
    lang: messages.Language, left: str
) -> None:
    line = _last_line(80, lang)
    assert "━" in line
    assert "74 %" in line
    assert left in line
    shown = figures(_FIGURES, 2)
    assert shown in line, "two figures, whole"
    assert "0.412" in shown
    assert "0.812" in shown
    assert cell_len(line) <= 80


def test_a_wide_terminal_holds_all_of_it() -> None:
    line = _last_line(200, "en")
    assert "74/100 steps" in line
    assert figures(_FIGURES) in line


def test_times_are_said_as_people_say_them() -> None:
    assert [spoken(s) for s in (7, 99, 130, 3600, 6000, 12_000)] == [
        "7 s", "99 s", "2 min", "60 min", "1 h 40 min", "3 h 20 min",
    ]  # fmt: skip
    assert [about(s) for s in (3, 35, 60, 240, 3600, 9000, 36_000)] == [
        "under a minute", "under a minute", "0.5–1.5 min", "2.5–6 min", "40–90 min", "1.5–4 h",
        "7–15 h",
    ]  # fmt: skip
    messages.use("zh")
    assert (spoken(6000), about(240)) == ("1 小时 40 分钟", "2.5–6 分钟")


def test_a_plan_says_a_range(tmp_path: Path) -> None:
    notes: list[str] = []
    with linear_project(tmp_path) as project:
        project.train(method="linear", report=lambda event: notes.append(event.note))
    (line,) = [note for note in notes if note.startswith("linear:")]
    assert "under a minute" in line


def test_without_a_terminal_no_minute_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    lines(Progress("evaluate:full", 0, 0))
    lines.quiet(time.monotonic() + 20)
    assert capsys.readouterr().err.splitlines() == ["Evaluate (full)"]
    lines.quiet(time.monotonic() + 47)
    assert capsys.readouterr().err.splitlines() == ["still at it: Evaluate (full), for 47 s"]


def test_what_goes_on_and_what_begins_again() -> None:
    assert goes_on(["--json", "run", "--set", "a=1"])
    assert goes_on(["--workspace", "data", "tune", "--minutes", "5"])
    assert goes_on(["data", "fetch", "pages.txt"])
    assert not goes_on(["data", "add", "train"])
    assert not goes_on(["--project", "run", "evaluate"])


# A step that neither reports nor returns, in a library that hears of no signal.
_DEAF = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from feilun.cli import main
from feilun.project import Project

def evaluate(self, *given, **named):
    print("deaf", file=sys.stderr, flush=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, ())
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            continue

Project.evaluate = evaluate
sys.argv = ["feilun", *sys.argv[1:]]
main()
"""


def _interrupted(process: Forked, begun: str) -> tuple[str, str]:
    """Sends Ctrl-C once the line `begun` came up; what was said on stdout and stderr."""
    assert process.stderr is not None
    heard = []
    for line in process.stderr:
        heard.append(line)
        if begun in line:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=50)  # what hears nothing would take 60 seconds
    return out, "".join(heard) + err


def _started(folder: Path, *words: str, code: str | None = None) -> Forked:
    line = command(*words) if code is None else [sys.executable, "-c", code, *words]
    return Forked(
        line,
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Workspace(tmp_path) as workspace:
        project = workspace.init("reviews")
        project.add(write_reviews(tmp_path / "reviews.csv", 3000))
    return tmp_path


def test_a_command_that_hears_nothing_is_ended(folder: Path) -> None:
    process = _started(folder, "evaluate", "--json", code=_DEAF)
    out, _ = _interrupted(process, "deaf")
    assert process.returncode == INTERRUPTED
    error = json.loads(out)["error"]
    assert error["code"] == "interrupted"
    assert "begins again" in error["hint"]


@pytest.mark.parametrize(
    ("words", "begun", "said"),
    [
        (("run", "--method", "linear"), "Train (linear)", "goes on from the last finished step"),
        (("data", "audit"), "(reading)", "begins again"),
        pytest.param(
            ("compare", "--methods", "linear"),
            "Train",
            "goes on from the last finished step",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ("tune", "--minutes", "3"),
            "Search",
            "goes on from the last finished step",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_ctrl_c_ends_a_command_with_a_true_sentence(
    folder: Path, words: tuple[str, ...], begun: str, said: str
) -> None:
    process = _started(folder, *words)
    _, err = _interrupted(process, begun)
    assert process.returncode == INTERRUPTED, err
    assert "Error: stopped" in err
    assert said in err
    assert "Traceback" not in err
    if words[0] == "run":  # the sentence is true
        again = feilun(*words, "--json", cwd=folder)
        assert json.loads(again.stdout)["live"] == "reviews@1", again.stderr
        assert "Plan" not in again.stderr, "the plan was finished and is not made again"


def test_ctrl_c_while_it_still_loads(folder: Path) -> None:
    code = (
        "import sys\n"
        "class Slow:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'feilun.cli.app':\n"
        "            print('loading', file=sys.stderr, flush=True)\n"
        "            import time; time.sleep(60)\n"
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.meta_path.insert(0, Slow())\n"
        "sys.modules.pop('feilun.cli.app', None)\n"
        "from feilun.cli import main\n"
        "main()\n"
    )
    process = _started(folder, code=code)
    _, err = _interrupted(process, "loading")
    assert process.returncode == INTERRUPTED
    assert err.splitlines()[-1] == "stopped"
    assert "Traceback" not in err
