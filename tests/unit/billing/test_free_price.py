"""A price of nothing is warned of where it begins to matter: going live, serving, planning."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from feilun.project import Workspace
from helpers.cli import feilun
from helpers.linear import QUICK, linear_project

PLAN = """
currency = "EUR"
[[rates]]
unit = "inputs"
tiers = [{ per_1000 = "0" }]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("free")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEILUN_LANG", "en")
        with linear_project(folder) as project:
            project.train(method="linear", overrides=QUICK)
    return folder


def test_going_live_for_nothing_is_told_and_so_is_serving(folder: Path) -> None:
    with Workspace(folder) as workspace:
        project = workspace.project("reviews")
        assert "cost nothing" not in " ".join(workspace.greeting("http://x"))  # nothing is live
        deployed = project.deploy(force=True, reason="a test")
        said = [note for note in deployed.notes if "cost nothing" in note]
        assert len(said) == 1
        assert str(project.file) in said[0]
        assert said[0] in workspace.greeting("http://x")
        text = project.file.read_text("utf-8")
        for price, free in (("price_per_1000 = 0.0000001", True), ("price_per_1000 = 0.5", False)):
            project.file.write_text(re.sub("price_per_1000 = .*", price, text), "utf-8")
            assert project.is_free() is free
            assert (said[0] in workspace.greeting("http://x")) is free
        project.file.write_text(text, "utf-8")


def test_a_plan_for_nothing_is_told_and_prices_make_the_warning_go(folder: Path) -> None:
    with Workspace(folder) as workspace:
        file = folder / "gift.toml"
        file.write_text(PLAN, "utf-8")
        [table] = workspace.plans.set(file).tables()
        assert any("cost nothing" in note and "inputs" in note for note in table.notes)
        file.write_text(PLAN.replace('"0"', '"0.5"'), "utf-8")
        [table] = workspace.plans.set(file).tables()
        assert not any("cost nothing" in note for note in table.notes)
        file.write_text('monthly_minimum = "9"' + PLAN, "utf-8")
        [table] = workspace.plans.set(file).tables()
        assert not any("cost nothing" in note for note in table.notes)
        assert not workspace.project("reviews").is_free()  # plans price it now


def test_the_command_previews(folder: Path) -> None:
    assert feilun("customers", "add", "Ada", cwd=folder).returncode == 0
    done = feilun("invoice", "preview", "Ada", cwd=folder)
    assert (done.returncode, "There is nothing to bill" in done.stdout) == (0, True)
    assert feilun("invoice", "preview", "Nobody", cwd=folder).returncode == 2
    done = feilun("invoice", "preview", "Ada", "--month", "2999-01", cwd=folder)
    assert (done.returncode, "2999-01 has not begun" in done.stderr) == (2, True)
