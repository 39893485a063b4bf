"""Settings are checked together: a fault in one table hides none in another."""

from __future__ import annotations

from pathlib import Path

import pytest

from feilun.errors import InvalidSettings, NotFound
from feilun.project.resolve import method_choices, resolve

HEAD = '[project]\nname = "reviews"\ntask = "text-classification"\n'


def _faults(file: Path, text: str, **overrides: object) -> list[str]:
    file.write_text(text, "utf-8")
    with pytest.raises(InvalidSettings) as caught:
        resolve(file, overrides)
    faults: list[str] = list(caught.value.params["faults"])
    assert str(file) in str(caught.value)
    for fault in faults:
        assert fault in caught.value.message()
    return faults


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "feilun.toml"


def test_every_fault_of_every_table_is_named_at_once(file: Path) -> None:
    faults = _faults(
        file,
        HEAD
        + """
colour = "red"
[task]
max_length = -1
[data]
test = 2
[training]
method = "magic"
tempo = 3
[training.full]
epochs = "many"
[update]
schedule = "whenever"
""",
    )
    words = "\n".join(faults)
    for where in (
        "project.colour",
        "task.max_length",
        "data.test",
        "training.method",
        "training.tempo",
        "training.full.epochs",
        "update.schedule",
    ):
        assert where in words, where
    assert "auto" in words
    assert "linear" in words


def test_an_unknown_task_is_named_with_the_others(file: Path) -> None:
    faults = _faults(file, '[project]\nname = "r"\ntask = "magic"\n[serving]\nmax_inputs = 0\n')
    assert any("text-classification" in fault for fault in faults)
    assert any("serving.max_inputs" in fault for fault in faults)


def test_a_table_that_is_none_is_a_fault_and_no_crash(file: Path) -> None:
    for text in ("project = 3\n", HEAD + "\n[training]\nfull = 3\n", "training = 4\n" + HEAD):
        assert _faults(file, text)


def test_overrides_are_checked_like_the_file(file: Path) -> None:
    assert _faults(file, HEAD, **{"training.full.epochs": 0, "evaluation.margin": 7})
    file.write_text(HEAD + "[training.full]\nepochs = 3\n", "utf-8")
    config, methods = resolve(file, {"training.full.epochs": 5, "update.schedule": "0 2 * * *"})
    assert methods["full"]["epochs"] == 5
    assert config.update.schedule == "0 2 * * *"
    assert set(method_choices()) == {"auto", *methods}


def test_a_missing_file_is_said(file: Path) -> None:
    with pytest.raises(NotFound) as caught:
        resolve(file)
    assert caught.value.code == "config.no_file"
