"""What verbs return shows itself as tables, as HTML and as JSON, in both languages."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feilun import messages
from feilun.project.access import NewApiKey
from feilun.project.results import (
    Added,
    Deployed,
    Evaluated,
    FeedbackAdded,
    Predicted,
    Stage,
    Turned,
    percent,
    scored,
    size,
)
from feilun.table import Result, Table, to_jsonable

SCORE = {"value": 0.8512, "low": 0.83, "high": 0.872}
RUNG = Stage("r@1", "linear", "accuracy", SCORE, True, "first", ["so"], None, 0.3, 15_300, 2.0)
RESULTS: list[Result] = [
    Turned("r-run-1", "run", True, "r@1", [RUNG], Path("r.html"), "r:1"),
    Turned("r-update-1", "update", False, None, [], None, reason="too few"),
    Evaluated("r@1", 10, {"accuracy": SCORE, "log_loss": SCORE}, "", [], None, None),
    Deployed("r@2", "r@1", True, {"total": 200, "equal": 200, "worst": 0.001}),
    Predicted("r@1", ["a <b>\nc"], [{"label": "x", "score": 0.5}]),
    FeedbackAdded(3, [{"row": 4, "reason": "no such answer"}]),
    FeedbackAdded(3, []),
    NewApiKey("fl_secret", "fl_s", "Bob", None, "curl"),
]


@pytest.mark.parametrize("lang", messages.LANGUAGES)
@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
def test_a_result_shows_itself(result: Result, lang: messages.Language) -> None:
    messages.use(lang)
    tables = result.tables()
    assert tables
    for table in tables:
        assert all(len(row) == len(table.columns) for row in table.rows)
    assert json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert result._repr_html_()


def test_labels_that_are_numbers_are_told_from_their_rows() -> None:
    plain: dict[str, Any] = {"rows": 9, "new": 9, "duplicates": 0, "bad": 0, "sources": []}
    plain |= {"warnings": [], "bad_rows": None}
    for counts, said in (
        ({"1": 1700, "good": 2}, "1: 1,700, good: 2"),
        ({"bad": 3, "so so": 1}, "bad 3, so so 1"),
    ):
        _, splits = Added("r:1", False, {**plain, "counts": {"train": counts}}).tables()
        assert splits.rows[0][-1] == said


def test_html_of_a_table_is_escaped() -> None:
    page = Table("a & b", ["<c>"], [["<script>"]], ["1 < 2"])._repr_html_()
    for good in ("a &amp; b", "&lt;c&gt;", "&lt;script&gt;", "1 &lt; 2"):
        assert good in page
    assert "<script>" not in page
    assert Table("", (), (), ["note"])._repr_html_() == "<p>note</p>"


def test_scores_and_sizes_in_words() -> None:
    assert percent(SCORE) == "85.1 (83.0–87.2)"
    assert scored("accuracy", SCORE) == percent(SCORE)
    assert scored("log_loss", SCORE) == "0.851 (0.830–0.872)"
    assert percent(None) == scored("log_loss", None) == size(None) == "–"
    assert [size(n) for n in (999, 1500, 2.5e6, 3e12)] == ["999 B", "1.5 KB", "2.5 MB", "3.0 TB"]


@dataclass(frozen=True)
class _Odd(Result):
    when: datetime
    where: Path
    many: Any
    _hidden: object = None


def test_to_jsonable_knows_what_results_hold() -> None:
    odd = _Odd(datetime(2026, 1, 2, tzinfo=UTC), Path("x"), {1: {float("nan"), 2.0}}, object())
    plain = odd.to_json()
    assert plain["when"] == "2026-01-02T00:00:00+00:00"
    assert plain["where"] == "x"
    assert set(plain["many"]["1"]) == {None, 2.0}
    assert "_hidden" not in plain
    assert to_jsonable(np.array([1.0, np.inf])) == [1.0, None]
    assert to_jsonable(np.float32(0.5)) == 0.5
