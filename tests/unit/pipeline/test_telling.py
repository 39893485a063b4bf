"""What gains the rows that judge can tell: as they are drawn, and as a plan says it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from feilun.evaluation.forecast import APART, least_gain, rows_to_see
from feilun.messages import use
from feilun.metrics.intervals import paired_difference
from feilun.project import Project
from helpers.linear import QUICK, linear_project


def test_so_large_a_gain_is_proven_in_eight_of_ten_draws() -> None:
    draw = np.random.default_rng(0)
    for rows, apart in ((300, 0.1), (1000, 0.1), (1000, 0.02)):
        gain = least_gain(rows, apart)
        proven = 0
        for _ in range(500):
            kind = draw.choice(3, rows, p=[1 - apart, (apart + gain) / 2, (apart - gain) / 2])
            right = kind < 2
            was_right = kind != 1
            proven += paired_difference(right, was_right).low > 0
        assert 0.72 < proven / 500 < 0.88, (rows, apart)
        assert rows_to_see(gain, apart) == pytest.approx(rows, abs=1)


def test_numbers_are_told_by_their_scatter_and_few_flips_by_their_gain() -> None:
    assert least_gain(400, 9.0, shares=False) == pytest.approx(2.8 * 3 / 20, rel=0.02)
    assert least_gain(100, 1e-6) == pytest.approx(7.85 / 107.85, rel=0.01)


def test_a_plan_says_what_its_rows_can_tell(tmp_path: Path) -> None:
    with linear_project(tmp_path, rows=200) as project:
        first = project.plan(overrides=QUICK)
        assert first.tells is not None
        counts = {name: sum(one.values()) for name, one in _counts(project).items()}
        rows, train = counts["test"], counts["train"]
        assert (first.tells["rows"], first.tells["assumed"]) == (rows, True)
        assert first.tells["gain"] == least_gain(rows, APART)
        assert "fold_rows" not in first.tells, "linear alone is compared with nothing"
        assert any("10 % of the rows" in line for line in first.words)
        project.run(overrides=QUICK)
        project.run(overrides=QUICK | {"training.linear.strength": 0.01})
        versions = project.workspace.store.catalog.model_versions(project.name)
        apart = versions[-1].metrics["scatter"]
        assert apart is not None
        again = project.plan(overrides=QUICK)
        assert again.tells is not None
        assert (again.tells["assumed"], again.tells["apart"]) == (False, apart)
        assert again.tells["fold_rows"] == train
        assert again.tells["fold_gain"] < again.tells["gain"]
        assert json.loads(json.dumps(again.to_json()))["tells"] == again.tells
        run = project.workspace.store.catalog.runs(limit=1)[0]
        assert run.plan["tells"]["rows"] == rows
        use("zh", here_only=True)
        assert any("条测试数据大约能分辨" in line for line in project.plan().words)


def _counts(project: Project) -> Mapping[str, Mapping[str, int]]:
    data = project.workspace.store.catalog.latest_data(project.name)
    assert data is not None
    return data.counts
