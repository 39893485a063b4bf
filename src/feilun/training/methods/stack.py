"""One logistic regression on the instant features and the vectors of a frozen encoder together.

What words say outright and what an encoder knows of them add to each other: the features find rare
words that decide, the vectors words that no training row has. The two blocks share one strength;
the columns of the vectors are made small beside a row of features, which is of length one.

Writes a `head` version (see `head`) whose card says ``stacked``, and beside it what `linear` writes
of its features: the raw outputs of both are added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from feilun.engines._features import write_features
from feilun.engines.array import STACKED
from feilun.engines.linear import WEIGHTS, is_scaled, pick, weigh
from feilun.tasks import base as tasks
from feilun.tasks.base import Features, TaskBase, fit_features
from feilun.training import logistic, one_vs_rest
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.logistic import Fitted, Matrix
from feilun.training.methods import head, linear
from feilun.types import Item, Schema

__all__ = ["Settings", "estimate", "fallback", "least_rows", "needs_base", "needs_torch", "order",
           "supports", "train"]  # fmt: skip

order = 1
needs_base = True
needs_torch = True
least_rows = 50
folded = True
fallback = "head"

_CHUNK = 512
_ROOM = 4_000_000
"""Labels times columns at most, as of `linear`."""
_WEIGHT = 0.015
"""Of a standardised column of the vectors. On English reviews (1,800 and three times 600 rows)
0.015 had .710 to .788 out of fold, features alone .707 to .761, vectors alone .678 to .750; twice
as much had a point less."""


class Settings(head.Settings):
    """``[training.stack]``."""

    strength: float | None = Field(
        None,
        gt=0,
        description="inverse of the regularisation; by default the best of 0.3 to 30 over 3 folds",
    )


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """What `head` and `linear` both learn."""
    return head.supports(task, base) or linear.supports(task, base)


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """That of both: one pass of the encoder, then fits on all columns."""
    vectors = head.estimate(job, settings, rows, machine)
    counted = linear.Settings(max_rows=settings.max_rows, augment=settings.augment)
    features = linear.estimate(job, counted, rows, machine)
    return replace(
        vectors,
        memory_bytes=vectors.memory_bytes + features.memory_bytes,
        seconds=vectors.seconds + 2 * features.seconds,
    )


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes a `head` version with features. An update refits on all rows."""
    return head.learn(job, settings, report, _Features)


@dataclass
class _Features(head.Beside):
    """The features of a training, weighed: of its rows with their copies, and of the held rows."""

    strengths: ClassVar[Sequence[float]] = logistic.STRENGTHS
    tag_strengths: ClassVar[Sequence[float]] = one_vs_rest.STRENGTHS
    extra: ClassVar[Mapping[str, Any]] = {STACKED: True}
    features: Features
    columns: np.ndarray
    idf: np.ndarray | None
    rows: Matrix
    held: Matrix

    @classmethod
    def of(cls, schema: Schema, items: Sequence[Item], own: int, held: Sequence[Item]) -> _Features:
        features = fit_features(tasks.of(schema).features(schema.settings), items[:own])
        found, unseen = _transformed(features, items), _transformed(features, held)
        occurs = linear.occurrences(found[:own])
        columns = linear.kept_columns(occurs, min(2, own), _ROOM // len(schema.labels), own)
        found, unseen = pick(found, columns), pick(unseen, columns)
        idf = None
        if not isinstance(found, np.ndarray):
            idf = (np.log((1 + own) / (1 + occurs[columns])) + 1).astype(np.float32)
        if not is_scaled(features):
            found, unseen = weigh(found, idf), weigh(unseen, idf)
        return cls(features, columns, idf, found, unseen)

    def joined(self, vectors: np.ndarray, held: np.ndarray) -> tuple[Matrix, Matrix]:
        return _joined(self.rows, vectors), _joined(self.held, held)

    def written(self, job: TrainJob, fitted: Fitted) -> Fitted:
        from safetensors.numpy import save_file

        count = len(self.columns)
        tensors = {
            "coef": np.ascontiguousarray(fitted.coef[:, :count]),
            "columns": self.columns,
            "intercept": np.zeros(len(fitted.coef), np.float32),
        }
        if self.idf is not None:
            tensors["idf"] = self.idf
        save_file(tensors, job.out / WEIGHTS)
        write_features(job.out, self.features)
        return replace(fitted, coef=np.ascontiguousarray(fitted.coef[:, count:] * _WEIGHT))


def _transformed(features: Features, items: Sequence[Item]) -> Matrix:
    from scipy import sparse

    parts = [
        features.transform(items[start : start + _CHUNK])
        for start in range(0, max(1, len(items)), _CHUNK)
    ]
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    return sparse.vstack(parts, format="csr")


def _joined(features: Matrix, vectors: np.ndarray) -> Matrix:
    own = (vectors * _WEIGHT).astype(np.float32)
    if isinstance(features, np.ndarray):
        return np.hstack([features, own])
    from scipy import sparse

    return sparse.hstack([features, sparse.csr_matrix(own)], format="csr")
