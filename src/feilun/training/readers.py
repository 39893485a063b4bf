"""Readers of a table's texts and pictures: linear models whose scores trees learn from. An encoder,
where there is one, has each text read a second time, by its vector.

A training row gets its score from a model that has not seen it, else trees would trust what was
learnt by heart. The version keeps the mean of these models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from feilun.engines._readers import Key, Reader, Readers
from feilun.engines._readers import blocks as read_blocks
from feilun.training import logistic, ridge
from feilun.training.folds import FOLDS, strength_for
from feilun.training.out_of_fold import deal
from feilun.training.standardise import spreads
from feilun.types import Item

if TYPE_CHECKING:
    from feilun.engines._column_vectors import ColumnVectors
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
    encoder: ColumnVectors | None = None,
    groups: np.ndarray | None = None,
    seed: int,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Readers, np.ndarray]:
    """The readers, and the scores of `items` (rows, scores) as `Readers.dense` appends them, each
    by a model that learnt from no row of the same of `groups`. `truth` are positions of `count`
    labels, or numbers where `count` is None."""
    blocks = read_blocks(features, items, encoder)
    if not blocks:
        return Readers(features, {}, encoder), np.zeros((len(truth), 0))
    lots = np.random.default_rng(seed).permutation(len(truth))[:_MOST_ROWS]
    drawn = np.zeros(len(truth), bool)
    drawn[lots] = True
    fold = np.where(drawn, deal(truth, groups, FOLDS, seed), -1)
    readers: dict[Key, Reader] = {}
    scores: list[np.ndarray] = [np.zeros((len(truth), 0))]
    for place, (name, given) in enumerate(blocks.items()):
        done = place * FOLDS
        block, own = (given, _same) if name[1] == "" else _standardised(given)
        solve = _solver(block, truth, count, lots, seed)
        models = []
        found: np.ndarray = np.zeros(0)
        for number in range(FOLDS):
            models.append(solve((fold != number) & drawn))
            if not number:
                found = np.zeros((len(truth), len(models[0].coef)))
            found[fold == number] = models[-1].scores(block[fold == number])
            tick(done + number + 1, len(blocks) * FOLDS)
        mean = Reader(
            np.mean([one.coef for one in models], axis=0),
            np.mean([one.intercept for one in models], axis=0),
        )
        found[~drawn] = mean.scores(block[~drawn])
        readers[name] = own(mean)
        scores.append(found)
    return Readers(features, readers, encoder), np.hstack(scores)


def _same(reader: Reader) -> Reader:
    return reader


def _standardised(vectors: np.ndarray) -> tuple[np.ndarray, Callable[[Reader], Reader]]:
    """`vectors` (rows, width) about their mean and in units of their spread, rows of about length
    one, so that the strengths that suit n-grams suit them; and what makes a reader of these one of
    the vectors as they come."""
    mean = vectors.mean(axis=0)
    scale = spreads(vectors) * np.float32(np.sqrt(vectors.shape[1]))

    def own(reader: Reader) -> Reader:
        coef = reader.coef / scale
        return Reader(coef, reader.intercept - coef @ mean)

    return (vectors - mean) / scale, own


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
