"""Claims beside true ones: what families have in common of whose answers each may say several
things, each of a kind and right or wrong as a whole (spans of a text, fields of a record)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from feilun.config import EvaluationConfig
from feilun.families.base import Answers, Error, Sheet
from feilun.messages import Language
from feilun.metrics.comparison import scores
from feilun.metrics.scores import Score
from feilun.metrics.spans import Span
from feilun.metrics.spans import Spans as Measures
from feilun.render import wording
from feilun.render.bilingual import say
from feilun.render.figures import interval, said, score_bar
from feilun.render.page import template
from feilun.render.wording import fill

__all__ = [
    "FIELDS",
    "ClaimSheet",
    "Details",
    "KindScores",
    "SectionWords",
    "kinds_of",
    "kinds_section",
    "weakest_kind",
]

_FEWEST = 5
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


class SectionWords(NamedTuple):
    """The keys of what `kinds_section` says: its title, what it counts, and two columns."""

    title: str
    lead: str
    kind: str
    claims: str


FIELDS = SectionWords(
    "records.report_title", "records.report_lead", "records.column_kind", "records.column_spans"
)


class ClaimSheet(Sheet):
    """All versions' claims, such as spans, beside the true ones."""

    measured: Measures

    def __init__(
        self, candidate: Answers, references: Mapping[str, Answers], truth: np.ndarray
    ) -> None:
        self._given = list(truth)
        self._truth = [self._true(one) for one in truth]
        self._answers = {"": candidate, **references}
        self._plain = {
            role: [self._claimed(row) for row in one.raw] for role, one in self._answers.items()
        }
        self.measured = Measures(self._truth, self._plain[""])
        self.others = {role: Measures(self._truth, self._plain[role]) for role in references}

    def _claimed(self, raw: Any) -> Collection[Span]:
        """What a row's raw outputs say."""
        raise NotImplementedError

    def _true(self, truth: Any) -> Collection[Span]:
        """What is right for a row."""
        raise NotImplementedError

    def _canonical(self, row: int) -> str:
        """The canonical target of a row."""
        raise NotImplementedError

    def _say(self, raw: Any) -> str:
        """A row's raw outputs in words."""
        raise NotImplementedError

    def _say_true(self, row: int) -> str:
        """What is right for a row, in words."""
        raise NotImplementedError

    def _scores(self, raw: Any) -> list[float]:
        """How probable each claim of a row's raw outputs is."""
        return [one.score for one in raw]

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
            [score for row in self._answers[name].raw for score in self._scores(row)]
            for name in ("", role)
        )
        return len(ours) == len(theirs) and bool(np.allclose(ours, theirs, atol=1e-6))

    def better(self, role: str) -> tuple[np.ndarray, np.ndarray]:
        """By the number of spans that are missing or wrong in a row."""
        ours, theirs = self._faults(""), self._faults(role)
        return ours < theirs, theirs < ours

    def targets(self) -> list[str]:
        """See `Sheet`."""
        return [self._canonical(row) for row in range(len(self._given))]

    def spoken(self, row: int) -> tuple[str, str, str]:
        """See `Sheet`."""
        live = self._answers["live"].raw[row]
        return self._say_true(row), self._say(live), self._say(self._answers[""].raw[row])

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
                self._say_true(row),
                self._say(raw[row]),
                float(min(self._scores(raw[row]), default=0.0)),
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
        """The fields of `Details`."""
        return {"kinds": kinds_of(self.measured, settings, seed)}

    def _faults(self, role: str) -> np.ndarray:
        pairs = zip(self._truth, self._plain[role], strict=True)
        return np.array([len(set(true) ^ set(found)) for true, found in pairs])


def kinds_of(measured: Measures, settings: EvaluationConfig, seed: int) -> tuple[KindScores, ...]:
    """Each kind by itself, the most frequent first, at most `_MOST`."""
    kinds = measured.by_type()
    counts = {name: sum(map(len, one.truth)) for name, one in kinds.items()}
    how: dict[str, Any] = {
        "resamples": settings.resamples,
        "confidence": settings.confidence,
        "seed": seed,
    }
    found = []
    for name in sorted(kinds, key=lambda each: (-counts[each], each))[:_MOST]:
        one = scores(kinds[name], **how)
        found.append(KindScores(name, counts[name], one["precision"], one["recall"], one["f1"]))
    return tuple(found)


def kinds_section(evaluation: Any, words: SectionWords) -> Markup:
    """The table of `Details.kinds` in a report."""
    rows = [
        {
            "label": one.label,
            "spans": wording.number(one.spans),
            "bar": score_bar(one.f1),
            **{name: said(name, getattr(one, name)) for name in ("f1", "precision", "recall")},
            "range": interval("f1", one.f1),
        }
        for one in evaluation.details.kinds
    ]
    page = template("spans.html", "feilun.families")
    return Markup(page.render(say=say, words=words, rows=rows, count=evaluation.rows))


def weakest_kind(evaluation: Any, key: str, lang: Language) -> Sequence[str]:
    """The sentence `key` on the kind that is found worst, of those with `_FEWEST` spans."""
    scored = [(one, one.f1) for one in evaluation.details.kinds if one.spans >= _FEWEST]
    found = [(score.value, one) for one, score in scored if score is not None]
    if len(found) < 2:
        return ()
    value, worst = min(found, key=lambda each: each[0])
    figures = {"label": worst.label, "f1": float(value), "spans": worst.spans}
    return (fill(key, figures, lang),)
