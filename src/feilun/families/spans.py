"""Spans: pieces of the input, each of a kind, such as the names in a text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from markupsafe import Markup

from feilun.families import _bio, _span_cells
from feilun.families._claims import Details, SectionWords, kinds_section, weakest_kind
from feilun.families._objects import objects
from feilun.families._span_sheet import SpanSheet
from feilun.families._spans_said import (
    Found,
    canonical,
    checked,
    of_answer,
    plain,
    spans_of,
    words,
)
from feilun.families.base import (
    Answers,
    Contrast,
    Decoder,
    Difference,
    Disagreement,
    Family,
)
from feilun.families.instructed import mapping
from feilun.messages import Language
from feilun.metrics.measured import Measured
from feilun.metrics.spans import Spans as Measures
from feilun.types import Encoded, Output, Schema

__all__ = ["SPANS", "Found", "Spans", "spans_of"]

_MOST = 40
_TINY = 1e-4  # a span that is gone, and one that is certain
_WORDS = SectionWords(
    "spans.report_title", "spans.report_lead", "spans.column_kind", "spans.column_spans"
)


class Spans(Family):
    """Pieces of the input. A target is a JSON list of spans that do not overlap, in their order,
    ``[{"start":0,"end":5,"label":"PER"}]``; ``[]`` says that there is none. Raw outputs are an
    array of objects, for each row a list of `Found`. Positions count characters (code points).

    An answer is ``{"entities": [{"entity_group", "score", "word", "start", "end"}]}``: the list
    that Hugging Face's pipeline gives, in a mapping, because every answer of feilun is one and
    carries more than its list (``explanation``, ``abstained``).
    """

    name = "spans"
    metrics: ClassVar = Measures.higher_is_better
    primary = "f1"
    structured = True
    points = True
    stratum_words: ClassVar = {"spans": "strata.spans", "none": "strata.no_spans"}
    differentiable = True
    by_position = True
    probed = True
    epochs = 3
    batch_rows = 8  # a row teaches as many tags as it has words
    rate, adapter_rate = 2.0, 1.0  # measured with `probed`, docs/decisions/objectives.md
    Raw: ClassVar = list[Found]
    Details = Details

    def target(self, value: Any) -> str | None:
        """Spans as a list, as its JSON, or as an answer that was put right. Each is a mapping with
        start, end and label, also by the names of doccano, Label Studio and the answers, or a list
        ``[start, end, label]``."""
        spans = _span_cells.listed(value)
        if spans is None:
            return None
        return canonical(checked([_span_cells.span(one, n) for n, one in enumerate(spans, 1)]))

    def names(self, targets: Iterable[str]) -> tuple[str, ...]:
        """The kinds of spans, sorted."""
        return tuple(sorted({label for one in targets for _, _, label in spans_of(one)}))

    def stratum(self, target: str) -> str:
        """Whether there is anything to find: ``spans`` or ``none``."""
        return "none" if target == "[]" else "spans"

    def truth(self, targets: Sequence[str | None], labels: Sequence[str]) -> np.ndarray:
        """Tuples of spans; None for an unlabelled row. Spans of a kind that is not among `labels`
        stay: a model that does not know them has missed them."""
        return objects([None if one is None else spans_of(one) for one in targets])

    def json_schema(self, labels: Sequence[str]) -> dict[str, Any]:
        """``{"entities": [{"text": …, "type": …}]}``, in the order of the text."""
        one = {
            "type": "object",
            "properties": {
                "text": {"type": "string"},
                "type": {"type": "string", "enum": list(labels)},
            },
            "required": ["text", "type"],
            "additionalProperties": False,
        }
        return {
            "type": "object",
            "properties": {"entities": {"type": "array", "items": one, "maxItems": _MOST}},
            "required": ["entities"],
            "additionalProperties": False,
        }

    def json_answer(self, target: str, item: Any) -> Any:
        """See `json_schema`."""
        text = str(item)
        return {
            "entities": [
                {"text": text[start:end], "type": label} for start, end, label in spans_of(target)
            ]
        }

    def json_raw(self, value: Any, item: Any, labels: Sequence[str], sure: float) -> list[Found]:
        """Each written text where it stands next in the input; one that does not stand in it is
        none. No span over another."""
        text, begin = str(item), 0
        found: list[Found] = []
        written = mapping(value).get("entities")
        for one in written if isinstance(written, list) else ():
            word, label = mapping(one).get("text"), mapping(one).get("type")
            if not isinstance(word, str) or not word.strip() or label not in labels:
                continue
            place = text.find(word, begin)
            if place < 0:
                place = text.find(word)  # not in the order of the text
            end = place + len(word)
            if place < 0 or any(place < other.end and other.start < end for other in found):
                continue
            found.append(Found(place, end, str(label), sure, word))
            begin = max(begin, end)
        return sorted(found, key=lambda each: each.start)

    def known(self, truth: np.ndarray) -> np.ndarray:
        """See `Family`."""
        return np.array([one is not None for one in truth], dtype=bool)

    def teachable(self, targets: Iterable[str]) -> bool:
        """Two different targets, one of them with a span."""
        found = set(targets)
        return len(found) > 1 and found != {"[]"}

    def outputs(self, labels: Sequence[str]) -> tuple[str, ...]:
        """A logit a tag, for each token; see `_bio`."""
        return _bio.names(labels)

    def objective(
        self,
        truth: np.ndarray,
        labels: tuple[str, ...],
        settings: Any,
        own: np.ndarray | None = None,
    ) -> _bio.TagCrossEntropy:
        """See `TagCrossEntropy`."""
        return _bio.TagCrossEntropy(labels, getattr(settings, "label_smoothing", 0.0))

    def gathered(
        self, outputs: np.ndarray, batch: Sequence[Encoded], labels: Sequence[str]
    ) -> np.ndarray:
        """The spans of each text. A span is as probable as the least certain of its tags."""
        found, done = [], 0
        for item in batch:
            rows = outputs[done : done + len(item.rows)]
            done += len(item.rows)
            starts, ends, stated = _bio.tagged(rows, item)
            tags = _bio.answered(stated)
            sure = np.exp(stated[np.arange(len(tags)), tags])
            spans = [
                (int(starts[first]), int(ends[last - 1]), labels[kind], sure[first:last].min())
                for first, last, kind in _bio.runs(tags.tolist())
            ]
            found.append(
                [
                    Found(start, end, label, float(score), item.text[start:end])
                    for start, end, label, score in spans
                ]
            )
        return objects(found)

    def width(self, labels: Sequence[str]) -> int:
        """No numbers: raw outputs are objects."""
        return 0

    def example_raw(self, rows: int, labels: Sequence[str], seed: int) -> np.ndarray:
        """See `Family`."""
        lots = np.random.default_rng(seed)
        found = []
        for _ in range(rows):
            ends = np.cumsum(lots.integers(1, 6, size=2 * int(lots.integers(0, 4)))).tolist()
            pairs = zip(ends[::2], ends[1::2], strict=True)
            kinds = lots.choice(list(labels), len(ends) // 2).tolist()
            found.append(
                [
                    Found(start, end, label, float(lots.uniform(0.5, 1)), "x" * (end - start))
                    for (start, end), label in zip(pairs, kinds, strict=True)
                ]
            )
        return objects(found)

    def decoder(self, schema: Schema, point: Mapping[str, Any]) -> Decoder:
        """Raw outputs as mappings; all that there is is always given."""

        def decode(raw: np.ndarray, everything: bool) -> list[Output]:
            return [
                {
                    "entities": [
                        {
                            "entity_group": one.label,
                            "score": one.score,
                            "word": one.word,
                            "start": one.start,
                            "end": one.end,
                        }
                        for one in row
                    ]
                }
                for row in raw
            ]

        return decode

    def said(self, output: Output) -> str:
        """The spans."""
        return canonical(of_answer(output))

    def sure(self, output: Output) -> float | None:
        """The probability of the least certain span; None where none was found."""
        return min((one["score"] for one in output["entities"]), default=None)

    def public(self, output: Output, everything: bool) -> Output:
        """Probabilities to six digits."""
        rounded = [{**one, "score": round(one["score"], 6)} for one in output["entities"]]
        return {**output, "entities": rounded}

    def differ(self, left: Output, right: Output) -> Difference:
        """The largest difference of a span's probability; 1 where spans differ."""
        if of_answer(left) != of_answer(right):
            return Difference(False, 1.0)
        pairs = zip(left["entities"], right["entities"], strict=True)
        return Difference(True, max((abs(a["score"] - b["score"]) for a, b in pairs), default=0.0))

    def contrast(
        self,
        schema: Schema,
        point: Mapping[str, Any],
        output: Output,
        answer: str | None = None,
        other: str | None = None,
    ) -> Contrast | None:
        """The log-odds of the least certain span. Without a part of the text it may stand
        elsewhere: it is the same by its words and its kind."""
        if not output["entities"]:
            return None
        doubted = min(output["entities"], key=lambda one: one["score"])
        same = doubted["entity_group"], doubted["word"]

        def log_odds(answered: Output) -> float:
            found = answered["entities"]
            chances = [one["score"] for one in found if (one["entity_group"], one["word"]) == same]
            chance = min(1 - _TINY, max([_TINY, *chances]))
            return math.log(chance / (1 - chance))

        return Contrast(" ".join(same), "", log_odds, np.zeros(0))

    def output_schema(self) -> dict[str, Any]:
        """A list of entities in their order."""
        place = {"type": "integer", "minimum": 0}
        entity = {
            "type": "object",
            "properties": {
                "entity_group": {"type": "string"},
                "score": {"type": "number", "minimum": 0, "maximum": 1},
                "word": {"type": "string"},
                "start": place,
                "end": place,
            },
            "required": ["entity_group", "score", "word", "start", "end"],
        }
        return {
            "type": "object",
            "properties": {
                "entities": {"type": "array", "items": entity},
                "explanation": {"type": ["object", "null"]},
            },
            "required": ["entities"],
        }

    def target_schema(self) -> dict[str, Any]:
        """The spans that are there; an empty list where there is none."""
        place = {"type": "integer", "minimum": 0}
        return {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"start": place, "end": place, "label": {"type": "string"}},
                "required": ["start", "end", "label"],
            },
        }

    def measured(
        self, truth: np.ndarray, raw: np.ndarray, labels: tuple[str, ...], point: Mapping[str, Any]
    ) -> Measures:
        """See `metrics.spans`."""
        return Measures(list(truth), [plain(row) for row in raw])

    def judged(self, targets: Sequence[str], outputs: Sequence[Output]) -> Measured:
        """See `metrics.spans`."""
        return Measures([spans_of(one) for one in targets], [of_answer(one) for one in outputs])

    def sheet(
        self,
        candidate: Answers,
        references: Mapping[str, Answers],
        truth: np.ndarray,
        labels: tuple[str, ...],
    ) -> SpanSheet:
        """See `SpanSheet`."""
        return SpanSheet(candidate, references, truth)

    def disagreements(
        self, first: np.ndarray, second: np.ndarray, labels: tuple[str, ...]
    ) -> Sequence[Disagreement]:
        """Rows with other spans; as sure as the first's least certain span."""
        found = []
        for row, (one, other) in enumerate(zip(first, second, strict=True)):
            if plain(one) != plain(other):
                sure = min((span.score for span in one), default=0.0)
                found.append(Disagreement(row, words(one), words(other), sure))
        return sorted(found, key=lambda each: -each.sure)

    def sections(self, evaluation: Any) -> Markup:
        """Each kind of span with its scores."""
        return kinds_section(evaluation, _WORDS)

    def weakness(self, evaluation: Any, lang: Language) -> Sequence[str]:
        """The kind that is found worst, of those with five spans or more."""
        return weakest_kind(evaluation, "spans.weakest", lang)


SPANS = Spans()
