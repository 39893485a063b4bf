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
from fixtures.make import learn
from helpers import earlier

LEARNT = 1e-6
"""What the number of threads may change in what is learnt."""
ELSEWHERE = 2e-4
"""What another processor's arithmetic may change: some figures are kept to four decimals."""
CHANGED = (
    "/more_rows:",  # what the rows still needed would settle is another question
    "/shades",  # Chinese texts are explained by words, not by single characters
    "/api/embeddings/error/message:",  # it names the methods that have an encoder, now more
    "/api/schemas/FeedbackBody/required:",  # a rejection with a reason needs no label
)
"""Where this version says something else on purpose."""
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


@pytest.fixture
def elsewhere(golden: dict[str, Any]) -> bool:
    """Whether this machine computes otherwise than the one that 0.1.0 ran on."""
    return bool(golden["kernels"] != earlier.kernels())


def test_every_answer_is_the_one_that_was_given(
    folder: Path, golden: dict[str, Any], elsewhere: bool
) -> None:
    found = earlier.look(folder, golden["secret"])
    for name in ("digits", "reviews"):  # what is advised names the project, of two, by now
        told = found[name]["evaluate"]
        told["verdict"] = told["verdict"].replace(f" --project {name}", "")
    tolerance = ELSEWHERE if elsewhere else 0.0
    differing = earlier.differences(golden["said"], found, tolerance)
    assert [one for one in differing if not any(name in one for name in CHANGED)] == []


def test_stored_reports_are_read_and_shown(folder: Path) -> None:
    with Workspace(folder) as workspace:
        for name in ("reviews", "digits"):
            live = workspace.project(name).model("live")
            raw = earlier.stored_report(workspace.store, live.record)
            evaluation = Evaluation.from_json(raw["evaluation"])
            decision = Decision.from_json(raw["decision"])
            for found, kept in ((evaluation, raw["evaluation"]), (decision, raw["decision"])):
                assert _of_what_was_kept(found.to_json(), kept) == kept
            assert live.id in render(evaluation, decision)


def _of_what_was_kept(found: Any, kept: Any) -> Any:
    """`found` without what later versions say besides, however deep."""
    if isinstance(kept, dict):
        return {name: _of_what_was_kept(found[name], one) for name, one in kept.items()}
    if isinstance(kept, list) and len(found) == len(kept):
        return [_of_what_was_kept(*pair) for pair in zip(found, kept, strict=True)]
    return found


@pytest.mark.slow
def test_an_update_learns_all_of_the_corrections_and_is_not_judged_on_them(
    folder: Path, golden: dict[str, Any]
) -> None:
    """0.1.0 put a part of them among the rows that choose and judge."""
    before, found = golden["update"], earlier.update(folder)
    assert (found["data"], found["reason"]) == (before["data"], before["reason"])
    assert {one["label"] for one in found["outputs"]} <= set(found["outputs"][0]["scores"])
    with Workspace(folder) as workspace:
        first, second = workspace.store.catalog.data_versions("reviews")
        rows = {
            split: [sum(one.counts.get(split, {}).values()) for one in (first, second)]
            for split in ("train", "validation", "test")
        }
        assert rows["train"][1] - rows["train"][0] == second.info["new"] > 0
        assert rows["validation"][0] == rows["validation"][1]
        assert rows["test"][0] == rows["test"][1] == found["metrics"]["rows"]
        assert found["metrics"]["training"]["rows"] == rows["train"][1]
        assert rows["train"][1] > before["metrics"]["training"]["rows"]
        digits = workspace.project("digits")
        digits.train(method="linear", overrides={"training.seed": 9}, restart=True)
        assert [model.id for model in digits.models()] == ["digits@1", "digits@2"]
        assert verify(workspace.scope).ok


@pytest.mark.slow
def test_the_same_rows_make_the_same_versions(
    tmp_path: Path, golden: dict[str, Any], elsewhere: bool
) -> None:
    tolerance = ELSEWHERE if elsewhere else LEARNT
    with Workspace(tmp_path / "workspace") as workspace:
        for project in learn(workspace, tmp_path):
            name = project.name
            items = earlier.items(workspace, name)
            found = earlier.learnt(project.model("live"), items)
            said = golden["said"][name]["versions"][f"{name}@1"]
            said = {part: said[part] for part in found}
            assert earlier.differences(said, found, tolerance) == []
