"""The command line: one object on stdout with --json, words in two languages, exit codes."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import sys
from pathlib import Path
from typing import cast

import pytest

from feilun import messages
from feilun.cli import commands, shell
from feilun.cli.app import command_names, run
from feilun.cli.commands import review
from feilun.cli.progress import Lines
from feilun.cli.values import pairs, settings
from feilun.errors import UsageError
from feilun.project.answers import read_items
from feilun.tasks.base import get
from feilun.types import Progress

WRONG = [
    (["nonsense"], 2),
    (["run", "--nonsense"], 2),
    (["init"], 2),
    (["init", "x", "--task", "nonsense"], 2),
    (["serve", "--port", "seventy"], 2),
    (["gc", "--keep", "0"], 2),
    (["run", "--set", "epochs"], 2),
    (["status", "--project", "none"], 2),
    (["predict", "tea", "--url", "http://127.0.0.1:9", "--key", "fl_x", "--project", "it"], 3),
    (["predict", "missing.csv", "--project", "it"], 2),
    (["import", "nowhere"], 2),
    (["restore", "nowhere"], 2),
    (["evaluate", "it@7", "--project", "it"], 2),
    (["deploy", "--force", "--project", "it"], 2),
    (["data"], 2),
    (["review", "--limit", "0"], 2),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    assert run(["init", "it", "--json"]) == 0
    return tmp_path


@pytest.mark.parametrize("lang", messages.LANGUAGES)
@pytest.mark.parametrize(("words", "code"), WRONG, ids=lambda value: str(value)[:30])
def test_a_wrong_call_is_said(
    folder: Path,
    words: list[str],
    code: int,
    lang: messages.Language,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FEILUN_LANG", lang)
    capsys.readouterr()
    assert run([*words, "--json"]) == code
    out, _ = capsys.readouterr()
    error = json.loads(out)["error"]
    assert error["message"]
    assert error["code"] not in ("internal", "os_error")
    chinese = any("\u4e00" <= letter <= "\u9fff" for letter in error["message"])
    assert chinese == (lang == "zh")
    assert run(words) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    assert err.strip()


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["doctor"],
        ["gc", "--dry-run"],
        ["usage"],
        ["keys", "create", "Bob"],
        ["keys", "list"],
        ["worker", "--once"],
        ["review"],
        ["run", "--later", "--method", "linear"],
        ["backup", "copy"],
    ],
    ids=" ".join,
)
def test_json_is_one_object_and_nothing_else(
    folder: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    run([*words, "--json"])
    out, _ = capsys.readouterr()
    assert isinstance(json.loads(out), dict)
    assert out.count("\n") == 1


def test_what_libraries_print_does_not_reach_the_object(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def command(shell: shell.Shell) -> None:
        print("a library says hello")
        shell.emit({"value": 1})

    shell.bind(command)(
        shared_workspace=None, shared_project=None, shared_as_json=True, shared_debug=False
    )
    out, err = capsys.readouterr()
    assert json.loads(out) == {"value": 1}
    assert "hello" in err


def test_a_failure_after_the_object_prints_no_second(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a server that has said its address is interrupted."""

    def command(shell: shell.Shell) -> None:
        shell.emit({"address": "here"})
        raise KeyboardInterrupt

    monkeypatch.setattr("feilun.cli.commands.workspace.status", command)
    capsys.readouterr()
    assert run(["status", "--json"]) == 130
    out, err = capsys.readouterr()
    assert json.loads(out) == {"address": "here"}
    assert "stopped" in err


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    """In English; `test_words` reads it in Chinese."""
    for name in command_names():
        assert run([*name.split(), "--help"]) == 0, name
    assert "Usage" in capsys.readouterr().out


def test_a_function_that_takes_a_shell_is_a_command() -> None:
    """One that its file does not declare would be missing without a word."""
    for info in pkgutil.iter_modules(commands.__path__, f"{commands.__name__}."):
        module = importlib.import_module(info.name)
        taken = {
            name
            for name, function in inspect.getmembers(module, inspect.isfunction)
            if not name.startswith("_")
            and function.__module__ == module.__name__
            and "shell" in inspect.signature(function).parameters
        }
        assert taken == set(module.__all__)


def test_debug_of_the_environment_is_read_like_every_setting(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEILUN_DEBUG", "0")
    assert run(["status", "--project", "none"]) == 2
    monkeypatch.setenv("FEILUN_DEBUG", "1")
    with pytest.raises(UsageError):
        run(["status", "--project", "none"])
    monkeypatch.setenv("FEILUN_DEBUG", "perhaps")
    assert run(["status"]) == 2


def test_values_of_options() -> None:
    assert pairs("--map", ["text=review", "label = score"]) == {"text": "review", "label": "score"}
    given = settings(["a=2", "b=true", "c=[1, 2]", "d=head", "e=1e-4", "f=x=y", 'g="3"'])
    expected = {"a": 2, "b": True, "c": [1, 2], "d": "head", "e": 1e-4, "f": "x=y", "g": "3"}
    assert given == expected
    for wrong in ("text", "=review", " =x"):
        with pytest.raises(UsageError):
            pairs("--map", [wrong])


def test_items_of_media_are_files(tmp_path: Path) -> None:
    from feilun.errors import NotFound

    picture = tmp_path / "a.png"
    picture.write_bytes(cast(bytes, get("image-classification").example_items()[0]))
    images, texts = get("image-classification"), get("text-classification")
    assert read_items(images, [str(picture)], {}) == [picture.read_bytes()]
    with pytest.raises(NotFound):
        read_items(images, ["b.png"], {})
    assert read_items(texts, ["x" * 5000, "a\0b", "see a.csv"], {})[0] == "x" * 5000


def test_progress_without_a_terminal_says_each_quarter_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = Lines()
    for done in range(0, 101, 5):
        lines(Progress("train:head", done, 100, "rows", {"loss": 0.5}, note="begins"))
    err = capsys.readouterr().err.splitlines()
    assert err.count("begins") == 1
    assert len(err) == 6


def test_keys_of_the_review_leave_room_for_its_commands() -> None:
    assert not set(review._KEYS) & set("nqs")
    assert len(set(review._KEYS)) == len(review._KEYS)
    assert sys.stdin is not None
