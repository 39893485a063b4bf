"""Records: named fields that a text fills, such as number, date and total of an invoice."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from markupsafe import Markup

from feilun.families._claims import FIELDS, ClaimSheet, Details, kinds_section, weakest_kind
from feilun.families._objects import objects
from feilun.families._record_cells import Flat, canonical, flat, listed, nested
from feilun.families.base import Answers, Decoder, Difference, Disagreement, Family
from feilun.families.instructed import mapping
from feilun.messages import Language
from feilun.metrics.spans import Span
from feilun.metrics.spans import Spans as Measures
from feilun.types import Output, Schema

__all__ = ["RECORDS", "Field", "Records", "claims"]

_VALUE = {
    "type": ["string", "number", "boolean", "array", "null"],
    "items": {"type": ["string", "number", "boolean"]},
}


class Field(NamedTuple):
    """What a model found for one field: its `path`, the `value` (None for nothing), how probable
    that is, and where it stands in the input, first character and the one after the last."""

    path: str
    value: Any
    score: float
    start: int | None = None
    end: int | None = None


class Records(Family):
    """Named fields of a text. A target is a JSON object with the fields that say something, names
    sorted; ``{}`` says that there is none. Raw outputs are an array of objects, for each row a list
    of `Field`.

    An answer is ``{"record", "score", "fields"}``: the object with all known fields, null where
    nothing was found; how probable it is that all of them are right, were they independent; and of
    each field, by its path, its ``score`` and, where it stands in the text, ``start`` and ``end``.
    A field with its value is right or wrong as a span is: precision, recall and F1 are over all
    fields that say something.
    """

    name = "records"
    metrics: ClassVar = Measures.higher_is_better
    primary = "f1"
    structured = True
    stratum_words: ClassVar = {"records": "strata.records", "none": "strata.no_records"}
    Details = Details

    def target(self, value: Any) -> str | None:
        """An object, its JSON, or an answer that was put right."""
        record = listed(value)
        if record is None:
            return None
        if set(record) >= {"record", "score", "fields"} and isinstance(record["record"], Mapping):
            record = record["record"]
        return canonical(flat(record))

    def names(self, targets: Iterable[str]) -> tuple[str, ...]:
        """The paths of all fields, sorted."""
        return tuple(sorted({path for one in targets for path in _fields(one)}))

    def stratum(self, target: str) -> str:
        """Whether there is anything to find: ``records`` or ``none``."""
        return "none" if target == "{}" else "records"

    def relabelled(
        self, target: str, names: Mapping[str, str], dropped: Collection[str] = ()
    ) -> str | None:
        """With the fields under their new names, without those that are dropped."""
        kept = {path: value for path, value in _fields(target).items() if path not in dropped}
        return canonical({names.get(path, path): value for path, value in kept.items()})

    def record(self, target: str) -> Mapping[str, Any] | None:
        """See `Instructed`."""
        found: dict[str, Any] = json.loads(target)
        return found

    def truth(self, targets: Sequence[str | None], labels: Sequence[str]) -> np.ndarray:
        """Fields by their paths; None for an unlabelled row. Fields that are not among `labels`
        stay: a model that does not know them has missed them."""
        return objects([None if one is None else _fields(one) for one in targets])

    def known(self, truth: np.ndarray) -> np.ndarray:
        """See `Family`."""
        return np.array([one is not None for one in truth], dtype=bool)

    def json_schema(self, labels: Sequence[str]) -> dict[str, Any]:
        """Every field by its path, null where nothing is found."""
        return {
            "type": "object",
            "properties": dict.fromkeys(labels, _VALUE),
            "required": list(labels),
            "additionalProperties": False,
        }

    def json_answer(self, target: str, item: Any) -> Any:
        """See `json_schema`."""
        return _fields(target)

    def json_raw(self, value: Any, item: Any, labels: Sequence[str], sure: float) -> list[Field]:
        """Each field with what was written for it, and its place where that stands in the input."""
        text, written = str(item), mapping(value)
        found = []
        for path in labels:
            said = flat({path.replace(".", "_"): written.get(path)})
            one = next(iter(said.values()), None)
            start = text.find(str(one)) if one is not None else -1
            place = (start, start + len(str(one))) if start >= 0 else (None, None)
            found.append(Field(path, one, sure, *place))
        return found

    def width(self, labels: Sequence[str]) -> int:
        """No numbers: raw outputs are objects."""
        return 0

    def example_raw(self, rows: int, labels: Sequence[str], seed: int) -> np.ndarray:
        """See `Family`."""
        lots = np.random.default_rng(seed)
        values = (None, "Ada", 12, 12.5, True, "上海")
        return objects(
            [
                [
                    Field(path, values[lots.integers(len(values))], float(lots.uniform(0.5, 1)))
                    for path in labels
                ]
                for _ in range(rows)
            ]
        )

    def decoder(self, schema: Schema, point: Mapping[str, Any]) -> Decoder:
        """Raw outputs as mappings; all that there is is always given."""

        def decode(raw: np.ndarray, everything: bool) -> list[Output]:
            return [
                {
                    "record": nested({one.path: one.value for one in row}),
                    "score": float(np.prod([one.score for one in row])),
                    "fields": {one.path: _told(one) for one in row},
                }
                for row in raw
            ]

        return decode

    def said(self, output: Output) -> str:
        """The fields that say something."""
        return canonical(flat(output["record"]))

    def sure(self, output: Output) -> float | None:
        """How probable it is that all fields are right."""
        return float(output["score"])

    def public(self, output: Output, everything: bool) -> Output:
        """Probabilities to six digits."""
        fields = {
            path: {**one, "score": round(one["score"], 6)} for path, one in output["fields"].items()
        }
        plain = {**super().public(output, everything), "fields": fields}
        return {**plain, "score": round(output["score"], 6)}

    def differ(self, left: Output, right: Output) -> Difference:
        """By how much the scores differ; 1 where a field has another value."""
        if self.said(left) != self.said(right):
            return Difference(False, 1.0)
        return Difference(True, abs(left["score"] - right["score"]))

    def output_schema(self) -> dict[str, Any]:
        """See the class."""
        score = {"type": "number", "minimum": 0, "maximum": 1}
        place = {"type": ["integer", "null"], "minimum": 0}
        field = {
            "type": "object",
            "properties": {"score": score, "start": place, "end": place},
            "required": ["score"],
        }
        return {
            "type": "object",
            "properties": {
                "record": {"type": "object"},
                "score": score,
                "fields": {"type": "object", "additionalProperties": field},
            },
            "required": ["record", "score", "fields"],
        }

    def target_schema(self) -> dict[str, Any]:
        """The object with the right fields; null, or no field, where there is nothing to find."""
        return {"type": "object"}

    def measured(
        self, truth: np.ndarray, raw: np.ndarray, labels: tuple[str, ...], point: Mapping[str, Any]
    ) -> Measures:
        """See `metrics.spans`."""
        return Measures([claims(one) for one in truth], [claims(_found(row)) for row in raw])

    def judged(self, targets: Sequence[str], outputs: Sequence[Output]) -> Measures:
        """See `metrics.spans`."""
        said = [claims(flat(one["record"])) for one in outputs]
        return Measures([claims(_fields(one)) for one in targets], said)

    def sheet(
        self,
        candidate: Answers,
        references: Mapping[str, Answers],
        truth: np.ndarray,
        labels: tuple[str, ...],
    ) -> RecordSheet:
        """See `RecordSheet`."""
        return RecordSheet(candidate, references, truth)

    def disagreements(
        self, first: np.ndarray, second: np.ndarray, labels: tuple[str, ...]
    ) -> Sequence[Disagreement]:
        """Rows with other values, the surest first."""
        found = [
            Disagreement(row, _words(_found(one)), _words(_found(other)), _least(one))
            for row, (one, other) in enumerate(zip(first, second, strict=True))
            if claims(_found(one)) != claims(_found(other))
        ]
        return sorted(found, key=lambda each: -each.sure)

    def sections(self, evaluation: Any) -> Markup:
        """Each field with its scores."""
        return kinds_section(evaluation, FIELDS)

    def weakness(self, evaluation: Any, lang: Language) -> Sequence[str]:
        """The field that is found worst, of those with five values or more."""
        return weakest_kind(evaluation, "records.weakest", lang)


class RecordSheet(ClaimSheet):
    """All versions' records beside the true ones, each field with its value as a span."""

    def _claimed(self, raw: Any) -> Collection[Span]:
        return claims(_found(raw))

    def _true(self, truth: Any) -> Collection[Span]:
        return claims(truth)

    def _canonical(self, row: int) -> str:
        return canonical(self._given[row])

    def _say(self, raw: Any) -> str:
        return _words(_found(raw))

    def _say_true(self, row: int) -> str:
        return _words(self._given[row])

    def _scores(self, raw: Any) -> list[float]:
        return [one.score for one in raw]


def _fields(target: str) -> Flat:
    """The fields of a canonical target; none for a text that is not one."""
    return flat(json.loads(target)) if target.startswith("{") else {}


def _found(row: Iterable[Field]) -> Flat:
    return {one.path: one.value for one in row if one.value is not None}


def claims(values: Mapping[str, Any]) -> frozenset[Span]:
    """Each field with its value, as `metrics.spans` counts spans: the value for the place."""
    found: Any = [
        (json.dumps(value, ensure_ascii=False), "", path) for path, value in values.items()
    ]
    return frozenset(found)


def _told(one: Field) -> dict[str, Any]:
    told: dict[str, Any] = {"score": one.score}
    return told if one.start is None else {**told, "start": one.start, "end": one.end}


def _least(row: Iterable[Field]) -> float:
    return min((one.score for one in row), default=0.0)


def _words(values: Mapping[str, Any]) -> str:
    """``number: A-7; total: 12.5``; a dash for nothing."""
    said = (
        f"{path}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for path, value in values.items()
    )
    return "; ".join(said) or "–"


RECORDS = Records()
