"""Readers of a table's texts and pictures: linear models whose scores trees learn from.

A training row gets its score from a model that has not seen it, else trees would trust what was
learnt by heart. The version keeps the mean of these models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from feilun.engines._readers import Reader, Readers
from feilun.training import logistic, ridge
from feilun.training.folds import FOLDS, deal, strength_for
from feilun.types import Item

if TYPE_CHECKING:
    from feilun.modalities.table.features import TableFeatures
    from feilun.training.logistic import Matrix

__all__ = ["MOST_SCORES", "learn"]

MOST_SCORES = 20
"""Labels that a reader tells apart, the most frequent."""
_MOST_ROWS = 50_000
"""Rows that a reader learns from at most, drawn by the seed."""
_CHOOSING = 5_000


def learn(
    features: TableFeatures,
    items: Sequence[Item],
    truth: np.ndarray,
    count: int | None,
    *,
    seed: int,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Readers, np.ndarray]:
    """The readers, and the scores of `items` (rows, scores) as `Readers.dense` appends them, each
    by a model that did not learn from the row. `truth` are positions of `count` labels, or numbers
    where `count` is None."""
    blocks = features.blocks(items)
    if not blocks:
        return Readers(features, {}), np.zeros((len(truth), 0))
    lots = np.random.default_rng(seed).permutation(len(truth))[:_MOST_ROWS]
    drawn = np.zeros(len(truth), bool)
    drawn[lots] = True
    kinds = truth if count is not None else np.zeros(len(truth), np.int64)
    fold = np.where(drawn, deal(kinds, np.arange(len(truth)), seed=seed), -1)
    readers: dict[str, Reader] = {}
    scores: list[np.ndarray] = [np.zeros((len(truth), 0))]
    for place, (name, block) in enumerate(blocks.items()):
        done = place * FOLDS
        solve = _solver(block, truth, count, lots, seed)
        models = []
        found: np.ndarray = np.zeros(0)
        for number in range(FOLDS):
            models.append(solve((fold != number) & drawn))
            if not number:
                found = np.zeros((len(truth), len(models[0].coef)))
            found[fold == number] = models[-1].scores(block[fold == number])
            tick(done + number + 1, len(blocks) * FOLDS)
        readers[name] = Reader(
            np.mean([one.coef for one in models], axis=0),
            np.mean([one.intercept for one in models], axis=0),
        )
        found[~drawn] = readers[name].scores(block[~drawn])
        scores.append(found)
    return Readers(features, readers), np.hstack(scores)


def _solver(
    block: Matrix, truth: np.ndarray, count: int | None, lots: np.ndarray, seed: int
) -> Callable[[np.ndarray], Reader]:
    """Fits a reader to the rows of a mask, with the strength that suits some of them."""
    if count is None:
        some = np.sort(lots[:_CHOOSING])
        strength = ridge.fit(block[some], truth[some], seed=seed).strength

        def number(rows: np.ndarray) -> Reader:
            fitted = ridge.fit(block[rows], truth[rows], strengths=(strength,))
            return Reader(fitted.coef, fitted.intercept)

        return number
    strength = strength_for(block[lots], truth[lots], count, seed)
    frequent = np.argsort(-np.bincount(truth, minlength=count), kind="stable")[:MOST_SCORES]
    told = np.sort(frequent)

    def label(rows: np.ndarray) -> Reader:
        nobody = (block[:0], truth[:0])
        fitted = logistic.fit(block[rows], truth[rows], count, nobody, strengths=(strength,))
        if count == 2:  # one score says all
            return Reader(fitted.coef[1:] - fitted.coef[:1], np.diff(fitted.intercept))
        centre, level = fitted.coef.mean(axis=0), fitted.intercept.mean()
        return Reader(fitted.coef[told] - centre, fitted.intercept[told] - level)

    return label
