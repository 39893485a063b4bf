"""Tags: any number of names for one row, none among them, each decided by itself."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from markupsafe import Markup

from feilun.config import ProjectConfig
from feilun.errors import InvalidData
from feilun.families.base import (
    Answers,
    AnswerTensor,
    Contrast,
    Decoder,
    Difference,
    Disagreement,
    Family,
)
from feilun.families.tags.cells import plain, tags_in
from feilun.families.tags.decisions import (
    best_threshold,
    certainty,
    decided,
    in_words,
    limits_of,
    logits,
    probabilities,
    tags_of,
)
from feilun.families.tags.objective import BinaryCrossEntropy, softened
from feilun.families.tags.sheet import Details, TagSheet
from feilun.families.tags.tally import TagTally
from feilun.messages import Language, t
from feilun.metrics.tags import Tags as Measures
from feilun.render import wording
from feilun.render.bilingual import say
from feilun.render.figures import interval, said, score_bar
from feilun.render.page import template
from feilun.render.reason import Reason
from feilun.render.wording import fill
from feilun.types import Output, Schema

__all__ = ["TAGS", "Tags", "tags_of"]

_FEWEST = 10
"""Validation rows with a tag from which it has a threshold of its own; with fewer, F1 by threshold
is mostly noise, and the tag takes the threshold that all tags share."""
_JUDGED = 5
_MOST = 100
_NAMED = 5
_SHOWN = 3
_TINY = 1e-12


class Tags(Family):
    """Any number of names. A target is a JSON list of them, sorted, ``["late","refund"]``; ``[]``
    says that there is none. Raw outputs are a logit a tag (rows, tags).

    An answer is ``{"tags": [{"label", "score"}], "score"}``: the list that Hugging Face's
    text-classification pipeline gives, of the tags whose probability reaches their threshold, the
    most probable first; on request ``scores`` holds the probability of every tag. ``score`` is how
    sure the least certain decision is: 0.5 where a probability stands at its threshold, 1 where it
    is 0 or 1.
    """

    name = "tags"
    metrics: ClassVar = Measures.higher_is_better
    primary = "micro_f1"
    structured = True
    differentiable = True
    problem_type = "multi_label_classification"
    Details = Details
    sentences: ClassVar = {
        "evaluation.tile_missed": "tags.tile_missed",
        "evaluation.report_metrics_lead": "tags.report_metrics_lead",
        "evaluation.report_misses": "tags.report_misses",
        "evaluation.report_misses_lead": "tags.report_misses_lead",
    }

    # What is right.

    def target(self, value: Any) -> str | None:
        """See `cells.tags_in`."""
        if isinstance(value, bytes):
            raise InvalidData("tags.not_a_list", given="bytes")
        found = tags_in(value)
        return None if found is None else plain(found)

    def names(self, targets: Iterable[str]) -> tuple[str, ...]:
        """The tags, sorted."""
        return tuple(sorted({tag for one in targets for tag in tags_of(one)}))

    def stratum(self, target: str) -> str:
        """The set in words, of many tags the first three."""
        tags = tags_of(target)
        more = f" +{len(tags) - _SHOWN}" if len(tags) > _SHOWN else ""
        return (" + ".join(tags[:_SHOWN]) or "–") + more

    def strata(self, targets: Mapping[str, int]) -> list[str]:
        """Each set is divided with its rarest tag, so that every tag stands in every split."""
        rows: Counter[str] = Counter()
        for target, count in targets.items():
            for tag in tags_of(target):
                rows[tag] += count
        return [min(tags_of(one), key=lambda tag: (rows[tag], tag), default="") for one in targets]

    def relabelled(
        self, target: str, names: Mapping[str, str], dropped: Collection[str] = ()
    ) -> str | None:
        """A set without the dropped tags is still one; tags that have become one count once."""
        if not target.startswith("["):
            return super().relabelled(target, names, dropped)
        return plain({names.get(tag, tag) for tag in tags_of(target) if tag not in dropped})

    def tally(self) -> TagTally:
        """See `TagTally`."""
        return TagTally()

    def notices(
        self, targets: Mapping[str, Mapping[str, int]]
    ) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """Tags that always occur together, and a tag that every row has: nobody can learn to tell
        them apart."""
        tally = TagTally()
        for rows in targets.values():
            for target, count in rows.items():
                tally.add(target, count)
        found: list[tuple[str, Mapping[str, Any]]] = []
        if pairs := tally.together():
            shown = [f"{one} = {other}" for one, other in pairs[:_NAMED]]
            found.append(("tags.always_together", {"count": len(pairs), "pairs": shown}))
        if everywhere := tally.everywhere():
            found.append(("tags.everywhere", {"labels": everywhere}))
        return found

    def truth(self, targets: Sequence[str | None], labels: Sequence[str]) -> np.ndarray:
        """int16 (rows, tags + 1), 1 where a row has the tag; the last column counts tags that are
        not among `labels`, which a model of `labels` misses. A row without a target is -1."""
        places = {label: place for place, label in enumerate(labels)}
        found = np.zeros((len(targets), len(labels) + 1), np.int16)
        for row, target in enumerate(targets):
            if target is None:
                found[row] = -1
                continue
            for tag in tags_of(target):
                found[row, places.get(tag, -1)] += 1
        return found

    def known(self, truth: np.ndarray) -> np.ndarray:
        """See `Family`."""
        return np.asarray(truth[:, -1] >= 0, dtype=bool)

    def teachable(self, targets: Iterable[str]) -> bool:
        """A tag that some rows have and others have not."""
        sets = {tags_of(one) for one in targets}
        rows = Counter(tag for tags in sets for tag in tags)
        return any(count < len(sets) for count in rows.values())

    # How it is learnt.

    def outputs(self, labels: Sequence[str]) -> tuple[str, ...]:
        """A logit a tag."""
        return tuple(labels)

    def objective(
        self,
        truth: np.ndarray,
        labels: tuple[str, ...],
        settings: Any,
        own: np.ndarray | None = None,
    ) -> BinaryCrossEntropy:
        """See `BinaryCrossEntropy`."""
        return BinaryCrossEntropy(settings.label_smoothing)

    # What is answered.

    def width(self, labels: Sequence[str]) -> int:
        """One logit a tag."""
        return len(labels)

    def neutral(self) -> dict[str, Any]:
        """Tags that are more probable than not."""
        return {"threshold": 0.5, "thresholds": {}}

    def decoder(self, schema: Schema, point: Mapping[str, Any]) -> Decoder:
        """See the class."""
        labels, limits = schema.labels, limits_of(schema.labels, point)

        def decode(raw: np.ndarray, everything: bool) -> list[Output]:
            chances = probabilities(raw)
            sure = certainty(chances, limits)
            found: list[Output] = []
            for row, certain in zip(chances, sure.tolist(), strict=True):
                given = np.flatnonzero(row >= limits)
                given = given[np.argsort(-row[given], kind="stable")]
                tags = [{"label": labels[tag], "score": float(row[tag])} for tag in given.tolist()]
                output: Output = {"tags": tags, "score": certain}
                if everything:
                    output["scores"] = dict(zip(labels, row.tolist(), strict=True))
                found.append(output)
            return found

        return decode

    def mean(self, raws: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
        """The logits of the mean probabilities."""
        return logits(np.tensordot(weights, np.stack([probabilities(raw) for raw in raws]), 1))

    def softened(
        self, raw: np.ndarray, truth: np.ndarray, labels: Sequence[str], share: float
    ) -> np.ndarray:
        """Probabilities in the form of `truth`."""
        return softened(raw, truth, self.known(truth), share)

    def stated(self, outputs: Sequence[Output], schema: Schema) -> np.ndarray:
        """The logits of the probabilities."""
        rows = [[one["scores"][label] for label in schema.labels] for one in outputs]
        return logits(np.array(rows, np.float64).reshape(len(outputs), len(schema.labels)))

    def said(self, output: Output) -> str:
        """The tags."""
        return plain(_given(output))

    def sure(self, output: Output) -> float | None:
        """How sure the least certain decision is."""
        return output.get("score")

    def public(self, output: Output, everything: bool) -> Output:
        """Probabilities to six digits, those of all tags only where asked for."""
        shown = self.bare(output)
        shown["tags"] = [{**one, "score": round(one["score"], 6)} for one in output["tags"]]
        if "score" in shown:
            shown["score"] = round(shown["score"], 6)
        if everything and "scores" in output:
            shown["scores"] = {label: round(score, 6) for label, score in output["scores"].items()}
        return shown

    def bare(self, output: Output) -> Output:
        """Without the probabilities of all tags."""
        return {name: value for name, value in output.items() if name != "scores"}

    def tensors(self, schema: Schema, point: Mapping[str, Any]) -> Sequence[AnswerTensor]:
        """``tags`` as a JSON list of names, ``score``, and on request the ``scores`` of all
        ``labels``."""
        labels, count = schema.labels, len(schema.labels)

        def scores(outputs: Sequence[Output]) -> np.ndarray:
            rows = [[output["scores"][label] for label in labels] for output in outputs]
            return np.array(rows, np.float32).reshape(len(outputs), count)

        def score(outputs: Sequence[Output]) -> np.ndarray:
            return np.array([output["score"] for output in outputs], np.float32)

        return (
            AnswerTensor("tags", "BYTES", (-1,), lambda outputs: [self.said(o) for o in outputs]),
            AnswerTensor("score", "FP32", (-1,), score),
            AnswerTensor("scores", "FP32", (-1, count), scores, usual=False, everything=True),
            AnswerTensor("labels", "BYTES", (count,), lambda _: labels, usual=False),
        )

    def differ(self, left: Output, right: Output) -> Difference:
        """The largest difference of any stated probability: of all tags where both name them; 1
        where the sets differ and they do not."""
        same = self.said(left) == self.said(right)
        ours, theirs = (_stated(one) for one in (left, right))
        if ours.keys() != theirs.keys():
            return Difference(same, 1.0)
        return Difference(same, max((abs(ours[tag] - theirs[tag]) for tag in ours), default=0.0))

    def contrast(
        self,
        schema: Schema,
        point: Mapping[str, Any],
        output: Output,
        answer: str | None = None,
        other: str | None = None,
    ) -> Contrast | None:
        """The log-odds of one tag: by default of the most probable one."""
        if not schema.labels:
            return None
        scores: dict[str, float] = output["scores"]
        tag = answer or max(scores, key=lambda name: scores[name])
        direction = np.zeros(len(schema.labels))
        direction[schema.labels.index(tag)] = 1.0

        def log_odds(answered: Output) -> float:
            chance = answered["scores"][tag]
            return math.log(max(chance, _TINY)) - math.log(max(1 - chance, _TINY))

        return Contrast(tag, "", log_odds, direction)

    def output_schema(self) -> dict[str, Any]:
        """See the class."""
        probability = {"type": "number", "minimum": 0, "maximum": 1}
        tag = {
            "type": "object",
            "properties": {"label": {"type": "string"}, "score": probability},
            "required": ["label", "score"],
        }
        return {
            "type": "object",
            "properties": {
                "tags": {"type": "array", "items": tag},
                "score": probability,
                "scores": {"type": "object", "additionalProperties": probability},
                "explanation": {"type": ["object", "null"]},
            },
            "required": ["tags", "score"],
        }

    def target_schema(self) -> dict[str, Any]:
        """The tags that are right; an empty list where there is none."""
        return {"type": "array", "items": {"type": "string"}}

    # How good it is.

    def calibrate(
        self, raw: np.ndarray, truth: np.ndarray, labels: tuple[str, ...], config: ProjectConfig
    ) -> tuple[dict[str, Any], list[str]]:
        """The thresholds with the best F1 on the validation rows: one over all tags together, and
        one for each tag that `_FEWEST` of the rows have (Fan and Lin, "A study on threshold
        selection for multi-label classification", 2007)."""
        marks = truth[:, :-1] > 0
        if marks.sum() < _FEWEST:
            return self.neutral(), []
        chances = probabilities(raw)
        shared = best_threshold(chances.ravel(), marks.ravel())
        rows = marks.sum(axis=0)
        own = {
            labels[tag]: best_threshold(chances[:, tag], marks[:, tag])
            for tag in np.flatnonzero(rows >= _FEWEST).tolist()
        }
        rare = [label for label in labels if label not in own]
        notes = []
        if rare:
            named = [*rare[:_NAMED], *(["…"] if len(rare) > _NAMED else [])]
            limit, count = f"{shared:.2f}", len(rare)
            notes.append(
                t("tags.threshold_shared", threshold=limit, count=count, labels=named,
                  limit=_FEWEST)
            )  # fmt: skip
        return {"threshold": shared, "thresholds": own}, notes

    def measured(
        self, truth: np.ndarray, raw: np.ndarray, labels: tuple[str, ...], point: Mapping[str, Any]
    ) -> Measures:
        """See `metrics.tags`."""
        given = decided(Answers("", "", labels, raw, point), labels)
        return Measures(truth, given)

    def each_label(self, measured: Any, labels: tuple[str, ...]) -> Sequence[Mapping[str, Any]]:
        """With precision, recall and F1."""
        assert isinstance(measured, Measures)
        return [
            {
                "label": label,
                "rows": rows,
                "answered": answered,
                "right": right,
                **{
                    name: score and {"value": score.value, "low": score.low, "high": score.high}
                    for name, score in zip(("precision", "recall", "f1"), scores, strict=True)
                },
            }
            for label, (rows, answered, right, *scores) in zip(labels, measured.each(), strict=True)
        ]

    def judged(self, targets: Sequence[str], outputs: Sequence[Output]) -> Measures:
        """See `metrics.tags`."""
        answers = [self.said(one) for one in outputs]
        labels = self.names([*targets, *answers])
        return Measures(self.truth(targets, labels), self.truth(answers, labels))

    def sheet(
        self,
        candidate: Answers,
        references: Mapping[str, Answers],
        truth: np.ndarray,
        labels: tuple[str, ...],
    ) -> TagSheet:
        """See `TagSheet`."""
        return TagSheet(candidate, references, truth, labels)

    def disagreements(
        self, first: np.ndarray, second: np.ndarray, labels: tuple[str, ...]
    ) -> Sequence[Disagreement]:
        """Rows with other sets at a threshold of 0.5; as sure as the least certain decision that
        changed was."""
        chances, others = probabilities(first), probabilities(second)
        changed = (chances >= 0.5) != (others >= 0.5)
        found = []
        for row in np.flatnonzero(changed.any(axis=1)).tolist():
            sure = float((2 * np.abs(chances[row] - 0.5))[changed[row]].min())
            was, now = (
                in_words(np.array(labels)[one[row] >= 0.5].tolist()) for one in (chances, others)
            )
            found.append(Disagreement(row, was, now, sure))
        return sorted(found, key=lambda one: -one.sure)

    # What is said of it.

    def renamed(self, answers: Answers, names: Sequence[str]) -> Answers:
        """Tags that have become one share a column: it is given where one of them was."""
        if tuple(names) == answers.labels:
            return answers
        labels = tuple(dict.fromkeys(names))
        limits = limits_of(answers.labels, answers.point)
        # Above 0 where the tag is given, so that different thresholds compare.
        margins = np.asarray(answers.raw, np.float64) - np.log(limits / (1 - limits))
        joined = np.full((len(margins), len(labels)), -np.inf)
        for place, name in enumerate(names):
            column = joined[:, labels.index(name)]
            np.maximum(column, margins[:, place], out=column)
        raw = joined.astype(np.float32)
        return replace(answers, labels=labels, raw=raw, point=self.neutral())

    def reasons(self, evaluation: Any) -> Sequence[Reason]:
        """Always giving the same tags costs nothing. A model may score less, not clearly so, and
        only where it is clearly better over all tags alike (macro F1). And what is never found."""
        details: Details = evaluation.details
        micro, macro = (evaluation.metrics.get(name) for name in ("micro_f1", "macro_f1"))
        found = []
        if micro is not None and micro.value <= details.floor:
            figures: dict[str, Any] = {
                "metric": "micro_f1",
                "name": evaluation.name,
                "value": micro.value,
                "labels": details.constant,
                "part": details.floor,
            }
            fairer = macro is not None and macro.low > details.macro_floor
            fairer = fairer and micro.high >= details.floor
            code = "tags.gate_floor_note" if fairer else "tags.gate_floor"
            found.append(Reason(code, figures, "note" if fairer else "against"))
        never = [one for one in details.tags if one.rows >= _JUDGED and not one.right]
        if never:
            names = tuple(one.label for one in never[:_NAMED])
            names += ("…",) if len(never) > _NAMED else ()
            rows = sum(one.rows for one in never)
            figures = {"labels": names, "count": len(never), "rows": rows}
            found.append(Reason("tags.gate_never_found", figures, "note"))
        return found

    def miss_words(self, miss: Any, lang: Language) -> str:
        """How sure the least certain decision was."""
        return fill("tags.sure_of", {"part": miss.stated}, lang)

    def sections(self, evaluation: Any) -> Markup:
        """Each tag with its scores and its threshold."""
        details: Details = evaluation.details
        rows = [
            {
                "label": one.label,
                "rows": wording.number(one.rows),
                "bar": score_bar(one.f1),
                **{name: said(name, getattr(one, name)) for name in ("f1", "precision", "recall")},
                "range": interval("f1", one.f1),
                "threshold": f"{one.threshold:.2f}",
                "own": one.own,
            }
            for one in details.tags[:_MOST]
        ]
        page = template("tags.html", "feilun.families.tags")
        shared = any(not one["own"] for one in rows)
        return Markup(page.render(say=say, rows=rows, count=evaluation.rows, shared=shared))

    def weakness(self, evaluation: Any, lang: Language) -> Sequence[str]:
        """The tag that is found worst, of those that five rows or more have."""
        scored = [(one.f1.value, one) for one in evaluation.details.tags if one.f1 is not None]
        scored = [(value, one) for value, one in scored if one.rows >= _JUDGED]
        if len(scored) < 2:
            return ()
        value, worst = min(scored, key=lambda each: each[0])
        figures = {"label": worst.label, "f1": float(value), "rows": worst.rows}
        return (fill("tags.weakest", figures, lang),)


def _given(output: Output) -> list[str]:
    return [one["label"] for one in output["tags"]]


def _stated(output: Output) -> Mapping[str, float]:
    stated: Mapping[str, float] = output.get("scores") or {
        one["label"]: one["score"] for one in output["tags"]
    }
    return stated


TAGS = Tags()
