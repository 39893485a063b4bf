"""EASE: a linear model that finds each item back from the others a user took, in closed form
(Steck, 2019, "Embarrassingly Shallow Autoencoders for Sparse Data").

Unlike neighbours it knows that two items which mostly come together say the same twice, and it
counts against an item what speaks against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from feilun.errors import EnvironmentProblem
from feilun.messages import t
from feilun.store.dataset import Dataset
from feilun.tasks.base import TaskBase
from feilun.training import interactions
from feilun.training.interactions import Interactions
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.settings import MethodSettings
from feilun.types import Progress, Range, Real

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = [
    "Settings",
    "estimate",
    "learnt",
    "needs_base",
    "needs_torch",
    "notes",
    "order",
    "supports",
    "train",
]

order = 2
needs_base = False
needs_torch = False
least_rows = 1000

_FLOPS = 5e9  # a second, of one thread in double precision
_BYTES = 240  # of a row while it is read


class Settings(MethodSettings):
    """``[training.ease]``."""

    regularisation: float = Field(
        300.0, gt=0, description="users that must agree before a weight counts: L2 regularisation"
    )
    max_items: int = Field(
        5000,
        ge=2,
        le=30_000,
        description="items that are learnt, the most taken ones; the time grows with the third "
        "power, the memory with the second. The others are only answered as popular",
    )
    kept: int = Field(500, ge=1, description="weights kept of each item, the largest")

    @classmethod
    def space(cls, task: TaskBase) -> Mapping[str, Range]:
        """How many users must agree."""
        return {"regularisation": Real(10.0, 3000.0, log=True)}


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Recommendation alone."""
    return interactions.supports(task)


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """A matrix of all pairs of items is inverted. How many items there are is known only to be
    fewer than rows."""
    items = min(rows.train, settings.max_items)
    memory = 300_000_000 + 3 * 8 * items**2 + rows.train * _BYTES
    return Estimate(memory, 2.0 + items**3 / _FLOPS + rows.train * 1e-5, {"items": float(items)})


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes a `recommender` version. An update learns from all rows anew. Raises
    `EnvironmentProblem` where the matrix cannot be inverted."""
    begin = perf_counter()
    dataset = Dataset(job.data)
    found = interactions.read(dataset)
    report(Progress("train", 1, 3, "steps"))
    speaks, count = learnt(found, settings)
    report(Progress("train", 2, 3, "steps"))
    interactions.write(job, dataset, found, settings.model_dump(), speaks)
    report(Progress("train", 3, 3, "steps"))
    users, items = found.matrix.shape
    figures = {"seconds": perf_counter() - begin, "rows": float(dataset.size("train"))}
    figures |= {"users": float(users), "items": float(items), "learnt": float(count)}
    return TrainResult(figures, notes(count, items))


def learnt(found: Interactions, settings: Settings) -> tuple[csr_matrix, int]:
    """How much each item speaks for each other one, (items, items), and of how many items that is
    known. Raises `EnvironmentProblem` where the matrix cannot be inverted."""
    count = np.asarray(found.matrix.sum(axis=0)).ravel()
    chosen = np.sort(np.argsort(-count, kind="stable")[: settings.max_items])
    weights = _weights(found.matrix[:, chosen], settings.regularisation)
    return _largest(weights, chosen, len(count), settings.kept), len(chosen)


def notes(count: int, items: int) -> tuple[str, ...]:
    """Says so where only `count` of the `items` are learnt."""
    if count == items:
        return ()
    return (t("training.note_items_learnt", learnt=count, items=items),)


def _weights(matrix: csr_matrix, regularisation: float) -> np.ndarray:
    """How much each item of a history (rows) speaks for each other one (columns): the inverse of
    the regularised Gram matrix, its columns divided by their diagonal, with a diagonal of 0."""
    from scipy.linalg import lapack

    gram = (matrix.T @ matrix).toarray().astype(np.float64, order="F")
    gram[np.diag_indices_from(gram)] += regularisation
    factor, failed = lapack.dpotrf(gram, lower=1, overwrite_a=1)
    if not failed:
        inverse, failed = lapack.dpotri(factor, lower=1, overwrite_c=1)
    if failed:
        raise EnvironmentProblem("training.not_invertible", regularisation=regularisation)
    inverse = np.tril(inverse)
    inverse += np.tril(inverse, -1).T
    weights: np.ndarray = inverse / -np.diag(inverse)
    weights[np.diag_indices_from(weights)] = 0
    return weights


def _largest(weights: np.ndarray, chosen: np.ndarray, count: int, kept: int) -> csr_matrix:
    """The `kept` largest weights of each row, for or against, as a matrix (count, count) of which
    the items `chosen` have any."""
    from scipy.sparse import csr_matrix

    kept = min(kept, len(chosen) - 1)
    columns = np.argpartition(-np.abs(weights), kept - 1, axis=1)[:, :kept]
    rows = np.repeat(chosen, kept)
    values = np.take_along_axis(weights, columns, axis=1).ravel().astype(np.float32)
    made = csr_matrix((values, (rows, chosen[columns.ravel()])), (count, count))
    made.eliminate_zeros()
    made.sort_indices()
    return made
