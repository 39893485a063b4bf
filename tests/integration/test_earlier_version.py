"""What feilun 0.1.0 made is opened by this version, which answers from it as that one did.

`tests/fixtures/make.py` made the workspace and wrote down what 0.1.0 said of it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from feilun.evaluation.gate import Decision
from feilun.evaluation.report import render
from feilun.evaluation.result import Evaluation
from feilun.project import Workspace
from feilun.project.ledger_book import verify
from helpers import earlier

V010 = Path(__file__).parents[1] / "fixtures" / "v010"


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    """What 0.1.0 said."""
    said: dict[str, Any] = json.loads((V010 / earlier.GOLDEN).read_text("utf-8"))
    return said


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the workspace that 0.1.0 made, nowhere near where it was made."""
    return earlier.unpack(V010 / earlier.WORKSPACE, tmp_path / "moved")


def test_every_answer_is_the_one_that_was_given(folder: Path, golden: dict[str, Any]) -> None:
    found = earlier.look(folder, golden["secret"])
    assert found.keys() | {"secret"} == golden.keys()
    for part, said in found.items():
        assert said == golden[part], part


def test_stored_reports_are_read_and_shown(folder: Path) -> None:
    with Workspace(folder) as workspace:
        for name in ("reviews", "digits"):
            live = workspace.project(name).model("live")
            raw = earlier.stored_report(workspace.store, live.record)
            evaluation = Evaluation.from_json(raw["evaluation"])
            decision = Decision.from_json(raw["decision"])
            assert evaluation.to_json() == raw["evaluation"]
            assert decision.to_json() == raw["decision"]
            assert live.id in render(evaluation, decision)


def test_the_wheel_goes_on(folder: Path) -> None:
    with Workspace(folder) as workspace:
        reviews = workspace.project("reviews")
        turned = reviews.update()
        assert [model.id for model in reviews.models()][-1] == "reviews@3"
        assert turned.data_version == "reviews:2"
        again = workspace.project("digits").run(method="linear", overrides={"training.seed": 9})
        assert again.rungs[0].version == "digits@2"
        assert verify(workspace).ok
