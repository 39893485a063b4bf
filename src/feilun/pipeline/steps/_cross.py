"""The linear baseline's answers to rows that it did not see: what they tell of duplicates and
labels."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from feilun.data.audit import suspects
from feilun.data.audit.finding import Draft, Mend
from feilun.data.audit.inflation import Inflation
from feilun.data.audit.sample import Sample
from feilun.data.audit.scan import Scan
from feilun.data.outcome import Notice
from feilun.pipeline.steps._looked import Looked
from feilun.training import folds
from feilun.training.out_of_fold import deal

__all__ = ["Crossed", "cross"]

_LEAST = 200
"""Labelled rows below which nothing that was fitted says anything."""
_WORK = 60_000_000
"""Non-zero features times labels beyond which the sample is cut: a fit takes some ten seconds."""
_WORTH = 0.005
"""Share of rows that have a twin from which on their cost is measured."""


@dataclass(frozen=True, slots=True)
class Crossed:
    """`rows` were answered, `accuracy` of one row of each group of near-duplicates. `by_script`:
    right or wrong, bool, for each script."""

    rows: int
    accuracy: float
    inflation: Inflation | None
    by_script: Mapping[int, np.ndarray]
    drafts: list[Draft]
    suspects: bool


def cross(
    looked: Looked, rows: Scan, sample: Sample, first: np.ndarray, group: np.ndarray
) -> Crossed | None:
    """Answers the sample in five folds that part no near-duplicates; None for too few rows
    and for targets that are no classes."""
    labels = rows.labels[sample.places].astype(np.int64)
    if looked.task.family.many_targets or len(labels) < _LEAST or len(np.unique(labels)) < 2:
        return None
    count = len(rows.names)
    matrix = folds.matrix_of(looked.task.features(looked.settings), sample.items)
    work = int(getattr(matrix, "nnz", matrix.size)) * len(np.unique(labels))
    if work > _WORK:
        most = max(_LEAST, int(len(labels) * _WORK / work))
        # By groups again, or the duplicates would thin out.
        lots = np.random.default_rng(looked.seed).permutation(len(group))
        kept = np.sort(np.argsort(lots[group[sample.places]], kind="stable")[:most])
        sample, labels, matrix = sample.part(kept), labels[kept], matrix[kept]
        if len(np.unique(labels)) < 2:
            return None
    groups = group[sample.places]
    heads = np.zeros(len(labels), bool)
    heads[np.unique(groups, return_index=True)[1]] = True
    strength = folds.strength_for(matrix[heads], labels[heads], count, looked.seed)
    fold = deal(labels, groups, folds.FOLDS, looked.seed)
    probabilities = folds.out_of_fold(matrix, labels, count, fold, strength)
    right = probabilities.argmax(axis=1) == labels
    accuracy = float(right[heads].mean())
    inflation = None
    if rows.text and 1 - heads.mean() > _WORTH:
        naive, distinct = _naively(matrix, labels, count, strength, first[sample.places], looked)
        inflation = Inflation.of(len(labels), naive, distinct, right[heads])
    scripts = rows.scripts[sample.places]
    by_script = {
        number: right[heads & (scripts == number)] for number in np.unique(scripts).tolist()
    }
    drafts = _suspects(looked, rows, sample.part(np.flatnonzero(heads)), probabilities[heads],
                       accuracy)  # fmt: skip
    return Crossed(len(labels), accuracy, inflation, by_script, drafts, bool(drafts))


def _naively(
    matrix: folds.Matrix,
    labels: np.ndarray,
    count: int,
    strength: float,
    first: np.ndarray,
    looked: Looked,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Right and wrong where a fifth is drawn by lot: of all rows, and of the distinct ones (None
    where all are)."""

    def judged(rows: folds.Matrix, truth: np.ndarray) -> np.ndarray:
        judge = deal(truth, None, folds.FOLDS, looked.seed) == 0
        answers = folds.trained_on(rows, truth, count, ~judge, judge, strength)
        right: np.ndarray = answers.argmax(axis=1) == truth[judge]
        return right

    distinct = np.unique(first, return_index=True)[1]
    all_rows = judged(matrix, labels)
    if len(distinct) == len(first):
        return all_rows, None
    return all_rows, judged(matrix[distinct], labels[distinct])


def _suspects(
    looked: Looked, rows: Scan, sample: Sample, probabilities: np.ndarray, accuracy: float
) -> list[Draft]:
    """One row of each group of near-duplicates: a wrong label is looked at once."""
    labels = rows.labels[sample.places]
    found = suspects.find(labels, probabilities)
    drafts = suspects.finding(
        found,
        labels,
        rows.names,
        sample.places.tolist(),
        Notice("audit.basis_distinct", {"rows": len(sample), "of": len(rows)}),
        looked.suspects.name,
        Mend((f"{looked.clean} --relabel {shlex.quote(str(looked.suspects))}",)),
        accuracy,
    )
    if drafts:
        texts = sample.texts
        ids = [example.row_id for example in sample.examples]
        shown = {at: (ids[at], texts[at] or ids[at]) for at in found.rows.tolist()}
        suspects.write(looked.suspects, found, labels, rows.names, shown)
    return drafts
