"""All versions' tags beside the true ones, and what an evaluation holds of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from feilun.config import EvaluationConfig
from feilun.families.base import Answers, Error, Sheet
from feilun.families.tags.cells import plain
from feilun.families.tags.decisions import (
    certainty,
    decided,
    in_words,
    limits_of,
    probabilities,
)
from feilun.metrics.scores import Score
from feilun.metrics.tags import Tags as Measures

__all__ = ["Details", "TagFigures", "TagSheet"]


@dataclass(frozen=True, slots=True)
class TagFigures:
    """One tag on the test rows: how many `rows` have it, how often it was `answered` and `right`,
    its scores, and the probability from which it is given; `own` where that threshold was set for
    this tag alone."""

    label: str
    rows: int
    answered: int
    right: int
    precision: Score | None
    recall: Score | None
    f1: Score | None
    threshold: float
    own: bool


@dataclass(frozen=True, slots=True)
class Details:
    """`tags`: each one, the most frequent first. `constant` is the set that scores best where every
    row is answered with it, `floor` its micro F1 on these rows, and `macro_floor` its macro F1."""

    tags: tuple[TagFigures, ...] = ()
    constant: tuple[str, ...] = ()
    floor: float = 0.0
    macro_floor: float = 0.0


class TagSheet(Sheet):
    """All versions' tags beside the true ones; `labels` are the columns of `truth`."""

    measured: Measures

    def __init__(
        self,
        candidate: Answers,
        references: Mapping[str, Answers],
        truth: np.ndarray,
        labels: tuple[str, ...],
    ) -> None:
        self._labels, self._truth = labels, truth
        self._answers = {"": candidate, **references}
        self.measured = Measures(truth, decided(candidate, labels))
        self.others = {
            role: Measures(truth, decided(one, labels)) for role, one in references.items()
        }

    def comparable(self, role: str) -> tuple[tuple[str, ...], np.ndarray]:
        """Tags that the other version does not know, and the rows without any of them."""
        known = set(self._answers[role].labels)
        new = tuple(one for one in self._answers[""].labels if one not in known)
        columns = [place for place, label in enumerate(self._labels) if label in new]
        missing: np.ndarray = self._truth[:, columns].max(axis=1, initial=0) < 1
        return new, missing

    def same(self, role: str) -> bool:
        """See `Sheet`."""
        ours, theirs = self._answers[""], self._answers[role]
        if ours.labels != theirs.labels:
            return False
        other: Any = self.others[role]
        alike = np.allclose(probabilities(ours.raw), probabilities(theirs.raw), atol=1e-6)
        return bool(alike) and bool((self.measured.answers == other.answers).all())

    def better(self, role: str) -> tuple[np.ndarray, np.ndarray]:
        """By the number of tags that are missing or wrong in a row."""
        other: Any = self.others[role]
        ours, theirs = self.measured.faults, other.faults
        return ours < theirs, theirs < ours

    def targets(self) -> list[str]:
        """See `Sheet`. Tags that have no column are not named."""
        return [plain(self._named(row)) for row in self._truth]

    def spoken(self, row: int) -> tuple[str, str, str]:
        """See `Sheet`."""
        live: Any = self.others["live"]
        sets = (self._truth[row], live.answers[row], self.measured.answers[row])
        first, second, third = (in_words(self._named(one)) for one in sets)
        return first, second, third

    def errors(self, most: int) -> tuple[int, Sequence[Error]]:
        """Rows with the most missing and wrong tags first. What is stated is how sure the least
        certain decision was; nothing of the truth."""
        faults, one = self.measured.faults, self._answers[""]
        wrong = np.flatnonzero(faults)
        worst = wrong[np.argsort(-faults[wrong], kind="stable")][:most]
        sure = certainty(probabilities(one.raw[worst]), limits_of(one.labels, one.point))
        found = [
            Error(
                row,
                in_words(self._named(self._truth[row])),
                in_words(self._named(self.measured.answers[row])),
                certain,
                0.0,
            )
            for row, certain in zip(worst.tolist(), sure.tolist(), strict=True)
        ]
        return len(wrong), found

    def details(
        self,
        settings: EvaluationConfig,
        train_counts: Mapping[str, int],
        seed: int,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Mapping[str, Any]:
        """The fields of `Details`."""
        one = self._answers[""]
        own = one.point.get("thresholds", {})
        limits = dict(zip(one.labels, limits_of(one.labels, one.point).tolist(), strict=True))
        figures = [
            TagFigures(label, *scores, limits.get(label, 0.5), label in own)
            for label, scores in zip(
                self._labels, self.measured.each(settings.confidence), strict=True
            )
        ]
        figures.sort(key=lambda each: (-each.rows, each.label))
        return {"tags": tuple(figures), **_constant(self._truth, self._labels)}

    def _named(self, row: np.ndarray) -> list[str]:
        return [self._labels[tag] for tag in np.flatnonzero(row[:-1] > 0).tolist()]


def _constant(truth: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
    """The set with the best micro F1 as everybody's answer: the most frequent tags, as many of them
    as raise it."""
    rows = truth[:, :-1].sum(axis=0)
    order = np.argsort(-rows, kind="stable")
    hits, total = np.cumsum(rows[order]), int(truth.sum())
    if not len(order) or not total:
        return {}
    f1 = 2 * hits / (np.arange(1, len(order) + 1) * len(truth) + total)
    best = order[: int(np.argmax(f1)) + 1]
    alone = 2 * rows[best] / (rows[best] + len(truth))
    return {
        "constant": tuple(labels[tag] for tag in best.tolist()),
        "floor": float(f1[len(best) - 1]),
        "macro_floor": float(alone.sum() / max(1, np.count_nonzero(rows))),
    }
