"""Generation: a text, written or found, that answers its input. It may come in pieces."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from markupsafe import Markup

from feilun.config import EvaluationConfig, ProjectConfig
from feilun.errors import InvalidData
from feilun.families._abstaining import threshold
from feilun.families._claims import FIELDS, Details, kinds_of, kinds_section
from feilun.families._faults import FAULTS
from feilun.families._objects import objects
from feilun.families._record_cells import flat
from feilun.families.base import (
    Answers,
    Decoder,
    Difference,
    Disagreement,
    Error,
    Family,
    Sheet,
)
from feilun.families.records import claims
from feilun.metrics.json_texts import as_object
from feilun.metrics.spans import Span, Spans
from feilun.metrics.summaries import Summaries
from feilun.metrics.texts import Texts, alike, chrf
from feilun.metrics.translations import Translations
from feilun.types import Output, Schema

__all__ = [
    "COMPLETION",
    "GENERATION",
    "REPLY",
    "SUMMARY",
    "TRANSLATION",
    "Completion",
    "Generation",
    "Reply",
    "Summary",
    "Translation",
    "Written",
    "objects",
    "sure_of",
]

_LONGEST = 100_000
_SHOWN = 300
_GOOD = 0.5
"""chrF from which an answer counts as the right one where the threshold is set."""
_UNMEASURED = 0.25
"""How sure a model has to be where there are too few validation rows to measure it by."""


class Written(NamedTuple):
    """What a model wrote for one input, how `sure` it is of it (0 to 1; None where it cannot say),
    and what it says `otherwise`, where it is not sure enough."""

    text: str
    sure: float | None = None
    otherwise: str = ""


def sure_of(logs: Sequence[float]) -> float | None:
    """How sure a model is of a text it wrote, 0 to 1: the geometric mean of its tokens'
    probabilities and the least of them, which weigh alike. One wrong amount in a long answer lowers
    the mean hardly at all. `logs` are the tokens' log-probabilities in nats before any temperature,
    that of the token that stops too; None without any."""
    if not len(logs):
        return None
    return min(1.0, math.exp((sum(logs) / len(logs) + min(logs)) / 2))


class Generation(Family):
    """A text. Targets are texts without space around them; raw outputs are an array of objects,
    for each row a `Written`.

    An answer is ``{"generated_text", "score", "abstained"}``, as Hugging Face's pipelines for texts
    name it; ``abstained`` is there where the model was not sure enough to answer.
    """

    name = "generation"
    field: ClassVar[str] = "generated_text"
    """Where an answer has its text."""
    Scores: ClassVar[type[Texts]] = Texts
    """How texts are scored beside the true ones."""
    parallel: ClassVar[bool] = False
    """Whether alike inputs have alike answers, which repeat their numbers and placeholders."""
    repeats: ClassVar[bool] = False
    """Whether these answers repeat words of their inputs, too."""
    condenses: ClassVar[bool] = False
    """Whether an answer says shortly what its input says."""
    metrics: ClassVar = Texts.higher_is_better
    primary = "chrf"
    stratum_words: ClassVar = {"texts": "strata.texts"}
    streams = differentiable = keeps_base = True
    faults = FAULTS
    Details = Details
    least_rows = 20
    epochs, batch_rows, smallest_batch, rate = 5, 8, 2, 1.5
    sentences: ClassVar = {"evaluation.tile_missed": "generation.tile_missed"}

    def target(self, value: Any) -> str | None:
        """The text of a cell; nothing where nothing of it can be seen, which would teach nothing.
        Raises `InvalidData` for what is no text, or too long."""
        if value is None or (isinstance(value, float) and value != value):
            return None
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            raise InvalidData("generation.no_text", given=type(value).__name__)
        text = value.replace("\0", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        text = text.strip()
        if len(text) > _LONGEST:
            raise InvalidData("generation.too_long", length=len(text), limit=_LONGEST)
        return text if any(map(_is_seen, text)) else None

    def names(self, targets: Iterable[str]) -> tuple[str, ...]:
        """None: any text may be answered."""
        return ()

    def stratum(self, target: str) -> str:
        """One for all."""
        return "texts"

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
        words = ("yes", "no", "it", "is", "here", "好", "的")
        return objects(
            [
                Written(" ".join(lots.choice(words, 4).tolist()), float(lots.uniform(0.5, 1)))
                for _ in range(rows)
            ]
        )

    def decoder(self, schema: Schema, point: Mapping[str, Any]) -> Decoder:
        """Below the operating point's ``least`` a model says what it says otherwise."""
        least = float(point.get("least", 0.0))

        def decode(raw: np.ndarray, everything: bool) -> list[Output]:
            return [self.answer(one, least) for one in raw]

        return decode

    def answer(self, one: Written, least: float = 0.0) -> Output:
        """What is answered where a model has to be as sure as `least`."""
        if one.sure is None:
            return {self.field: one.text}
        found: Output = {self.field: one.text, "score": round(one.sure, 6)}
        if _is_unsure(one, least):
            found |= {self.field: one.otherwise, "abstained": True}
        return found

    def said(self, output: Output) -> str:
        """The text."""
        return str(output[self.field]).strip()

    def sure(self, output: Output) -> float | None:
        """The score, where there is one."""
        score = output.get("score")
        return None if score is None else float(score)

    def abstains(self, point: Mapping[str, Any]) -> bool:
        """Where there is a threshold."""
        return float(point.get("least", 0.0)) > 0

    def text(self, output: Output) -> str:
        """See `Family`."""
        return str(output[self.field])

    def cut(self, text: str) -> Output:
        """See `Family`."""
        return {self.field: text}

    def differ(self, left: Output, right: Output) -> Difference:
        """0 for the same text, else what is missing to a chrF of 1."""
        one, other = self.said(left), self.said(right)
        if one == other and ("abstained" in left) == ("abstained" in right):
            return Difference(True, 0.0)
        return Difference(False, 1.0 - chrf(one, other))

    def output_schema(self) -> dict[str, Any]:
        """See the class."""
        return {
            "type": "object",
            "properties": {
                self.field: {"type": "string"},
                "score": {"type": "number", "minimum": 0, "maximum": 1},
                "abstained": {"type": "boolean"},
                "explanation": {"type": ["object", "null"]},
            },
            "required": [self.field],
        }

    def target_schema(self) -> dict[str, Any]:
        """The text that should have been answered."""
        return {"type": "string"}

    def calibrate(
        self, raw: np.ndarray, truth: np.ndarray, labels: tuple[str, ...], config: ProjectConfig
    ) -> tuple[dict[str, Any], list[str]]:
        """``least``: how sure a model has to be to answer; see `threshold`."""
        serving = config.serving
        if serving.abstain_below and serving.abstain_for is None:
            return {"least": serving.abstain_below}, []
        sure = np.array([np.nan if one.sure is None else one.sure for one in raw])
        if not len(sure) or not np.isfinite(sure).all():
            return {}, []
        right = [chrf(true, one.text) >= _GOOD for true, one in zip(truth, raw, strict=True)]
        return {"least": threshold(sure, np.array(right), serving, _UNMEASURED)}, []

    def measured(
        self, truth: np.ndarray, raw: np.ndarray, labels: tuple[str, ...], point: Mapping[str, Any]
    ) -> Texts:
        """See `metrics.texts`; what a model says otherwise is no answer, and never right."""
        least = _least(point)
        answered = [not _is_unsure(one, least) for one in raw]
        written = [one.text if yes else "" for one, yes in zip(raw, answered, strict=True)]
        return self.Scores(list(truth), written, answered)

    def judged(self, targets: Sequence[str], outputs: Sequence[Output]) -> Texts:
        """See `metrics.texts`."""
        answered = ["abstained" not in one for one in outputs]
        return self.Scores(list(targets), [self.said(one) for one in outputs], answered)

    def sheet(
        self,
        candidate: Answers,
        references: Mapping[str, Answers],
        truth: np.ndarray,
        labels: tuple[str, ...],
    ) -> TextSheet:
        """See `TextSheet`."""
        return TextSheet(self, candidate, references, truth)

    def disagreements(
        self, first: np.ndarray, second: np.ndarray, labels: tuple[str, ...]
    ) -> Sequence[Disagreement]:
        """Rows with other texts, the surest first."""
        found = [
            Disagreement(row, _short(one.text), _short(other.text), one.sure or 0.0)
            for row, (one, other) in enumerate(zip(first, second, strict=True))
            if not alike(one.text, other.text)
        ]
        return sorted(found, key=lambda each: -each.sure)

    def sections(self, evaluation: Any) -> Markup:
        """Where answers are JSON objects, each field with its scores."""
        kinds = evaluation.details.kinds if evaluation.details is not None else ()
        return kinds_section(evaluation, FIELDS) if kinds else Markup("")


class TextSheet(Sheet):
    """All versions' texts beside the true ones."""

    measured: Texts

    def __init__(
        self,
        family: Generation,
        candidate: Answers,
        references: Mapping[str, Answers],
        truth: np.ndarray,
    ) -> None:
        self._family = family
        self._truth: list[str] = list(truth)
        versions = {"": candidate, **references}
        self._outputs = {
            role: [family.answer(row, _least(one.point)) for row in one.raw]
            for role, one in versions.items()
        }
        self.measured = family.measured(truth, candidate.raw, (), candidate.point)
        self.others: Mapping[str, Texts] = {
            role: family.measured(truth, one.raw, (), one.point) for role, one in references.items()
        }

    def same(self, role: str) -> bool:
        """See `Sheet`."""
        return self._outputs[""] == self._outputs[role]

    def better(self, role: str) -> tuple[np.ndarray, np.ndarray]:
        """The rows whose text is nearer to the true one by chrF."""
        ours, theirs = self.measured.each, self.others[role].each
        return ours > theirs, theirs > ours

    def targets(self) -> list[str]:
        """See `Sheet`."""
        return self._truth

    def spoken(self, row: int) -> tuple[str, str, str]:
        """The beginnings of the texts."""
        live = self._family.text(self._outputs["live"][row])
        return _short(self._truth[row]), _short(live), _short(self._answer(row))

    def errors(self, most: int) -> tuple[int, Sequence[Error]]:
        """Rows that do not match exactly, the farthest off by chrF first."""
        exact = self.measured.hits("exact_match")
        assert exact is not None
        wrong = np.flatnonzero(~exact)
        each = self.measured.each
        worst = wrong[np.argsort(each[wrong], kind="stable")][:most].tolist()
        return len(wrong), [
            Error(
                row,
                _short(self._truth[row]),
                _short(self._answer(row)),
                float(self._outputs[""][row].get("score", 0.0)),
                0.0,
            )
            for row in worst
        ]

    def details(
        self,
        settings: EvaluationConfig,
        train_counts: Mapping[str, int],
        seed: int,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Mapping[str, Any]:
        """The fields of `Details`, of those true texts that are JSON objects."""
        true = [(row, _fields(text)) for row, text in enumerate(self._truth)]
        known = [(row, one) for row, one in true if one is not None]
        if not known:
            return {}
        found = [_fields(self._answer(row)) or frozenset() for row, _ in known]
        return {"kinds": kinds_of(Spans([one for _, one in known], found), settings, seed)}

    def _answer(self, row: int) -> str:
        return self._family.text(self._outputs[""][row])


def _fields(text: str) -> frozenset[Span] | None:
    """The fields of a JSON object as claims; None for any other text."""
    record = as_object(text)
    try:
        return None if record is None else claims(flat(record))
    except InvalidData:  # such as a list of objects
        return None


def _least(point: Mapping[str, Any]) -> float:
    return float(point.get("least", 0.0))


def _is_unsure(one: Written, least: float) -> bool:
    return one.sure is not None and one.sure < least


def _is_seen(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cf", "Zs", "Zl", "Zp")


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


class Translation(Generation):
    """A text in another language, ``{"translation_text", "score", "abstained"}``."""

    field = "translation_text"
    parallel = True
    Scores = Translations
    metrics: ClassVar = Translations.higher_is_better


class Summary(Generation):
    """A short text of a long one, ``{"summary_text"}``."""

    field = "summary_text"
    condenses = True
    Scores = Summaries
    metrics: ClassVar = Summaries.higher_is_better
    primary = "rouge_l"


class Completion(Generation):
    """What a prompt asks for, ``{"generated_text", "score", "abstained"}``."""

    parallel = repeats = True

    def record(self, target: str) -> Mapping[str, Any] | None:
        """The JSON object that the text is."""
        return as_object(target)


class Reply(Generation):
    """What is said next in a conversation, ``{"generated_text", "score", "abstained"}``."""

    converses = True

    def record(self, target: str) -> Mapping[str, Any] | None:
        """The JSON object that the text is."""
        return as_object(target)


COMPLETION = Completion()
GENERATION = Generation()
REPLY = Reply()
SUMMARY = Summary()
TRANSLATION = Translation()
