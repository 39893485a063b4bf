"""How many more labels: the law that made the points is found again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from feilun.errors import InvalidData, UsageError
from feilun.evaluation.forecast import Point, forecast, rows_to_see
from feilun.training.curve import FITS, PARTS, curve
from helpers.linear import linear_project


def _points(error: Callable[[float], float], judged: int = 4000, seed: int = 0) -> list[Point]:
    """Versions of growing size on the same rows, some of which are hard for all of them."""
    hard = np.random.default_rng(seed).random(judged)
    return [Point(rows, hard >= error(rows)) for rows in (400, 560, 800, 1120, 1600)]


def test_a_power_law_is_found_again() -> None:
    def error(rows: float) -> float:
        return 0.08 + 2.0 * rows**-0.4

    rows = 2000
    found = forecast(_points(error), rows, gain=0.02)
    wanted = (2.0 / (error(rows) - 0.02 - 0.08)) ** 2.5 - rows
    assert found.state == "more"
    assert found.more is not None
    assert wanted / 1.5 < found.more < wanted * 1.5
    assert found.low is not None
    assert found.low <= found.more
    assert found.high is None or found.more <= found.high
    assert found.now == pytest.approx(1 - error(rows), abs=0.02)
    same = forecast(_points(error), rows, target=found.now + 0.02)
    assert same.more == pytest.approx(found.more, rel=0.3)


def test_what_is_reached_or_out_of_sight_is_said() -> None:
    def flat(rows: float) -> float:
        return 0.2 + 1e-6 * rows**-0.1

    far = forecast(_points(flat), 2000, gain=0.1)
    assert (far.state, far.more, far.high) == ("far", None, None)
    assert far.ceiling < 0.9
    reached = forecast(_points(lambda rows: rows**-0.3), 2000, target=0.5)
    assert (reached.state, reached.more) == ("reached", 0)


def test_few_judging_rows_make_a_wide_range() -> None:
    def error(rows: float) -> float:
        return 3.0 * rows**-0.4

    def width(judged: int) -> float:
        found = forecast(_points(error, judged), 2000, gain=0.02)
        assert found.low is not None
        return (found.high or 20_000) / max(found.low, 1)

    assert width(200) > width(20_000)


def test_two_points_make_no_curve() -> None:
    points = _points(lambda rows: rows**-0.3)
    with pytest.raises(ValueError, match="three points"):
        forecast(points[:2], 2000, gain=0.02)
    with pytest.raises(ValueError, match="target or gain"):
        forecast(points, 2000)


def test_rows_to_see_a_gain_see_it_in_eight_of_ten() -> None:
    from feilun.metrics.intervals import paired_difference

    rows = rows_to_see(0.03, 0.1)
    assert 700 < rows < 1000
    generator = np.random.default_rng(0)
    seen = 0
    for _ in range(400):
        kind = generator.random(rows)
        new, old = kind >= 0.035, (kind < 0.035) | (kind >= 0.1)
        seen += paired_difference(new, old).low > 0
    assert 0.74 <= seen / 400 <= 0.86
    assert rows_to_see(0.01, 0.1) > 8 * rows_to_see(0.03, 0.1)


def test_the_curve_judges_every_row_by_models_that_did_not_learn_it() -> None:
    """Labels by lot cannot be told, however many rows: nothing leaks from a row to its judge."""
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(200, 12)).astype(np.float32)
    labels = generator.integers(0, 2, 200)
    ticks: list[int] = []
    grown = curve(rows, labels, 2, 1.0, tick=ticks.append)
    assert [size for size, _ in grown] == [round(part * 160) for part in PARTS]
    assert ticks == list(range(1, FITS + 1))
    assert all(abs(right.mean() - 0.5) < 0.1 for _, right in grown)
    twins = np.concatenate([rows, rows])
    grown = curve(
        twins, np.concatenate([labels, labels]), 2, 1.0, groups=np.tile(np.arange(200), 2)
    )
    assert abs(grown[-1][1].mean() - 0.5) < 0.1


def test_too_few_rows_are_refused(tmp_path: Path) -> None:
    with linear_project(tmp_path) as project:
        with pytest.raises(InvalidData) as caught:
            project.forecast(gain=0.01)
        assert caught.value.code == "forecast.too_few"
        for aims in ({}, {"gain": 0.1, "target": 0.9}, {"gain": 1.5}):
            with pytest.raises(UsageError):
                project.forecast(**aims)


def test_the_verb_speaks_of_training_and_of_test_rows(tmp_path: Path) -> None:
    with linear_project(tmp_path, rows=300) as project:
        found = project.forecast(gain=0.01)
        assert found.version is None
        assert found.found.rows >= 200
        assert len(found.found.curve) == len(PARTS)
        assert found.found.assumed
        notes = " ".join(note for table in found.tables() for note in table.notes)
        assert "test rows" in notes
        assert json.loads(json.dumps(found.to_json()))["gain"] == 0.01
