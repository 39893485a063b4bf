"""Answers to questions, taken from documents and shown with the passage that they stand in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from feilun.config import ProjectConfig
from feilun.errors import InvalidData
from feilun.families._abstaining import threshold
from feilun.families._faults import FAULTS
from feilun.families._objects import objects
from feilun.families.answers.rows import (
    DEPTH,
    is_good,
    least_of,
    measured_row,
    output_of,
    place_of,
    reading_of,
    short,
)
from feilun.families.answers.sheet import AnswerSheet, measured
from feilun.families.answers.targets import (
    KINDS,
    Candidate,
    Passage,
    Reading,
    Right,
    Source,
    is_right,
    parsed,
    read_json,
    right_of,
    says,
    texts_of,
    to_json,
    written,
)
from feilun.families.base import Answers, Decoder, Difference, Disagreement, Family
from feilun.messages import Language
from feilun.metrics.answers import Answers as Measures
from feilun.metrics.answers import exact
from feilun.render.wording import fill
from feilun.types import Output, Schema

__all__ = [
    "ANSWERS",
    "DEPTH",
    "KINDS",
    "AnswersFamily",
    "Candidate",
    "Passage",
    "Reading",
    "Right",
    "Source",
    "is_right",
    "parsed",
    "says",
    "written",
]

_REQUESTED = ("passages", "candidates")
UNMEASURED = 0.3
"""How sure a version has to be where there are too few validation rows to measure it by."""


class AnswersFamily(Family):
    """Answers with citations.

    A target is a text, or JSON: ``{"answers": [...], "sources": [{"document", "passage"}]}``; no
    answers say that the documents do not tell. Rows of another ``kind`` are what is answered from:
    sections of documents, rules and facts. Raw outputs are an array of `Reading`.

    An answer is ``{"answer", "score", "start", "end", "citations"}``, the first four as Hugging
    Face's pipeline ``question-answering`` names them: positions are characters of the first
    citation's passage. ``abstained`` is there where the version was not sure enough to answer.
    """

    name = "answers"
    metrics: ClassVar = Measures.higher_is_better
    primary = "f1"
    stratum_words: ClassVar = {
        "questions": "strata.questions",
        "sections": "strata.sections",
        "rules": "strata.rules",
        "facts": "strata.facts",
    }
    structured = True
    unjudged = True
    faults = FAULTS
    sentences: ClassVar = {
        "evaluation.tile_missed": "answers.tile_missed",
        "gate.adds_labels": "answers.adds_documents",
    }

    def target(self, value: Any) -> str | None:
        """A right answer, a list of several, SQuAD's ``{"text": [...]}``, an answer that was put
        right, or the JSON of any of these. Raises `InvalidData` for what is none of them."""
        if value is None or (isinstance(value, float) and value != value):
            return None
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str):
            value = read_json(value)
            if isinstance(value, str):
                return written(Right((value,))) if value else None
        if isinstance(value, list):
            return written(Right(texts_of(value)))
        if not isinstance(value, Mapping):
            raise InvalidData("answers.no_answer", given=type(value).__name__)
        if value.get("kind") in KINDS:
            return to_json({name: one for name, one in value.items() if one not in (None, "")})
        return written(right_of(value))

    def names(self, targets: Iterable[str]) -> tuple[str, ...]:
        """None: any text may be answered."""
        return ()

    def stratum(self, target: str) -> str:
        """``questions``, or ``sections``, ``rules``, ``facts``."""
        kind = parsed(target)
        return "questions" if isinstance(kind, Right) else f"{kind['kind']}s"

    def asks(self, target: str) -> bool:
        """Questions alone."""
        return isinstance(parsed(target), Right)

    def truth(self, targets: Sequence[str | None], labels: Sequence[str]) -> np.ndarray:
        """`Right`; None for an unlabelled row, and for what is no question."""
        found = [None if one is None else parsed(one) for one in targets]
        return objects([one if isinstance(one, Right) else None for one in found])

    def known(self, truth: np.ndarray) -> np.ndarray:
        """See `Family`."""
        return np.array([one is not None for one in truth], dtype=bool)

    def width(self, labels: Sequence[str]) -> int:
        """No numbers: raw outputs are objects."""
        return 0

    def example_raw(self, rows: int, labels: Sequence[str], seed: int) -> np.ndarray:
        """See `Family`."""
        lots = np.random.default_rng(seed)
        found = []
        for _ in range(rows):
            text = " ".join(lots.choice(("we", "open", "at", "nine", "营业"), 6).tolist())
            passage = Passage("hours.md", text, "Hours", None, float(lots.random()))
            sure = float(lots.uniform(0.5, 1))
            found.append(Reading(text, sure, passage, 0, len(text), [passage]))
        return objects(found)

    def decoder(self, schema: Schema, point: Mapping[str, Any]) -> Decoder:
        """Below the operating point's ``least`` a version says that it does not know."""
        least = least_of(point)

        def decode(raw: np.ndarray, everything: bool) -> list[Output]:
            return [output_of(one, least) for one in raw]

        return decode

    def said(self, output: Output) -> str:
        """The answer."""
        if "abstained" in output:
            return written(Right(()))
        return self.target(str(output["answer"])) or written(Right(()))

    def worded(self, output: Output) -> str:
        """The answer alone."""
        return str(output["answer"])

    def sure(self, output: Output) -> float | None:
        """The score."""
        return float(output["score"])

    def public(self, output: Output, everything: bool) -> Output:
        """Scores to six digits; the other passages and answers only on request."""
        found = {**output, "score": round(output["score"], 6)}
        for name in _REQUESTED:
            others = found.pop(name, None)
            if everything and others is not None:
                found[name] = [{**one, "score": round(one["score"], 6)} for one in others]
        return found

    def bare(self, output: Output) -> Output:
        """Without the other passages and answers."""
        return {name: value for name, value in output.items() if name not in _REQUESTED}

    def neutral(self) -> dict[str, Any]:
        """As where there are too few rows to measure by."""
        return {"least": UNMEASURED}

    def abstains(self, point: Mapping[str, Any]) -> bool:
        """Where there is a threshold."""
        return least_of(point) > 0

    def differ(self, left: Output, right: Output) -> Difference:
        """The difference of the scores; 1 where the answers differ."""
        same = all(left.get(name) == right.get(name) for name in ("answer", "abstained"))
        cited = [[place_of(one) for one in side["citations"]] for side in (left, right)]
        if not same or cited[0] != cited[1]:
            return Difference(False, 1.0)
        return Difference(True, abs(float(left["score"]) - float(right["score"])))

    def output_schema(self) -> dict[str, Any]:
        """See the class."""
        place = {"type": "integer", "minimum": 0}
        score = {"type": "number", "minimum": 0, "maximum": 1}
        passage = {
            "document": {"type": "string"},
            "heading": {"type": "string"},
            "page": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "passage": {"type": "string"},
        }
        return {
            "type": "object",
            "properties": {
                "answer": {"type": "string"},
                "score": score,
                "start": place,
                "end": place,
                "citations": _listed({**passage, "start": place, "end": place}),
                "passages": _listed({**passage, "score": score}),
                "candidates": _listed(
                    {"answer": {"type": "string"}, **passage, "score": score}
                    | {"start": place, "end": place}
                ),
                "abstained": {"type": "boolean"},
            },
            "required": ["answer", "score", "start", "end", "citations"],
        }

    def target_schema(self) -> dict[str, Any]:
        """The right answer, or several, or these with where they stand."""
        return {"type": ["string", "array", "object"]}

    def calibrate(
        self, raw: np.ndarray, truth: np.ndarray, labels: tuple[str, ...], config: ProjectConfig
    ) -> tuple[dict[str, Any], list[str]]:
        """``least``: how sure a version has to be to answer; see `threshold`. An answer is right
        where it contains a right one or shares half its words with it."""
        sure = np.array([one.sure for one in raw])
        right = np.array([is_good(*pair) for pair in zip(truth, raw, strict=True)], bool)
        least = threshold(sure, right, config.serving, UNMEASURED)
        return {"least": least}, []

    def measured(
        self, truth: np.ndarray, raw: np.ndarray, labels: tuple[str, ...], point: Mapping[str, Any]
    ) -> Measures:
        """See `metrics.answers`; where a version does not know, it has no answer."""
        return measured(truth, raw, least_of(point))

    def judged(self, targets: Sequence[str], outputs: Sequence[Output]) -> Measures:
        """See `metrics.answers`; passages count as far as the outputs have them."""
        rows = []
        for target, output in zip(self.truth(targets, ()), outputs, strict=True):
            right = target or Right(())
            rows.append(measured_row(right, reading_of(output), "abstained" not in output))
        return Measures(rows)

    def sheet(
        self,
        candidate: Answers,
        references: Mapping[str, Answers],
        truth: np.ndarray,
        labels: tuple[str, ...],
    ) -> AnswerSheet:
        """See `AnswerSheet`."""
        return AnswerSheet(candidate, references, truth)

    def disagreements(
        self, first: np.ndarray, second: np.ndarray, labels: tuple[str, ...]
    ) -> Sequence[Disagreement]:
        """Rows with other answers, the surest first."""
        found = [
            Disagreement(row, short(one.answer), short(other.answer), one.sure)
            for row, (one, other) in enumerate(zip(first, second, strict=True))
            if not exact(one.answer, other.answer)
        ]
        return sorted(found, key=lambda each: -each.sure)

    def miss_words(self, miss: Any, lang: Language) -> str:
        """At which place the right passage was found."""
        if miss.stated_truth < 0:
            return ""
        if not miss.stated_truth:
            return fill("answers.not_found", {"depth": DEPTH}, lang)
        return fill("answers.found_at", {"place": int(miss.stated_truth)}, lang)


def _listed(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "object", "properties": dict(properties)}}


ANSWERS = AnswersFamily()
