"""All versions' answers beside the right ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from feilun.families.answers.rows import GOOD, least_of, measured_row, output_of, short, where
from feilun.families.answers.targets import Right, written
from feilun.families.base import Answers, Error, Sheet
from feilun.metrics.answers import Answers as Measures

__all__ = ["AnswerSheet", "measured"]


def measured(truth: np.ndarray, raw: np.ndarray, least: float) -> Measures:
    """What a version's answers are worth; one that is less sure than `least` has none."""
    pairs = zip(truth, raw, strict=True)
    return Measures([measured_row(true, one, one.sure >= least) for true, one in pairs])


class AnswerSheet(Sheet):
    """All versions' answers beside the right ones."""

    measured: Measures

    def __init__(
        self, candidate: Answers, references: Mapping[str, Answers], truth: np.ndarray
    ) -> None:
        self._truth: list[Right] = list(truth)
        self._answers = {"": candidate, **references}
        self._outputs = {
            role: [output_of(row, least_of(one.point)) for row in one.raw]
            for role, one in self._answers.items()
        }
        self.measured = measured(truth, candidate.raw, least_of(candidate.point))
        self.others: Mapping[str, Measures] = {
            role: measured(truth, one.raw, least_of(one.point)) for role, one in references.items()
        }

    def comparable(self, role: str) -> tuple[tuple[str, ...], np.ndarray]:
        """The documents that are new to the other version or stand otherwise in it: what they say
        nobody has asked yet. Rows whose answer stood in one that has changed, and stands nowhere
        now, judge neither: what was right then is right no more."""
        ours, theirs = self._library(""), self._library(role)
        changed = {name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name)}
        kept = np.ones(self.measured.rows, dtype=bool)
        before = self.others[role].each
        for row, (one, other) in enumerate(zip(self.measured.each, before, strict=True)):
            if other.place and not one.place:
                passage = self._answers[role].raw[row].passages[other.place - 1]
                kept[row] = passage.document not in changed
        return tuple(sorted(changed)), kept

    def same(self, role: str) -> bool:
        """See `Sheet`; versions with other documents are not the same."""
        if self._library("") != self._library(role):
            return False
        return self._outputs[""] == self._outputs[role]

    def better(self, role: str) -> tuple[np.ndarray, np.ndarray]:
        """By the F1 of each answer."""
        ours, theirs = (
            np.array([row.f1 for row in one.each]) for one in (self.measured, self.others[role])
        )
        return ours > theirs, theirs > ours

    def targets(self) -> list[str]:
        """See `Sheet`."""
        return [written(one) for one in self._truth]

    def spoken(self, row: int) -> tuple[str, str, str]:
        """The beginnings of the answers."""
        live = self._outputs["live"][row]["answer"]
        return self._right(row), short(live), self._answer(row)

    def errors(self, most: int) -> tuple[int, Sequence[Error]]:
        """Answers that contain no right one and share less than half their words with it, the
        farthest off first, each with the passage that it stands in. What is stated of the truth is
        the place at which its passage was found; 0 where it was not, -1 where none is known."""
        rows = self.measured.each
        wrong = [n for n, row in enumerate(rows) if row.f1 < GOOD and not row.contains]
        worst = sorted(wrong, key=lambda n: rows[n].f1)[:most]
        return len(wrong), [
            Error(
                n,
                self._right(n),
                self._answer(n),
                float(self._outputs[""][n]["score"]),
                float(-1 if (place := rows[n].place) is None else place),
            )
            for n in worst
        ]

    def _library(self, role: str) -> Mapping[str, str]:
        raw = self._answers[role].raw
        return (raw[0].library or {}) if len(raw) else {}

    def _right(self, row: int) -> str:
        return short(" / ".join(self._truth[row].answers) or "-")

    def _answer(self, row: int) -> str:
        output = self._outputs[""][row]
        found = output["citations"][:1]
        cited = [f"[{where(one)}: {short(one['passage'])}]" for one in found]
        return " ".join([short(output["answer"]), *cited])
