"""Classes: one of the schema's labels, and how probable it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from markupsafe import Markup

from feilun.config import ProjectConfig
from feilun.families.base import (
    Answers,
    AnswerTensor,
    Contrast,
    Decoder,
    Difference,
    Disagreement,
    Family,
)
from feilun.families.classes import gate, report, use
from feilun.families.classes.binary import Binary, classified
from feilun.families.classes.classification import Classified, class_scores
from feilun.families.classes.details import Details
from feilun.families.classes.labels import label_of, order_labels
from feilun.families.classes.objective import CrossEntropy, SoftCrossEntropy, label_weights
from feilun.families.classes.point import Point, decoder, point_of
from feilun.families.classes.setting import set_point
from feilun.families.classes.sheet import ClassSheet
from feilun.families.classes.words import weakness
from feilun.families.instructed import mapping
from feilun.messages import Language
from feilun.metrics.measured import Measured
from feilun.metrics.probabilities import softmax
from feilun.metrics.scores import Score
from feilun.render.reason import Reason
from feilun.render.wording import fill
from feilun.types import OneOf, Output, Range, Real, Schema

__all__ = ["CLASSES", "Classes"]

MAJORITY = "majority"
"""The method's name of the constant baseline."""

_TINY = 1e-12

_EXPLANATION: dict[str, Any] = {
    "type": ["object", "null"],
    "properties": {
        "for": {"type": "string"},
        "against": {"type": "string"},
        "method": {"enum": ["exact", "occlusion"]},
        "parts": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "text": {"type": "string"},
                    "start": {"type": "integer"},
                    "end": {"type": "integer"},
                    "weight": {"type": "number"},
                },
            },
        },
        "grid": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
    },
}
"""Log-odds that each part, or each square of a picture, adds for one label against another."""

_CERTAIN = 0.99
"""The probability of a label that somebody named without saying how sure it is."""


class Classes(Family):
    """One label of several. Targets are labels as they are; raw outputs are logits (rows, labels);
    an answer is ``{"label": str, "score": float}``."""

    name = "classes"
    metrics: ClassVar = Binary.higher_is_better
    primary = "accuracy"
    fitness = "log_loss"
    many_targets = False
    invariant = True
    differentiable = True
    problem_type = "single_label_classification"
    losses: ClassVar[Mapping[str, Range]] = {
        "class_weights": OneOf(("none", "balanced")),
        "label_smoothing": Real(0.0, 0.2),
    }
    Details = Details

    def target(self, value: Any) -> str | None:
        """See `labels.label_of`."""
        return label_of(value)

    def names(self, targets: Iterable[str]) -> tuple[str, ...]:
        """See `labels.order_labels`."""
        return order_labels(targets)

    def truth(self, targets: Sequence[str | None], labels: Sequence[str]) -> np.ndarray:
        """Positions in `labels`, int64; -1 for none, and for a label that is not among them."""
        places = {label: place for place, label in enumerate(labels)}
        found = [-1 if one is None else places.get(one, -1) for one in targets]
        return np.array(found, np.int64)

    def json_schema(self, labels: Sequence[str]) -> dict[str, Any]:
        """``{"label": …}``, one of the labels."""
        label = {"type": "string", "enum": list(labels)}
        return {
            "type": "object",
            "properties": {"label": label},
            "required": ["label"],
            "additionalProperties": False,
        }

    def json_answer(self, target: str, item: Any) -> Any:
        """See `json_schema`."""
        return {"label": target}

    def json_raw(self, value: Any, item: Any, labels: Sequence[str], sure: float) -> np.ndarray:
        """Logits of `sure` for the label and of the rest for the others, in equal parts; equal ones
        where no label was written."""
        label = str(mapping(value).get("label"))
        if label not in labels or len(labels) < 2:
            return np.zeros(len(labels), np.float32)
        most = min(max(sure, 1 / len(labels)), 1 - 1e-6)
        chances = np.full(len(labels), (1 - most) / (len(labels) - 1))
        chances[list(labels).index(label)] = most
        logits: np.ndarray = np.log(chances).astype(np.float32)
        return logits

    def known(self, truth: np.ndarray) -> np.ndarray:
        """See `Family`."""
        return np.asarray(truth) >= 0

    def weights(
        self,
        truth: np.ndarray,
        labels: Sequence[str],
        balance: str,
        own: np.ndarray | None = None,
    ) -> np.ndarray | None:
        """See `objective.label_weights`."""
        return label_weights(truth, len(labels), balance, own)

    def outputs(self, labels: Sequence[str]) -> tuple[str, ...]:
        """A logit a label."""
        return tuple(labels)

    def objective(
        self,
        truth: np.ndarray,
        labels: tuple[str, ...],
        settings: Any,
        own: np.ndarray | None = None,
    ) -> CrossEntropy:
        """See `CrossEntropy`; probabilities (rows, labels) are learnt as they are."""
        if truth.ndim == 2:
            return SoftCrossEntropy(None, settings.label_smoothing)
        weights = label_weights(truth, len(labels), settings.class_weights, own)
        return CrossEntropy(weights, settings.label_smoothing)

    def width(self, labels: Sequence[str]) -> int:
        """One logit a label."""
        return len(labels)

    def decoder(self, schema: Schema, point: Mapping[str, Any]) -> Decoder:
        """See `point.decoder`."""
        return decoder(schema, point_of(point))

    def said(self, output: Output) -> str:
        """The label."""
        return str(output["label"])

    def sure(self, output: Output) -> float | None:
        """The probability of the label."""
        return output.get("score")

    def settled(self, raw: np.ndarray, schema: Schema, point: Mapping[str, Any]) -> np.ndarray:
        """Logits at temperature 1."""
        return (np.asarray(raw) / point_of(point).temperature).astype(np.float32)

    def asserted(self, target: str | None, labels: Sequence[str]) -> np.ndarray | None:
        """99 % for the label."""
        chances = np.full(len(labels), (1 - _CERTAIN) / max(1, len(labels) - 1))
        if target is not None:
            chances[list(labels).index(target)] = _CERTAIN
        stated: np.ndarray = np.log(chances).astype(np.float32)
        return stated

    def scaled(self, point: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
        """Both temperatures, and the rule of `point`."""
        whole = point_of(point)
        return replace(whole, temperature=whole.temperature * point_of(own).temperature).to_json()

    def mean(self, raws: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
        """The logarithms of the mean probabilities."""
        stacked = np.stack([softmax(raw) for raw in raws])
        return _logs(np.tensordot(weights, stacked, 1))

    def softened(
        self, raw: np.ndarray, truth: np.ndarray, labels: Sequence[str], share: float
    ) -> np.ndarray:
        """Probabilities, float32 (rows, labels)."""
        stated, known = softmax(raw), self.known(truth)
        stated[known] *= share
        stated[np.flatnonzero(known), np.asarray(truth)[known]] += 1 - share
        return stated.astype(np.float32)

    def stated(self, outputs: Sequence[Output], schema: Schema) -> np.ndarray:
        """The logarithms of the probabilities."""
        rows = [[one["scores"][label] for label in schema.labels] for one in outputs]
        return _logs(np.array(rows, np.float64).reshape(len(outputs), len(schema.labels)))

    def public(self, output: Output, everything: bool) -> Output:
        """Probabilities to six digits, all of them only where asked for."""
        shown = {
            name: value for name, value in output.items() if name not in ("scores", "passed_on")
        }
        if "score" in shown:
            shown["score"] = round(shown["score"], 6)
        if everything and "scores" in output:
            shown["scores"] = {label: round(score, 6) for label, score in output["scores"].items()}
        return shown

    def tensors(self, schema: Schema, point: Mapping[str, Any]) -> Sequence[AnswerTensor]:
        """``label`` and ``score``, ``abstained`` where answers may be, and on request the
        ``scores`` of all ``labels``."""
        labels, count = schema.labels, len(schema.labels)

        def scores(outputs: Sequence[Output]) -> np.ndarray:
            rows = [[output["scores"][label] for label in labels] for output in outputs]
            return np.array(rows, np.float32).reshape(len(outputs), count)

        found = [
            AnswerTensor("label", "BYTES", (-1,), lambda outputs: [o["label"] for o in outputs]),
            AnswerTensor(
                "score",
                "FP32",
                (-1,),
                lambda outputs: np.array([o["score"] for o in outputs], np.float32),
            ),
        ]
        if self.abstains(point):
            found.append(
                AnswerTensor(
                    "abstained",
                    "BOOL",
                    (-1,),
                    lambda outputs: np.array(["abstained" in o for o in outputs]),
                )
            )
        return (
            *found,
            AnswerTensor("scores", "FP32", (-1, count), scores, usual=False, everything=True),
            AnswerTensor("labels", "BYTES", (count,), lambda _: labels, usual=False),
        )

    def neutral(self) -> dict[str, Any]:
        """Logits as they are, and the most probable label."""
        return Point().to_json()

    def abstains(self, point: Mapping[str, Any]) -> bool:
        """See `Family`."""
        return point_of(point).rule.abstain_below > 0

    def bare(self, output: Output) -> Output:
        """Without the scores of all labels."""
        return {name: value for name, value in output.items() if name != "scores"}

    def differ(self, left: Output, right: Output) -> Difference:
        """The largest difference of any stated probability: of all labels where both name them."""
        same = bool(left["label"] == right["label"])
        ours: Mapping[str, float] = left.get("scores") or {left["label"]: left["score"]}
        theirs: Mapping[str, float] = right.get("scores") or {right["label"]: right["score"]}
        if ours.keys() != theirs.keys():
            return Difference(same, abs(left["score"] - right["score"]) if same else 1.0)
        return Difference(same, max(abs(ours[label] - theirs[label]) for label in ours))

    def contrast(
        self,
        schema: Schema,
        point: Mapping[str, Any],
        output: Output,
        answer: str | None = None,
        other: str | None = None,
    ) -> Contrast | None:
        """The log-odds of the answer against the next best label. None for one label alone."""
        scores: dict[str, float] = output["scores"]
        label = answer or str(output["label"])
        rest = [name for name in scores if name != label]
        if not rest:
            return None
        against = other or max(rest, key=lambda name: scores[name])
        direction = np.zeros(len(schema.labels))
        temperature = point_of(point).temperature
        direction[schema.labels.index(label)] = 1 / temperature
        direction[schema.labels.index(against)] = -1 / temperature

        def log_odds(said: Output) -> float:
            stated = said["scores"]
            return math.log(max(stated[label], _TINY)) - math.log(max(stated[against], _TINY))

        return Contrast(label, against, log_odds, direction)

    def output_schema(self) -> dict[str, Any]:
        """A label and its probability; on request those of all labels, and an explanation; whether
        the answer is too unsure to be acted upon; and of a scorecard its points."""
        probability = {"type": "number", "minimum": 0, "maximum": 1}
        return {
            "type": "object",
            "properties": {
                "label": {"type": "string"},
                "score": probability,
                "scores": {"type": "object", "additionalProperties": probability},
                "abstained": {"const": True},
                "points": {"type": "integer"},
                "explanation": _EXPLANATION,
            },
            "required": ["label", "score"],
        }

    def calibrate(
        self, raw: np.ndarray, truth: np.ndarray, labels: tuple[str, ...], config: ProjectConfig
    ) -> tuple[dict[str, Any], list[str]]:
        """See `setting.set_point`."""
        point, notes = set_point(config, labels, raw, truth)
        return point.to_json(), notes

    def measured(
        self, truth: np.ndarray, raw: np.ndarray, labels: tuple[str, ...], point: Mapping[str, Any]
    ) -> Classified:
        """See `Classified`."""
        return classified(truth, softmax(raw, point_of(point).temperature))

    def each_label(self, measured: Measured, labels: tuple[str, ...]) -> list[dict[str, Any]]:
        """With precision, recall and F1."""
        assert isinstance(measured, Classified)
        found = class_scores(measured.truth, measured.answers, len(labels))
        return [
            {
                "label": label,
                "rows": one.rows,
                "answered": one.answered,
                "right": one.right,
                **{name: _plain(getattr(one, name)) for name in ("precision", "recall", "f1")},
            }
            for label, one in zip(labels, found, strict=True)
        ]

    def sheet(
        self,
        candidate: Answers,
        references: Mapping[str, Answers],
        truth: np.ndarray,
        labels: tuple[str, ...],
    ) -> ClassSheet:
        """See `ClassSheet`."""
        return ClassSheet(candidate, references, truth, labels)

    def disagreements(
        self, first: np.ndarray, second: np.ndarray, labels: tuple[str, ...]
    ) -> Sequence[Disagreement]:
        """Rows with another most probable label; `sure` is the margin between the first's two best
        probabilities."""
        ordered = np.sort(softmax(first), axis=1)
        margins = ordered[:, -1] - (ordered[:, -2] if len(labels) > 1 else 0.0)
        was, now = first.argmax(axis=1), second.argmax(axis=1)
        return [
            Disagreement(row, labels[was[row]], labels[now[row]], float(margins[row]))
            for row in np.flatnonzero(was != now).tolist()
        ]

    def constant(
        self, targets: Mapping[str, int], labels: tuple[str, ...], rows: int
    ) -> Answers | None:
        """The labels' shares in training, smoothed by one row each so that none is impossible."""
        counts = np.array([targets.get(label, 0) for label in labels], dtype=np.float64) + 1
        logits = np.log(counts / counts.sum())
        return Answers(MAJORITY, MAJORITY, labels, np.tile(logits, (rows, 1)))

    def renamed(self, answers: Answers, names: Sequence[str]) -> Answers:
        """Labels that have become one share a column, whose probability is the sum of theirs."""
        if tuple(names) == answers.labels:
            return answers
        labels, point = tuple(dict.fromkeys(names)), point_of(answers.point)
        scaled = np.asarray(answers.raw, np.float64) / point.temperature
        joined = np.full((len(scaled), len(labels)), -np.inf)
        for place, name in enumerate(names):
            column = joined[:, labels.index(name)]
            np.logaddexp(column, scaled[:, place], out=column)
        called = dict(zip(answers.labels, names, strict=True))
        rule = replace(point.rule, label=called.get(point.rule.label, point.rule.label))
        raw = (joined * point.temperature).astype(np.float32)
        return replace(answers, labels=labels, raw=raw, point=replace(point, rule=rule).to_json())

    def reasons(self, evaluation: Any) -> Sequence[Reason]:
        """See `gate.reasons`."""
        return gate.reasons(evaluation, evaluation.details)

    def miss_words(self, miss: Any, lang: Language) -> str:
        """The probabilities of the answer and of the truth."""
        figures = {"stated": miss.stated, "truth": miss.stated_truth}
        return fill("evaluation.miss_stated", figures, lang)

    def tiles(self, evaluation: Any) -> Sequence[tuple[Any, str, Any]]:
        """See `report.tiles`."""
        return report.tiles(evaluation, evaluation.details)

    def sections(self, evaluation: Any) -> Markup:
        """See `report.sections`."""
        return report.sections(evaluation, evaluation.details)

    def next_step(self, evaluation: Any, lang: Language) -> str | None:
        """See `use.next_step`."""
        return use.next_step(evaluation.name, evaluation.details.choice, lang)

    def worth(self, evaluation: Any, lang: Language) -> tuple[str | None, Sequence[str]]:
        """See `use.worth`."""
        return use.worth(evaluation.name, evaluation.details.choice, lang)

    def weakness(self, evaluation: Any, lang: Language) -> Sequence[str]:
        """See `words.weakness`."""
        return weakness(evaluation, evaluation.details, lang)


CLASSES = Classes()


def _logs(probabilities: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.log(np.maximum(probabilities, _TINY)).astype(np.float32)
    return found


def _plain(score: Score | None) -> dict[str, float] | None:
    return None if score is None else {"value": score.value, "low": score.low, "high": score.high}
