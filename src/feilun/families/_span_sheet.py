"""All versions' spans beside the true ones, and what an evaluation holds of them alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from feilun.config import EvaluationConfig
from feilun.families._spans_said import canonical, plain, words
from feilun.families.base import Answers, Error, Sheet
from feilun.metrics.comparison import scores
from feilun.metrics.scores import Score
from feilun.metrics.spans import Span
from feilun.metrics.spans import Spans as Measures

__all__ = ["Details", "KindScores", "SpanSheet"]

_MOST = 40


@dataclass(frozen=True, slots=True)
class KindScores:
    """One kind of span on the test rows: how many there are, and how well they are found."""

    label: str
    spans: int
    precision: Score | None
    recall: Score | None
    f1: Score | None


@dataclass(frozen=True, slots=True)
class Details:
    """What an evaluation holds of spans alone: each kind, the most frequent first."""

    kinds: tuple[KindScores, ...] = ()


class SpanSheet(Sheet):
    """All versions' spans beside the true ones."""

    measured: Measures

    def __init__(
        self, candidate: Answers, references: Mapping[str, Answers], truth: np.ndarray
    ) -> None:
        self._truth: list[tuple[Span, ...]] = list(truth)
        self._answers = {"": candidate, **references}
        self._plain = {role: [plain(row) for row in one.raw] for role, one in self._answers.items()}
        self.measured = Measures(self._truth, self._plain[""])
        self.others = {role: Measures(self._truth, self._plain[role]) for role in references}

    def comparable(self, role: str) -> tuple[tuple[str, ...], np.ndarray]:
        """Kinds of spans that the other version does not know, and the rows without any of them."""
        known = set(self._answers[role].labels)
        new = tuple(one for one in self._answers[""].labels if one not in known)
        rows = [not any(label in new for _, _, label in row) for row in self._truth]
        return new, np.array(rows, dtype=bool)

    def same(self, role: str) -> bool:
        """See `Sheet`."""
        if self._plain[""] != self._plain[role]:
            return False
        ours, theirs = (
            [one.score for row in self._answers[name].raw for one in row] for name in ("", role)
        )
        return bool(np.allclose(ours, theirs, atol=1e-6))

    def better(self, role: str) -> tuple[np.ndarray, np.ndarray]:
        """By the number of spans that are missing or wrong in a row."""
        ours, theirs = self._faults(""), self._faults(role)
        return ours < theirs, theirs < ours

    def targets(self) -> list[str]:
        """See `Sheet`."""
        return [canonical(row) for row in self._truth]

    def spoken(self, row: int) -> tuple[str, str, str]:
        """See `Sheet`."""
        live = self._answers["live"].raw[row]
        return words(self._truth[row]), words(live), words(self._answers[""].raw[row])

    def errors(self, most: int) -> tuple[int, Sequence[Error]]:
        """Rows with the most missing and wrong spans first. The probability stated is that of the
        least certain span that was answered; none is known of the truth."""
        faults = self._faults("")
        wrong = np.flatnonzero(faults)
        worst = wrong[np.argsort(-faults[wrong], kind="stable")][:most].tolist()
        raw = self._answers[""].raw
        found = [
            Error(
                row,
                words(self._truth[row]),
                words(raw[row]),
                float(min((one.score for one in raw[row]), default=0.0)),
                0.0,
            )
            for row in worst
        ]
        return len(wrong), found

    def details(
        self,
        settings: EvaluationConfig,
        train_counts: Mapping[str, int],
        seed: int,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Mapping[str, Any]:
        """The fields of `Details`: at most `_MOST` kinds."""
        kinds = self.measured.by_type()
        counts = {name: sum(map(len, one.truth)) for name, one in kinds.items()}
        found = []
        for name in sorted(kinds, key=lambda each: (-counts[each], each))[:_MOST]:
            one = scores(
                kinds[name],
                resamples=settings.resamples,
                confidence=settings.confidence,
                seed=seed,
            )
            found.append(KindScores(name, counts[name], one["precision"], one["recall"], one["f1"]))
        return {"kinds": tuple(found)}

    def _faults(self, role: str) -> np.ndarray:
        pairs = zip(self._truth, self._plain[role], strict=True)
        return np.array([len(set(true) ^ set(found)) for true, found in pairs])
