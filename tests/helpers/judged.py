"""Evaluations of versions whose answers are chosen row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from feilun.config import EvaluationConfig
from feilun.evaluation.evaluate import evaluate
from feilun.evaluation.result import Evaluation, Role
from feilun.families.base import Answers
from feilun.families.classes.point import Point
from feilun.types import Item, Schema

SETTINGS = EvaluationConfig(resamples=200)


def answers(
    labels: Sequence[str],
    given: Sequence[int],
    *,
    name: str = "reviews@2",
    method: str = "full",
    sure: float | np.ndarray = 2.0,
    temperature: float = 1.0,
) -> Answers:
    """A version that answers `given` (indices into `labels`) with logits of `sure` for each."""
    logits = np.zeros((len(given), len(labels)), dtype=np.float32)
    logits[np.arange(len(given)), given] = sure
    return Answers(name, method, tuple(labels), logits, Point(temperature).to_json())


def flipped(truth: np.ndarray, wrong: Sequence[int] | range, labels: int) -> np.ndarray:
    """The truth, but for the rows `wrong`, which get the next label."""
    given = np.array(truth)
    rows = list(wrong)
    given[rows] = (given[rows] + 1) % labels
    return given


def judged(
    labels: Sequence[str],
    truth: np.ndarray,
    candidate: Answers,
    references: Mapping[Role, Answers] | None = None,
    *,
    items: Sequence[Item] | None = None,
    **more: Any,
) -> Evaluation:
    """The evaluation of `candidate`; items are short texts unless given."""
    return evaluate(
        candidate,
        truth,
        items=items if items is not None else [f"text {row}" for row in range(len(truth))],
        row_ids=[f"row-{row}" for row in range(len(truth))],
        schema=Schema("text-classification", tuple(labels)),
        train_counts=more.pop("train_counts", {label: 100 - i for i, label in enumerate(labels)}),
        settings=more.pop("settings", SETTINGS),
        references=references,
        **more,
    )
