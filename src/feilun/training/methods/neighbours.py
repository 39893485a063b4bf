"""Item neighbours: what is taken by the same users belongs together.

Two items are as near as the cosine of the users who took them, with `shrinkage` added to its
denominator so that a few common users count little (Sarwar and others, 2001, "Item-Based
Collaborative Filtering Recommendation Algorithms"; Deshpande and Karypis, 2004).
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from feilun.store.dataset import Dataset
from feilun.tasks.base import TaskBase
from feilun.training import interactions
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.settings import MethodSettings
from feilun.types import Progress

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Settings", "estimate", "needs_base", "needs_torch", "order", "supports", "train"]

order = 1
needs_base = False
needs_torch = False
least_rows = 100

_BLOCK = 512  # items whose neighbours are sought at once
_BYTES = 240  # of a row while it is read


class Settings(MethodSettings):
    """``[training.neighbours]``."""

    neighbours: int = Field(200, ge=1, le=10_000, description="neighbours kept of each item")
    shrinkage: float = Field(
        10.0, ge=0, description="how much few common users are mistrusted: 0 is the plain cosine"
    )
    max_history: int = Field(
        1000,
        ge=2,
        description="items of one user that count, drawn by the seed: who took more is often no "
        "person, and costs the square",
    )


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Recommendation alone."""
    return interactions.supports(task)


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """Pairs of items that one user took, some hundred a row."""
    seconds = 2.0 + rows.train * 3e-5
    return Estimate(300_000_000 + rows.train * _BYTES, seconds)


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes a `recommender` version. An update learns from all rows anew."""
    begin = perf_counter()
    dataset = Dataset(job.data)
    found = interactions.read(dataset)
    matrix = limited(found.matrix, settings.max_history, job.seed)
    speaks = _nearest(matrix, settings, report)
    interactions.write(job, dataset, found, settings.model_dump(), speaks)
    users, items = matrix.shape
    figures = {"seconds": perf_counter() - begin, "rows": float(dataset.size("train"))}
    return TrainResult({**figures, "users": float(users), "items": float(items)})


def limited(matrix: csr_matrix, most: int, seed: int) -> csr_matrix:
    """`matrix` with at most `most` items a user, drawn by `seed`."""
    from scipy.sparse import csr_matrix

    counts = np.diff(matrix.indptr)
    if counts.max(initial=0) <= most:
        return matrix
    lots = np.random.default_rng(seed).random(matrix.nnz)
    user = np.repeat(np.arange(len(counts)), counts)
    order = np.lexsort((lots, user))
    rank = np.arange(matrix.nnz) - np.repeat(matrix.indptr[:-1], counts)
    kept = np.sort(order[rank < most])
    return csr_matrix((matrix.data[kept], (user[kept], matrix.indices[kept])), matrix.shape)


def _nearest(matrix: csr_matrix, settings: Settings, report: Report) -> csr_matrix:
    """The neighbours of each item with their nearness, (items, items)."""
    from scipy.sparse import csr_matrix, vstack

    count = matrix.shape[1]
    of_item = matrix.T.tocsr()
    root = np.sqrt(np.asarray(matrix.sum(axis=0)).ravel())
    blocks = []
    for start in range(0, count, _BLOCK):
        common = (of_item[start : start + _BLOCK] @ matrix).tocoo()
        row, column = common.row, common.col
        keep = row + start != column
        row, column = row[keep], column[keep]
        near = common.data[keep] / (root[row + start] * root[column] + settings.shrinkage)
        order = np.lexsort((column, -near, row))
        row, column, near = row[order], column[order], near[order]
        begins = np.searchsorted(row, np.arange(min(_BLOCK, count - start)))
        first = np.arange(len(row)) - begins[row] < settings.neighbours
        shape = min(_BLOCK, count - start), count
        blocks.append(csr_matrix((near[first], (row[first], column[first])), shape, np.float32))
        report(Progress("train", min(count, start + _BLOCK), count, "items"))
    return vstack(blocks, "csr")
