"""From raw outputs to evidence: pure, nothing is loaded or written here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from feilun.config import EvaluationConfig
from feilun.errors import InvalidData
from feilun.evaluation.compare import Folded, compare
from feilun.evaluation.consultations import Consultations
from feilun.evaluation.modalities import modalities
from feilun.evaluation.result import ROLES, Comparison, Evaluation, Miss, Role
from feilun.evaluation.showing import show
from feilun.evaluation.slices import slices
from feilun.families.base import Answers, Family, Sheet
from feilun.metrics.comparison import scores
from feilun.metrics.measured import Measured
from feilun.metrics.scores import Score
from feilun.metrics.share import Share
from feilun.tasks import base as tasks
from feilun.tasks.base import TaskBase
from feilun.types import Item, Schema

__all__ = ["Folded", "evaluate"]

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
    primary: str | None = None,
    seed: int = 0,
    columns: Mapping[str, Sequence[object]] | None = None,
    consultations: Consultations | None = None,
    grown: float = 1.0,
    parts: Mapping[str, Answers] | None = None,
    folded: Mapping[Role, Folded] | None = None,
    drawn: np.ndarray | None = None,
) -> Evaluation:
    """Everything that can be said of `candidate` on the test rows.

    `truth` is what `Family.truth` makes of the rows' targets and ``schema.labels``; rows without a
    target are left out. `items` and `row_ids` are those rows' own, in the same order; only the rows
    that are shown are read from `items`, and texts for their length. `train_counts` are the
    training rows of each stratum. `references` are other versions' answers on the same rows, whose
    labels may differ; `validation` the candidate's raw outputs and the truth on the validation
    rows. `primary` is the metric that decides, by default the family's. `columns` hold what else is
    known of each row (its source, its customer): the rows are divided by them. `consultations`
    count how often the rows were asked. `grown` is by how many times the training rows have become
    more since those of the live version. `parts` are answers of the same method taught by some
    of the modalities (see `modalities`). `folded` are training rows that the candidate and the
    version in a role answered out of fold: they judge beside the test rows. `drawn` marks the test
    rows that were drawn from what customers ask now: where others say otherwise, these count more.

    Raises `InvalidData` when no test row has a target, `ValueError` when the lengths differ.
    """
    family = tasks.get(schema.task).family
    primary = primary or family.primary
    references = references or {}
    consultations = consultations or Consultations()
    for version in (candidate, *references.values()):
        if len(version.raw) != len(truth):
            raise ValueError(f"{version.name}: {len(version.raw)} rows, truth has {len(truth)}")
    if len(items) != len(truth) or len(row_ids) != len(truth):
        raise ValueError(f"{len(items)} items and {len(row_ids)} ids for {len(truth)} rows")
    labelled = np.flatnonzero(family.known(truth))
    if not len(labelled):
        raise InvalidData("evaluation.no_test_rows")

    settings = _bounded(settings, len(labelled))
    how: dict[str, Any] = {
        "resamples": settings.resamples,
        "confidence": settings.confidence,
        "seed": seed,
    }
    sheet = family.sheet(
        _rows(candidate, labelled),
        {role: _rows(references[role], labelled) for role in ROLES if role in references},
        np.asarray(truth)[labelled],
        schema.labels,
    )
    held = _held(family, validation)
    missed, misses = _misses(sheet, labelled, items, row_ids)
    details = sheet.details(settings, train_counts, seed, held)
    return Evaluation(
        name=candidate.name,
        method=candidate.method,
        task=schema.task,
        labels=candidate.labels,
        primary=primary,
        higher_is_better=family.metrics.get(primary, True),
        confidence=settings.confidence,
        margin=settings.margin,
        rows=len(labelled),
        unlabelled=len(truth) - len(labelled),
        metrics=scores(sheet.measured, **how),
        validation=_validation(family, candidate, held, schema, how),
        validation_rows=0 if held is None else len(held[1]),
        comparisons=_comparisons(
            references,
            sheet,
            primary,
            settings,
            seed,
            consultations,
            grown,
            {
                role: family.sheet(one.candidate, {role: one.other}, one.truth, schema.labels)
                for role, one in (folded or {}).items()
            },
            None if drawn is None else np.asarray(drawn, bool)[labelled],
        ),
        misses=misses,
        missed=missed,
        slices=_slices(
            tasks.get(schema.task), sheet, primary, items, labelled, columns or {}, settings
        ),
        unsure=settings.unsure,
        slice_margin=settings.slice_margin,
        forget_margin=settings.forget_margin,
        least_saving=settings.least_saving,
        consultations=consultations,
        fresh_after=settings.consultations,
        modalities=modalities(
            family,
            _rows(candidate, labelled),
            {name: _rows(one, labelled) for name, one in (parts or {}).items()},
            tasks.of(schema).modalities() if parts else {},
            np.asarray(truth)[labelled],
            schema.labels,
            primary,
            settings,
            seed,
        ),
        details=family.Details(**details) if family.Details else None,
    )


def _rows(answers: Answers, rows: np.ndarray) -> Answers:
    return replace(answers, raw=answers.raw[rows])


def _held(
    family: Family, validation: tuple[np.ndarray, np.ndarray] | None
) -> tuple[np.ndarray, np.ndarray] | None:
    """The validation rows with a target; None without any."""
    if validation is None:
        return None
    raw, truth = validation
    known = family.known(truth)
    return (raw[known], np.asarray(truth)[known]) if known.any() else None


def _slices(
    task: TaskBase,
    sheet: Sheet,
    primary: str,
    items: Sequence[Item],
    labelled: np.ndarray,
    columns: Mapping[str, Sequence[object]],
    settings: EvaluationConfig,
) -> Any:
    def plain(measured: Measured) -> Measured:
        # A share of right rows needs nothing else, and has no need to be drawn again and again.
        right = measured.hits(primary)
        return measured if right is None else Share(right)

    return slices(
        [task.described(item) for item in _readable(items, labelled)],
        plain(sheet.measured),
        primary,
        settings.confidence,
        before=plain(sheet.others["live"]) if "live" in sheet.others else None,
        columns={name: [values[int(row)] for row in labelled] for name, values in columns.items()},
        margin=settings.slice_margin,
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
    family: Family,
    candidate: Answers,
    held: tuple[np.ndarray, np.ndarray] | None,
    schema: Schema,
    how: Mapping[str, Any],
) -> dict[str, Score | None]:
    """The same metrics on the validation rows."""
    if held is None:
        return {}
    raw, truth = held
    return scores(
        family.sheet(replace(candidate, raw=raw), {}, truth, schema.labels).measured, **how
    )


def _comparisons(
    references: Mapping[Role, Answers],
    sheet: Sheet,
    primary: str,
    settings: EvaluationConfig,
    seed: int,
    asked: Consultations,
    grown: float,
    folds: Mapping[Role, Sheet],
    drawn: np.ndarray | None,
) -> tuple[Comparison, ...]:
    """One for each role. A version with several roles (the stage below is often the live one) is
    compared once."""
    done: dict[str, Comparison] = {}
    result = []
    for role in ROLES:
        if role not in references:
            continue
        other = references[role]
        if other.name not in done:
            live = role == "live"  # the others learned from the same rows, and are asked once
            since_best = asked.attempts if asked.since_best is None else asked.since_best
            attempts = {"live": asked.attempts, "best": since_best}.get(role, 1)
            done[other.name] = compare(
                role,
                other,
                sheet,
                primary=primary,
                settings=settings,
                seed=seed,
                attempts=attempts,
                grown=grown if live else 1.0,
                folds=folds.get(role),
                drawn=drawn,
            )
        result.append(replace(done[other.name], role=role))
    return tuple(result)


def _misses(
    sheet: Sheet, labelled: np.ndarray, items: Sequence[Item], row_ids: Sequence[str]
) -> tuple[int, tuple[Miss, ...]]:
    missed, errors = sheet.errors(_MISSES)
    misses = []
    for one in errors:
        row = int(labelled[one.row])
        shown = show(items[row])
        misses.append(
            Miss(
                row_id=row_ids[row],
                truth=one.truth,
                answer=one.answer,
                stated=one.stated,
                stated_truth=one.stated_truth,
                text=shown.text,
                image=shown.image,
                cut=shown.cut,
            )
        )
    return missed, tuple(misses)
