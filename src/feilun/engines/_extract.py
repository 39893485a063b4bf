"""What an extractor's folder holds, and how it reads the fields of a text.

``extractor.json`` lists the shapes of answers that it knows, each with its fields in order; most
extractors know one. Of a field it says how it is read: ``span`` (by ``crf/N.crfsuite``, a
conditional random field for this field alone, whose piece of text is read as a text, a number or a
date), ``class`` (one of some values, by logistic regression on n-grams), ``constant``, or
``unread``. ``weights.safetensors`` has the regressions side by side: `columns`, `idf`, `coef`
(classes of all fields, columns) and `intercept`, and of each shape its `middle`, the mean of its
training rows without their instruction, with how `near` all but a hundredth of them are to it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from feilun.engines.crf import tagger
from feilun.engines.linear import WEIGHTS, pick, weigh
from feilun.errors import CorruptArtifact
from feilun.families.records import Field
from feilun.metrics.probabilities import softmax
from feilun.modalities.text import ngrams, sequence
from feilun.modalities.text.values import Reading, value_of

__all__ = ["BITS", "CRF", "FILE", "Asked", "Extractor", "FieldModel", "Form", "Shape", "Taken"]

FILE = "extractor.json"
CRF = "crf"
BITS = 18
"""n-grams are hashed into 2 to this power columns."""

Kind = Literal["span", "class", "constant", "unread"]


@dataclass(frozen=True, slots=True)
class FieldModel:
    """How one field is read. `begin` is where its classes begin among all; `number` names its CRF.
    `values` are those of its classes, `empty` what stands in an answer where there is nothing
    (None, "", an empty list), `optional` whether the field is left out then. Of one with `several`
    values each is a piece of the text."""

    path: str
    kind: Kind
    reading: Reading = "text"
    several: bool = False
    number: int = -1
    begin: int = -1
    values: tuple[Any, ...] = ()
    empty: Any = None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Form:
    """How the JSON of an answer is laid out."""

    indent: int | None = None
    separators: tuple[str, str] = (", ", ": ")
    ascii: bool = False
    fenced: bool = False

    def write(self, record: Mapping[str, Any], bare: bool = False) -> str:
        """A record as text; `bare` without a code fence."""
        text = json.dumps(
            record, ensure_ascii=self.ascii, indent=self.indent, separators=self.separators
        )
        return f"```json\n{text}\n```" if self.fenced and not bare else text


@dataclass(frozen=True, slots=True)
class Shape:
    """The `fields` of one kind of answer, in order, and its `form`. Only texts whose instruction is
    among the digests `told` are answered so, where there are any."""

    fields: tuple[FieldModel, ...]
    form: Form = field(default_factory=Form)
    told: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` gives an equal shape back."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Shape:
        """What `to_json` wrote."""
        fields = [FieldModel(**{**one, "values": tuple(one["values"])}) for one in raw["fields"]]
        form = {**raw["form"], "separators": tuple(raw["form"]["separators"])}
        return cls(tuple(fields), Form(**form), tuple(raw["told"]))


class Asked(NamedTuple):
    """A text to read: the `text` that values stand in, all that was said (`whole`), and the digest
    of its instruction ("" for none)."""

    text: str
    whole: str
    told: str = ""


class Taken(NamedTuple):
    """What was read: the `shape` (None where none fits), its fields, and how `likely` it is that
    the text asks for this shape at all."""

    shape: Shape | None
    fields: Sequence[Field]
    likely: float


class Extractor:
    """Reads texts by what lies in `folder`. Raises `CorruptArtifact` for what cannot be read."""

    def __init__(self, folder: Path) -> None:
        file = folder / FILE
        try:
            raw = json.loads(file.read_text("utf-8"))
            self.shapes = [Shape.from_json(one) for one in raw["shapes"]]
            self._others = bool(raw["others"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorruptArtifact("engines.bad_weights", file=file, reason=repr(error)) from None
        self._weights = _weights(folder / WEIGHTS, len(self.shapes))
        self._features = ngrams.NGrams(BITS)
        self._turn = threading.Lock()  # a tagger holds one text at a time
        numbers = {
            one.number for shape in self.shapes for one in shape.fields if one.kind == "span"
        }
        self._taggers = {number: tagger(folder / CRF / f"{number}.crfsuite") for number in numbers}

    def read(self, asked: Sequence[Asked]) -> list[Taken]:
        """What each text says."""
        if not asked:
            return []
        weights = self._weights
        rows = self._rows([one.whole for one in asked])
        logits = np.asarray(rows @ weights["coef"].T + weights["intercept"], np.float64)
        # An instruction that all have in common would make any question look near.
        texts = [one.text for one in asked]
        near = np.asarray(self._rows(texts) @ weights["middle"].T, np.float64)
        return [self._one(one, logits[place], near[place]) for place, one in enumerate(asked)]

    def _rows(self, texts: Sequence[str]) -> Any:
        rows = pick(self._features.transform(texts), self._weights["columns"])
        return weigh(rows, self._weights["idf"])

    def _one(self, asked: Asked, logits: np.ndarray, near: np.ndarray) -> Taken:
        count = len(self.shapes) + self._others
        chances = _chances(logits[:count])
        place = int(chances.argmax())
        if place >= len(self.shapes):
            return Taken(None, (), float(chances[place]))
        shape, likely = self.shapes[place], float(chances[place])
        if shape.told and asked.told not in shape.told:
            likely = 0.0  # nobody has said what such an instruction asks for
        known = float(self._weights["near"][place])
        if known > 0:  # what is half as near as the farthest rows is something else
            likely *= min(1.0, max(0.0, 2 * float(near[place]) / known - 1))
        tokens = sequence.tokens(asked.text)
        seen = sequence.features(asked.text, tokens) if tokens else []
        fields = [self._field(one, asked.text, tokens, seen, logits) for one in shape.fields]
        return Taken(shape, fields, likely)

    def _field(
        self,
        one: FieldModel,
        text: str,
        tokens: sequence.Tokens,
        seen: list[list[str]],
        logits: np.ndarray,
    ) -> Field:
        if one.kind == "constant":
            return Field(one.path, one.values[0], 1.0)
        if one.kind == "unread":
            return Field(one.path, None, 0.0)
        if one.kind == "class":
            chances = _chances(logits[one.begin : one.begin + len(one.values)])
            best = int(chances.argmax())
            return Field(one.path, one.values[best], float(chances[best]))
        return self._span(one, text, tokens, seen)

    def _span(
        self, one: FieldModel, text: str, tokens: sequence.Tokens, seen: list[list[str]]
    ) -> Field:
        """A value is as probable as the whole sequence of tags that says it."""
        if not tokens:
            return Field(one.path, None, 1.0)
        model = self._taggers[one.number]
        with self._turn:
            model.set(seen)
            tags = model.tag()
            sure = float(model.probability(tags))
            spans = [
                (start, end, min(model.marginal(tags[place], place) for place in held))
                for start, end, _, held in sequence.spans_of(tokens, tags)
            ]
        sure = min(1.0, max(0.0, sure))
        found = []
        for start, end, score in spans:
            try:
                found.append((value_of(text[start:end], one.reading), start, end, score))
            except ValueError:
                sure = 0.0  # it stands where the field should be, and is none
        if not found:
            return Field(one.path, None, sure)
        if one.several:
            return Field(one.path, [value for value, *_ in found], sure)
        value, start, end, _ = max(found, key=lambda each: each[3])
        if any(other != value for other, *_ in found):
            sure = min(sure, 0.5)  # one of them it is
        return Field(one.path, value, sure, start, end)


def _chances(logits: np.ndarray) -> np.ndarray:
    return softmax(logits) if len(logits) else np.ones(1)


def _weights(file: Path, shapes: int) -> Mapping[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        found = load_file(file)
        width = len(found["columns"])
        fits = found["coef"].shape == (len(found["intercept"]), width)
        fits = fits and found["middle"].shape == (shapes, width) and len(found["idf"]) == width
    except (OSError, KeyError, SafetensorError) as error:
        raise CorruptArtifact("engines.bad_weights", file=file, reason=repr(error)) from None
    if not fits:
        raise CorruptArtifact("engines.bad_weights", file=file, reason=f"{found['coef'].shape}")
    return found
