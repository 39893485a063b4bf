"""Versions' probabilities beside the true labels, over one set of labels, and what of an evaluation
speaks of labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from feilun.config import EvaluationConfig
from feilun.errors import InvalidSettings
from feilun.families.base import Answers, Error, Sheet
from feilun.families.classes.binary import classified
from feilun.families.classes.calibration import BINS, Bin, calibration_score, reliability
from feilun.families.classes.choice import judge
from feilun.families.classes.classification import Classified, class_scores
from feilun.families.classes.details import Calibration, ClassScores, Confusion, Details
from feilun.families.classes.point import point_of
from feilun.metrics.probabilities import softmax

__all__ = ["ClassSheet", "align", "label_space"]

_ROWS_A_BIN = 40
_SAME = 1e-4
"""Probabilities that differ by a smaller part of themselves are the same. Not by an amount: sure
versions differ in their smallest probabilities alone."""


def label_space(labels: Sequence[str], versions: Iterable[Answers]) -> tuple[str, ...]:
    """`labels`, followed by those that only a version knows: a version that answers a label which
    is no longer asked for must be counted wrong, not silenced."""
    space = dict.fromkeys(labels)
    for version in versions:
        space.update(dict.fromkeys(version.labels))
    return tuple(space)


def align(answers: Answers, space: Sequence[str], *, calibrated: bool = True) -> np.ndarray:
    """Probabilities (rows, len(space)) float64; 0 for labels that the version does not know.
    Raises `ValueError` when the columns are not as many as the labels."""
    if answers.raw.ndim != 2 or answers.raw.shape[1] != len(answers.labels):
        raise ValueError(
            f"{answers.name}: logits of shape {answers.raw.shape} for {len(answers.labels)} labels"
        )
    known = softmax(answers.raw, point_of(answers.point).temperature if calibrated else 1.0)
    if tuple(space) == answers.labels:
        return known
    place = {label: index for index, label in enumerate(space)}
    full = np.zeros((len(known), len(space)))
    full[:, [place[label] for label in answers.labels]] = known
    return full


class ClassSheet(Sheet):
    """See `Sheet`. `truth` holds indices into `labels`, no -1 among them."""

    def __init__(
        self,
        candidate: Answers,
        references: Mapping[str, Answers],
        truth: np.ndarray,
        labels: tuple[str, ...],
    ) -> None:
        versions = [candidate, *references.values()]
        self.space = label_space(labels, versions)
        self.truth = truth
        self._candidate, self._references, self._labels = candidate, references, labels
        self.stated = align(candidate, self.space)
        self.measured: Classified = classified(truth, self.stated)
        self._old = {role: align(other, self.space) for role, other in references.items()}
        self.others: Mapping[str, Classified] = {
            role: classified(truth, stated) for role, stated in self._old.items()
        }

    def comparable(self, role: str) -> tuple[tuple[str, ...], np.ndarray]:
        """Labels that the other version lacks, and the rows whose label it knows."""
        other = self._references[role]
        mine = set(other.labels)
        added = tuple(label for label in self._candidate.labels if label not in mine)
        rows = np.ones(len(self.truth), dtype=bool)
        if added:
            known = np.isin(self.truth, [self.space.index(label) for label in other.labels])
            rows = known if known.any() else rows
        return added, rows

    def same(self, role: str) -> bool:
        """See `Sheet`."""
        added, _ = self.comparable(role)
        return not added and bool(np.allclose(self.stated, self._old[role], rtol=_SAME, atol=0))

    def better(self, role: str) -> tuple[np.ndarray, np.ndarray]:
        """See `Sheet`."""
        right, was_right = self.measured.right, self.others[role].right
        return right & ~was_right, was_right & ~right

    def targets(self) -> list[str]:
        """See `Sheet`."""
        return [self.space[place] for place in self.truth.tolist()]

    def spoken(self, row: int) -> tuple[str, str, str]:
        """See `Sheet`."""
        was, now = self.others["live"].answers[row], self.measured.answers[row]
        return self.space[int(self.truth[row])], self.space[int(was)], self.space[int(now)]

    def errors(self, most: int) -> tuple[int, Sequence[Error]]:
        """The surest errors first; rows as sure as each other in their order."""
        answers = self.measured.answers
        wrong = np.flatnonzero(answers != self.truth)
        sure = self.stated[wrong].max(axis=1)
        found = []
        for row in wrong[np.argsort(-sure, kind="stable")][:most].tolist():
            truth, answer = int(self.truth[row]), int(answers[row])
            stated = self.stated[row]
            found.append(
                Error(
                    row,
                    self.space[truth],
                    self.space[answer],
                    float(stated[answer]),
                    float(stated[truth]),
                )
            )
        return len(wrong), found

    def details(
        self,
        settings: EvaluationConfig,
        train_counts: Mapping[str, int],
        seed: int,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Mapping[str, Any]:
        """The fields of `Details`. Raises `InvalidSettings` for a target or costs of a label that
        is not there."""
        return {
            "floor": _floor(train_counts, self.truth, self.space),
            "classes": self._classes(settings.confidence),
            "confusion": _confusion(self.truth, self.measured.answers, self.space),
            "calibration": self._calibration(settings.confidence),
            "choice": self._choice(settings, validation, seed),
        }

    def _choice(
        self,
        settings: EvaluationConfig,
        validation: tuple[np.ndarray, np.ndarray] | None,
        seed: int,
    ) -> Any:
        """The candidate's answers as they are served."""
        space = label_space(self._labels, [self._candidate])
        _known(settings, space)
        held = None
        if validation is not None:
            raw, right = validation
            one = self._candidate
            held = (align(Answers(one.name, one.method, one.labels, raw, one.point), space), right)
        return judge(
            align(self._candidate, space),
            self.truth,
            space,
            point_of(self._candidate.point).rule,
            settings,
            held,
            seed,
        )

    def _classes(self, confidence: float) -> tuple[ClassScores, ...]:
        """One entry for each label that has rows or was answered."""
        found = {}
        for role, other in self.others.items():
            hits = self.truth[other.right]
            found[role] = np.bincount(hits, minlength=len(self.space)).tolist()
        counted = class_scores(self.truth, self.measured.answers, len(self.space), confidence)
        return tuple(
            ClassScores(
                label=label,
                rows=one.rows,
                answered=one.answered,
                right=one.right,
                precision=one.precision,
                recall=one.recall,
                f1=one.f1,
                found={role: hits[place] for role, hits in found.items()},
            )
            for place, (label, one) in enumerate(zip(self.space, counted, strict=True))
            if one.rows or one.answered
        )

    def _calibration(self, confidence: float) -> Calibration:
        bins = max(1, min(BINS, len(self.truth) // _ROWS_A_BIN))
        temperature = point_of(self._candidate.point).temperature
        same = temperature == 1.0
        after: tuple[Bin, ...] = tuple(reliability(self.truth, self.stated, bins))
        error = calibration_score(self.truth, self.stated, confidence)
        if same:
            return Calibration(temperature, after, after, error, error)
        raw = align(self._candidate, self.space, calibrated=False)
        before = calibration_score(self.truth, raw, confidence)
        return Calibration(
            temperature, tuple(reliability(self.truth, raw, bins)), after, before, error
        )


def _floor(
    train_counts: Mapping[str, int], truth: np.ndarray, space: tuple[str, ...]
) -> tuple[str, float]:
    """The most frequent training label, the first of equals, and how often it would be right."""
    label = max(space, key=lambda name: train_counts.get(name, 0))
    return label, float((truth == space.index(label)).mean())


def _confusion(truth: np.ndarray, answers: np.ndarray, space: tuple[str, ...]) -> Confusion:
    """Only labels that occur, and only pairs that do: a table of thousands of labels is empty."""
    present = np.union1d(truth, answers).tolist()
    place = {label: index for index, label in enumerate(present)}
    pairs = Counter(zip(truth.tolist(), answers.tolist(), strict=True))
    cells = sorted((place[one], place[other], count) for (one, other), count in pairs.items())
    return Confusion(tuple(space[label] for label in present), tuple(cells))


def _known(settings: EvaluationConfig, labels: tuple[str, ...]) -> None:
    for setting, label in (
        ("evaluation.target.label", settings.target.label),
        ("evaluation.costs.label", settings.costs.label),
    ):
        if label and label not in labels:
            raise InvalidSettings(
                "verdict.unknown_label", setting=setting, label=label, options=labels
            )


def details_of(raw: Mapping[str, Any]) -> Details:
    """What an evaluation's JSON holds of classes."""
    from pydantic import TypeAdapter

    return TypeAdapter(Details).validate_python(raw)
