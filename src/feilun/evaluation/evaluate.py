"""From logits to evidence: pure, nothing is loaded or written here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from feilun.config import EvaluationConfig
from feilun.errors import InvalidData
from feilun.evaluation.answers import Answers, align, label_space
from feilun.evaluation.compare import compare
from feilun.evaluation.consultations import Consultations, risk_limit
from feilun.evaluation.result import (
    ROLES,
    Calibration,
    ClassScores,
    Comparison,
    Confusion,
    Evaluation,
    Miss,
    Role,
)
from feilun.evaluation.showing import show
from feilun.evaluation.slices import slices
from feilun.metrics.calibration import BINS, Bin, reliability
from feilun.metrics.classification import Classified, class_scores
from feilun.metrics.comparison import scores
from feilun.metrics.scores import HIGHER_IS_BETTER, Score
from feilun.metrics.share import Share
from feilun.types import Item, Schema

__all__ = ["evaluate"]

_ROWS_A_BIN = 40
_MISSES = 20
_DRAWS = 20_000_000
_LEAST_RESAMPLES = 200


def evaluate(
    candidate: Answers,
    truth: np.ndarray,
    *,
    items: Sequence[Item],
    row_ids: Sequence[str],
    schema: Schema,
    train_counts: Mapping[str, int],
    settings: EvaluationConfig,
    references: Mapping[Role, Answers] | None = None,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
    primary: str = "accuracy",
    seed: int = 0,
    columns: Mapping[str, Sequence[object]] | None = None,
    consultations: Consultations | None = None,
) -> Evaluation:
    """Everything that can be said of `candidate` on the test rows.

    `truth` holds indices into ``schema.labels``, -1 for rows without a label, which are left out.
    `items` and `row_ids` are those rows' own, in the same order; only the rows that are shown are
    read from `items`, and texts for their length. `train_counts` are the training rows of each
    label. `references` are other versions' answers on the same rows, whose labels may differ;
    `validation` the candidate's logits and the truth on the validation rows, in `candidate`'s
    labels and the schema's indices. `columns` hold what else is known of each row (its source, its
    customer): the rows are divided by them. `consultations` count how often the rows were asked.

    Raises `InvalidData` when no test row has a label, `ValueError` when the lengths differ.
    """
    references = references or {}
    consultations = consultations or Consultations()
    truth = np.asarray(truth, dtype=np.int64)
    versions = [candidate, *references.values()]
    for version in versions:
        if len(version.logits) != len(truth):
            raise ValueError(f"{version.name}: {len(version.logits)} rows, truth has {len(truth)}")
    if len(items) != len(truth) or len(row_ids) != len(truth):
        raise ValueError(f"{len(items)} items and {len(row_ids)} ids for {len(truth)} rows")
    labelled = np.flatnonzero(truth >= 0)
    if not len(labelled):
        raise InvalidData("evaluation.no_test_rows")

    space = label_space(schema.labels, versions)
    right = truth[labelled]
    raw = align(candidate, space, calibrated=False)[labelled]
    stated = align(candidate, space)[labelled]
    settings = _bounded(settings, len(right))
    how: dict[str, Any] = {
        "resamples": settings.resamples,
        "confidence": settings.confidence,
        "seed": seed,
    }
    answers = stated.argmax(axis=1)
    metrics = scores(Classified(right, stated), **how)
    others = {
        role: align(references[role], space)[labelled] for role in ROLES if role in references
    }
    wrong = np.flatnonzero(answers != right)
    return Evaluation(
        name=candidate.name,
        method=candidate.method,
        task=schema.task,
        labels=candidate.labels,
        primary=primary,
        higher_is_better=HIGHER_IS_BETTER.get(primary, True),
        confidence=settings.confidence,
        margin=settings.margin,
        rows=len(right),
        unlabelled=len(truth) - len(right),
        metrics=metrics,
        validation=_validation(candidate, validation, space, how),
        validation_rows=int((validation[1] >= 0).sum()) if validation is not None else 0,
        floor=_floor(train_counts, right, space),
        comparisons=_comparisons(
            references,
            right,
            stated,
            others,
            space,
            candidate.labels,
            primary,
            settings,
            seed,
            risk_limit(consultations.attempts),
        ),
        classes=_classes(right, answers, others, space, settings.confidence),
        confusion=_confusion(right, answers, space),
        calibration=_calibration(right, raw, stated, metrics, candidate.temperature, how),
        misses=_misses(wrong, labelled, right, stated, space, items, row_ids),
        missed=len(wrong),
        slices=slices(
            _readable(items, labelled),
            Share(answers == right),
            "accuracy",
            settings.confidence,
            before=Share(others["live"].argmax(axis=1) == right) if "live" in others else None,
            columns={
                name: [values[int(row)] for row in labelled]
                for name, values in (columns or {}).items()
            },
            margin=settings.slice_margin,
        ),
        unsure=settings.unsure,
        slice_margin=settings.slice_margin,
        consultations=consultations,
        fresh_after=settings.consultations,
    )


def _readable(items: Sequence[Item], rows: np.ndarray) -> list[Item]:
    """The items of `rows`; none where they hold media, which would all be read from the disk."""
    first = items[int(rows[0])]
    media = isinstance(first, bytes) or (
        isinstance(first, Mapping) and any(isinstance(value, bytes) for value in first.values())
    )
    return [] if media else [items[int(row)] for row in rows]


def _bounded(settings: EvaluationConfig, rows: int) -> EvaluationConfig:
    """Fewer resamples for very many rows, whose intervals are narrow whatever is drawn: a hundred
    thousand test rows would take minutes."""
    resamples = min(settings.resamples, max(_LEAST_RESAMPLES, _DRAWS // rows))
    return settings.model_copy(update={"resamples": resamples})


def _validation(
    candidate: Answers,
    validation: tuple[np.ndarray, np.ndarray] | None,
    space: tuple[str, ...],
    how: Mapping[str, Any],
) -> dict[str, Score | None]:
    if validation is None:
        return {}
    logits, truth = validation
    rows = np.asarray(truth) >= 0
    if not rows.any():
        return {}
    answered = Answers(
        candidate.name, candidate.method, candidate.labels, logits[rows], candidate.temperature
    )
    return scores(Classified(truth[rows], align(answered, space)), **how)


def _comparisons(
    references: Mapping[Role, Answers],
    truth: np.ndarray,
    stated: np.ndarray,
    others: Mapping[Role, np.ndarray],
    space: tuple[str, ...],
    labels: tuple[str, ...],
    primary: str,
    settings: EvaluationConfig,
    seed: int,
    limit: float,
) -> tuple[Comparison, ...]:
    """One for each role. A version with several roles (the rung below is often the live one) is
    compared once."""
    done: dict[str, Comparison] = {}
    result = []
    for role, old in others.items():
        other = references[role]
        if other.name not in done:
            done[other.name] = compare(
                role,
                other,
                truth,
                stated,
                old,
                space=space,
                labels=labels,
                primary=primary,
                settings=settings,
                seed=seed,
                limit=limit,
            )
        result.append(replace(done[other.name], role=role))
    return tuple(result)


def _floor(
    train_counts: Mapping[str, int], truth: np.ndarray, space: tuple[str, ...]
) -> tuple[str, float]:
    """The most frequent training label, the first of equals, and how often it would be right."""
    label = max(space, key=lambda name: train_counts.get(name, 0))
    return label, float((truth == space.index(label)).mean())


def _classes(
    truth: np.ndarray,
    answers: np.ndarray,
    others: Mapping[Role, np.ndarray],
    space: tuple[str, ...],
    confidence: float,
) -> tuple[ClassScores, ...]:
    """One entry for each label that has rows or was answered."""
    found = {}
    for role, old in others.items():
        hits = truth[old.argmax(axis=1) == truth]
        found[role] = np.bincount(hits, minlength=len(space)).tolist()
    return tuple(
        ClassScores(
            label=label,
            rows=one.rows,
            answered=one.answered,
            right=one.right,
            precision=one.precision,
            recall=one.recall,
            f1=one.f1,
            found={role: hits[place] for role, hits in found.items()},
        )
        for place, (label, one) in enumerate(
            zip(space, class_scores(truth, answers, len(space), confidence), strict=True)
        )
        if one.rows or one.answered
    )


def _confusion(truth: np.ndarray, answers: np.ndarray, space: tuple[str, ...]) -> Confusion:
    """Only labels that occur, and only pairs that do: a table of thousands of labels is empty."""
    present = np.union1d(truth, answers).tolist()
    place = {label: index for index, label in enumerate(present)}
    pairs = Counter(zip(truth.tolist(), answers.tolist(), strict=True))
    cells = sorted((place[one], place[other], count) for (one, other), count in pairs.items())
    return Confusion(tuple(space[label] for label in present), tuple(cells))


def _calibration(
    truth: np.ndarray,
    raw: np.ndarray,
    stated: np.ndarray,
    metrics: Mapping[str, Score | None],
    temperature: float,
    how: Mapping[str, Any],
) -> Calibration:
    bins = max(1, min(BINS, len(truth) // _ROWS_A_BIN))
    same = temperature == 1.0
    after: tuple[Bin, ...] = tuple(reliability(truth, stated, bins))
    error = metrics["calibration_error"]
    return Calibration(
        temperature=temperature,
        before=after if same else tuple(reliability(truth, raw, bins)),
        after=after,
        error_before=error if same else scores(Classified(truth, raw), **how)["calibration_error"],
        error_after=error,
    )


def _misses(
    wrong: np.ndarray,
    labelled: np.ndarray,
    truth: np.ndarray,
    stated: np.ndarray,
    space: tuple[str, ...],
    items: Sequence[Item],
    row_ids: Sequence[str],
) -> tuple[Miss, ...]:
    """The surest errors first; rows as sure as each other in their order."""
    sure = stated[wrong].max(axis=1)
    misses = []
    for index in wrong[np.argsort(-sure, kind="stable")][:_MISSES].tolist():
        row = int(labelled[index])
        shown = show(items[row])
        answer = int(stated[index].argmax())
        misses.append(
            Miss(
                row_id=row_ids[row],
                truth=space[int(truth[index])],
                answer=space[answer],
                stated=float(stated[index, answer]),
                stated_truth=float(stated[index, truth[index]]),
                text=shown.text,
                image=shown.image,
                cut=shown.cut,
            )
        )
    return tuple(misses)
