"""Likelihood: how well a model predicts texts themselves, and how it goes on with one.

Nothing beside a text says what is right: the text does. So the target of a document is `ITSELF`,
and a correction is the text that should have followed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar, NamedTuple

import numpy as np

from feilun.errors import InvalidData
from feilun.families._objects import objects
from feilun.families.base import (
    Answers,
    Decoder,
    Difference,
    Disagreement,
    Error,
    Family,
    Sheet,
)
from feilun.messages import Language, t
from feilun.metrics.bits import Bits
from feilun.types import Output, Schema

__all__ = ["ITSELF", "LIKELIHOOD", "Likelihood", "Read"]

ITSELF = "¶"
"""The target of a document: what is to be predicted is the document itself."""

_LONGEST = 100_000
_ALIKE = 0.02  # bits per byte


class Read(NamedTuple):
    """What a model makes of a text: the negative log likelihood in `nats` of the `size` bytes that
    it had to predict, how it goes on or fills its gaps in `text`, and for each masked place the
    likeliest `fills`, as transformers' fill-mask pipeline gives them."""

    nats: float
    size: int
    text: str = ""
    fills: tuple[tuple[Mapping[str, Any], ...], ...] = ()


class Likelihood(Family):
    """Documents, by how well they are predicted. Raw outputs are an array of objects, for each row
    a `Read`.

    An answer is ``{"generated_text", "bits_per_byte"}``: how the text goes on, and how well it was
    predicted. Of a text with masks it has ``fill_mask`` too, and ``generated_text`` is the text
    with the likeliest word in each.
    """

    name = "likelihood"
    metrics: ClassVar = Bits.higher_is_better
    primary = "bits_per_byte"
    stratum_words: ClassVar = {"documents": "strata.documents"}
    streams = True

    def target(self, value: Any) -> str | None:
        """`ITSELF`, or the text that should follow. Raises `InvalidData` for what is no text."""
        if value is None or (isinstance(value, float) and value != value):
            return None
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            raise InvalidData("generation.no_text", given=type(value).__name__)
        text = value.replace("\0", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if len(text) > _LONGEST:
            raise InvalidData("generation.too_long", length=len(text), limit=_LONGEST)
        return text.strip() or None

    def names(self, targets: Iterable[str]) -> tuple[str, ...]:
        """None: texts need no list."""
        return ()

    def stratum(self, target: str) -> str:
        """One for all."""
        return "documents"

    def teachable(self, targets: Iterable[str]) -> bool:
        """Two documents: none of them needs another target."""
        return len(list(islice(targets, 2))) == 2

    def truth(self, targets: Sequence[str | None], labels: Sequence[str]) -> np.ndarray:
        """Texts; None for none."""
        return objects(targets)

    def known(self, truth: np.ndarray) -> np.ndarray:
        """See `Family`."""
        return np.array([one is not None for one in truth], dtype=bool)

    def width(self, labels: Sequence[str]) -> int:
        """No numbers: raw outputs are objects."""
        return 0

    def example_raw(self, rows: int, labels: Sequence[str], seed: int) -> np.ndarray:
        """See `Family`."""
        lots = np.random.default_rng(seed)
        words = ("tea", "is", "here", "茶", "很", "好")
        return objects(
            [
                Read(float(lots.uniform(50, 150)), 80, " ".join(lots.choice(words, 4).tolist()))
                for _ in range(rows)
            ]
        )

    def decoder(self, schema: Schema, point: Mapping[str, Any]) -> Decoder:
        """See the class."""

        def decode(raw: np.ndarray, everything: bool) -> list[Output]:
            return [_output(one) for one in raw]

        return decode

    def said(self, output: Output) -> str:
        """The text."""
        return str(output["generated_text"]).strip()

    def text(self, output: Output) -> str:
        """See `Family`."""
        return str(output["generated_text"])

    def cut(self, text: str) -> Output:
        """See `Family`."""
        return {"generated_text": text}

    def differ(self, left: Output, right: Output) -> Difference:
        """How far apart the bits per byte are; 1 more where the texts differ."""
        ours, theirs = left.get("bits_per_byte"), right.get("bits_per_byte")
        apart = 0.0 if ours is None or theirs is None else abs(float(ours) - float(theirs))
        same = self.text(left) == self.text(right)
        return Difference(same, apart if same else 1.0 + apart)

    def output_schema(self) -> dict[str, Any]:
        """See the class."""
        fill = {
            "type": "object",
            "properties": {
                "score": {"type": "number", "minimum": 0, "maximum": 1},
                "token": {"type": "integer"},
                "token_str": {"type": "string"},
                "sequence": {"type": "string"},
            },
            "required": ["score", "token", "token_str", "sequence"],
        }
        return {
            "type": "object",
            "properties": {
                "generated_text": {"type": "string"},
                "bits_per_byte": {"type": "number", "minimum": 0},
                "fill_mask": {"type": "array", "items": {"type": "array", "items": fill}},
                "explanation": {"type": ["object", "null"]},
            },
            "required": ["generated_text"],
        }

    def target_schema(self) -> dict[str, Any]:
        """The text that should have followed."""
        return {"type": "string"}

    def measured(
        self, truth: np.ndarray, raw: np.ndarray, labels: tuple[str, ...], point: Mapping[str, Any]
    ) -> Bits:
        """See `Bits`."""
        return _measured(raw)

    def judged(self, targets: Sequence[str], outputs: Sequence[Output]) -> Bits:
        """Bits per byte of what was asked, each text alike."""
        bits = np.array([float(one.get("bits_per_byte", 8.0)) for one in outputs])
        return Bits(bits * math.log(2), np.ones(len(bits)))

    def sheet(
        self,
        candidate: Answers,
        references: Mapping[str, Answers],
        truth: np.ndarray,
        labels: tuple[str, ...],
    ) -> LikelihoodSheet:
        """See `LikelihoodSheet`."""
        return LikelihoodSheet(candidate, references, truth)

    def disagreements(
        self, first: np.ndarray, second: np.ndarray, labels: tuple[str, ...]
    ) -> Sequence[Disagreement]:
        """Documents whose bits per byte are apart, the farthest first."""
        one, other = _measured(first).each, _measured(second).each
        apart = np.abs(one - other)
        rows = np.flatnonzero(apart > _ALIKE)
        return [
            Disagreement(row, _bits(one[row]), _bits(other[row]), min(1.0, float(apart[row])))
            for row in rows[np.argsort(-apart[rows], kind="stable")].tolist()
        ]

    def miss_words(self, miss: Any, lang: Language) -> str:
        """What the figure is."""
        return t("likelihood.miss", lang, bits=f"{miss.stated:.2f}")


class LikelihoodSheet(Sheet):
    """All versions' likelihoods of the same documents."""

    measured: Bits

    def __init__(
        self, candidate: Answers, references: Mapping[str, Answers], truth: np.ndarray
    ) -> None:
        self._truth: list[str] = list(truth)
        self.measured = _measured(candidate.raw)
        self.others: Mapping[str, Bits] = {
            role: _measured(one.raw) for role, one in references.items()
        }

    def same(self, role: str) -> bool:
        """See `Sheet`."""
        return bool(np.allclose(self.measured.nats, self.others[role].nats, rtol=1e-6))

    def better(self, role: str) -> tuple[np.ndarray, np.ndarray]:
        """The documents that one version needs fewer bits for."""
        ours, theirs = self.measured.each, self.others[role].each
        return ours < theirs, theirs < ours

    def targets(self) -> list[str]:
        """See `Sheet`."""
        return self._truth

    def spoken(self, row: int) -> tuple[str, str, str]:
        """Bits per byte."""
        was, now = self.others["live"].each[row], self.measured.each[row]
        return self._truth[row], _bits(was), _bits(now)

    def errors(self, most: int) -> tuple[int, Sequence[Error]]:
        """No document is wrong; the worst predicted ones."""
        each = self.measured.each
        worst = np.argsort(-each, kind="stable")[:most].tolist()
        return len(each), [
            Error(row, self._truth[row], _bits(each[row]), float(each[row]), 0.0) for row in worst
        ]


def _measured(raw: np.ndarray) -> Bits:
    return Bits(np.array([one.nats for one in raw]), np.array([one.size for one in raw]))


def _bits(value: float) -> str:
    return f"{value:.2f}"


def _output(one: Read) -> Output:
    found: Output = {"generated_text": one.text}
    if one.size:
        found["bits_per_byte"] = round(one.nats / math.log(2) / one.size, 4)
    if one.fills:
        found["fill_mask"] = [[dict(fill) for fill in place] for place in one.fills]
    return found


LIKELIHOOD = Likelihood()
