"""The linear baseline: logistic regression on hashed n-grams (or the task's own features), in
seconds.

``weights.safetensors`` keeps the columns that training rows use: `columns` (kept,) int32 says
which, `coef` is (labels, kept), `idf` (kept,). Very many labels are fitted by naive Bayes, whose
cost does not grow with labels times iterations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from feilun.engines._features import write_features
from feilun.engines.card import write_card
from feilun.engines.linear import WEIGHTS, is_scaled, pick, weigh
from feilun.messages import t
from feilun.tasks import base as tasks
from feilun.tasks.base import TaskBase, fit_features
from feilun.training import augment, logistic, one_vs_rest, out_of_fold, ridge
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.rows import Rows, all_rows, dataset_of, drawn, read, schema_of, start_card
from feilun.training.settings import MethodSettings
from feilun.types import Progress, Range, Whole

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from feilun.tasks.base import Features

__all__ = ["Settings", "estimate", "needs_base", "needs_torch", "order", "supports", "train"]

order = 0
needs_base = False
needs_torch = False
least_rows = 0
folded = True

_WEIGHTS = 4_000_000  # labels times columns that the solver holds about twenty copies of
_BAYES_WEIGHTS = 40_000_000  # naive Bayes holds two
_WORK = 2_000_000_000  # non-zeros times labels beyond which the solver takes minutes
_CHUNK = 512
_PER_TOKEN = 9  # non-zero features of a token, measured on English reviews
_TOKENS = 100.0  # of a row, where no base has counted them

_FITS = 16  # on all rows and over folds, to choose the strength


class Settings(MethodSettings):
    """``[training.linear]``."""

    strength: float | None = Field(
        None,
        gt=0,
        description="inverse of the regularisation; by default the best of 0.3 to 30 over 3 folds",
    )
    bag: int = Field(
        1,
        ge=1,
        le=100,
        description="fits on rows drawn with replacement whose mean is the model; 1: one fit of "
        "all rows. Answers cost the same; none are kept out of fold",
    )
    min_rows: int = Field(
        2, ge=1, description="training rows that a feature must occur in; rarer ones are dropped"
    )
    parts: bool = Field(
        True,
        description="where rows hold texts or pictures beside values: also learn from each "
        "kind alone, so that the report tells what each adds",
    )
    max_rows: int = Field(
        200_000, ge=100, description="training rows used at most, drawn by the seed"
    )

    @classmethod
    def space(cls, task: TaskBase) -> Mapping[str, Range]:
        """How rare a feature may be; the strength is found by each training itself."""
        return {"min_rows": Whole(1, 8, log=True)}


@dataclass(frozen=True, slots=True)
class _Model:
    columns: np.ndarray
    fitted: logistic.Fitted
    idf: np.ndarray
    figures: dict[str, float]


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Every task that has features and answers with classes, numbers or tags."""
    if task.family.name in ("classes", "numbers", "tags"):
        return None
    return t("training.reason_no_answer", task=task.name)


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """From the number of non-zero features: 8 bytes each, in about four copies."""
    used = min(rows.train, settings.max_rows)
    used = augment.counted(job, settings.augment, settings.augment_share, used)
    filled = (rows.mean_cost or _TOKENS) * _PER_TOKEN * (used + rows.validation)
    labels = max(2, len(rows.labels))
    weights = min(_WEIGHTS, filled / 4 * labels)
    seconds = (
        2.0 + filled / 1.5e6 + min(filled * labels, _WORK) / 1e8 * (1 + (settings.bag - 1) / _FITS)
    )
    memory = 200e6 + filled * 8 * 4 + weights * 8 * 24
    return Estimate(int(memory), seconds, {"rows": used, "features": filled})


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes a `linear` version. An update refits on all rows: it takes seconds."""
    start = perf_counter()
    dataset = dataset_of(job)
    schema = schema_of(job, dataset)
    rows, notes = drawn(all_rows(dataset), settings.max_rows, job.seed)
    features = fit_features(tasks.of(schema).features(schema.settings), rows.items)
    originals = rows
    held = read(dataset, "validation")
    family, balance = tasks.of(schema).family, settings.class_weights
    found = augment.added(job, settings.augment, settings.augment_share, rows)
    more = found.more if found else rows
    total = len(more) + len(held)

    def tick(done: int) -> None:
        report(Progress("train", done, total, "rows", note=t("training.note_features")))

    scaled = is_scaled(features)
    matrix = _transform(features, more, tick, 0)
    hold = (_transform(features, held, tick, len(more)), held.labels)
    count = family.width(schema.labels)
    own = family.weights(rows.labels, schema.labels, balance)
    model = None
    if found is None or not found.asked:
        model = _fit(
            matrix[: len(rows)], rows, hold, count, own, None, settings, job, report, scaled
        )
    if found is not None:
        own = family.weights(more.labels, schema.labels, balance, rows.labels)
        origins = found.origins
        other = _fit(matrix, more, hold, count, own, origins, settings, job, report, scaled)
        notes.append(augment.said(found, model.fitted if model else None, other.fitted))
        if model is None or augment.helps(model.fitted, other.fitted):
            model, rows = other, more
    assert model is not None
    _write(job, model)
    raw = model.fitted.raw
    # Where copies learned too, only folds that keep them with their originals answer these alone.
    if raw is not None and len(raw) == len(originals):
        out_of_fold.keep(job.out, originals.ids, raw)
    write_features(job.out, features)
    write_card(job.out, start_card(job, "linear", schema, settings.model_dump()))
    figures = {"seconds": perf_counter() - start, "rows": float(len(rows)), **model.figures}
    return TrainResult(figures, tuple(notes))


def _transform(features: Features, rows: Rows, tick: Any, before: int) -> csr_matrix | np.ndarray:
    from scipy import sparse

    parts = []
    for start in range(0, max(1, len(rows)), _CHUNK):
        parts.append(features.transform(rows.items[start : start + _CHUNK]))
        tick(before + min(len(rows), start + _CHUNK))
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    return sparse.vstack(parts, format="csr")


def _fit(
    matrix: csr_matrix | np.ndarray,
    rows: Rows,
    hold: logistic.Hold,
    count: int,
    weights: np.ndarray | None,
    origins: np.ndarray | None,
    settings: Settings,
    job: TrainJob,
    report: Report,
    scaled: bool = False,
) -> _Model:
    labels, occurs = rows.labels, occurrences(matrix)
    sparse = not isinstance(matrix, np.ndarray)
    many = int(occurs.sum()) * count > _WORK or count * 2048 > _WEIGHTS
    bayes = sparse and not scaled and labels.ndim == 1 and many
    room = max(1, (_BAYES_WEIGHTS if bayes else _WEIGHTS) // count)
    columns = kept_columns(occurs, min(settings.min_rows, len(labels)), room, len(labels))
    matrix, unseen = pick(matrix, columns), pick(hold[0], columns)
    idf = np.ones(len(columns), np.float32)
    if sparse:
        idf = (np.log((1 + len(labels)) / (1 + occurs[columns])) + 1).astype(np.float32)
    if not scaled:
        matrix, unseen = weigh(matrix, idf), weigh(unseen, idf)

    def tick(done: int, total: int) -> None:
        report(Progress("train", done, total, "fits", note=t("training.note_fitting")))

    if bayes:
        coef, intercept = _bayes(matrix, labels, count, weights)
        tick(1, 1)
        fitted = logistic.Fitted(coef, intercept, float("nan"), float("nan"))
        return _Model(columns, fitted, idf, {"columns": float(len(columns))})
    numbers, tags = rows_hold_numbers(labels), labels.ndim == 2
    usual = ridge if numbers else one_vs_rest if tags else logistic
    truth = labels[:, :count] if tags else labels  # behind the marks stands what has no column

    def learn(places: slice | np.ndarray, strengths: Sequence[float], tick: Any) -> logistic.Fitted:
        part, own = matrix[places], truth[places]
        if numbers or tags:
            fitting: Any = usual.fit
            found: logistic.Fitted = fitting(
                part, own, groups=rows.groups, strengths=strengths, seed=job.seed, tick=tick
            )
            return found
        return logistic.fit(
            part,
            own,
            count,
            (unseen, hold[1]),
            weights=weights,
            strengths=strengths,
            origins=origins,
            groups=rows.groups,
            seed=job.seed,
            tick=tick,
        )

    wanted = usual.STRENGTHS if settings.strength is None else (settings.strength,)
    fitted = learn(slice(None), wanted, tick)
    if settings.bag > 1:
        strength = (fitted.strength,)
        fitted = _bagged(
            fitted,
            [
                learn(places, strength, lambda done, total: None)
                for places in _drawn_again(truth, settings.bag, job.seed)
            ],
        )
    figures = {"columns": float(len(columns)), "strength": fitted.strength}
    return _Model(columns, fitted, idf, figures)


def _drawn_again(truth: np.ndarray, bag: int, seed: int) -> Iterator[np.ndarray]:
    """The places of as many rows as there are, drawn with replacement, `bag` times; of classes
    within each, so that none is left without rows."""
    generator = np.random.default_rng(seed)
    classes = truth.ndim == 1 and not rows_hold_numbers(truth)
    parts = [np.arange(len(truth))]
    if classes:
        parts = [np.flatnonzero(truth == label) for label in np.unique(truth)]
    for _ in range(bag):
        yield np.concatenate([generator.choice(part, len(part)) for part in parts])


def _bagged(first: logistic.Fitted, found: Sequence[logistic.Fitted]) -> logistic.Fitted:
    """The mean of several fits (Breiman 1996, "Bagging Predictors"): the mean of what linear models
    give is what the mean of their weights gives. What `first` answered out of fold is of another
    model."""
    coef = np.stack([one.coef for one in found]).mean(axis=0)
    rest = np.stack([one.intercept for one in found]).mean(axis=0)
    return replace(first, coef=np.asarray(coef), intercept=np.asarray(rest), raw=None)


def rows_hold_numbers(targets: np.ndarray) -> bool:
    """Whether targets are numbers to predict rather than positions of labels."""
    return bool(np.issubdtype(targets.dtype, np.floating))


def occurrences(matrix: csr_matrix | np.ndarray) -> np.ndarray:
    """In how many rows each column is not zero."""
    if isinstance(matrix, np.ndarray):
        occurs: np.ndarray = np.count_nonzero(matrix, axis=0)
    else:
        occurs = np.bincount(matrix.indices, minlength=matrix.shape[1])
    return occurs


def kept_columns(occurs: np.ndarray, least: int, room: int, rows: int) -> np.ndarray:
    """The columns to keep, sorted: those that `least` rows use; if more than there is `room` for,
    those nearest to being used by one row in a hundred, which tell labels apart best."""
    kept = np.flatnonzero(occurs >= least)
    if not len(kept):
        kept = np.flatnonzero(occurs)
    if len(kept) > room:
        distance = np.abs(np.log(occurs[kept] / max(1.0, rows / 100)))
        kept = np.sort(kept[np.argsort(distance, kind="stable")[:room]])
    return kept.astype(np.int32)


def _bayes(
    matrix: csr_matrix, labels: np.ndarray, count: int, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.naive_bayes import MultinomialNB

    model = MultinomialNB(alpha=0.01)
    model.fit(matrix, labels, sample_weight=None if weights is None else weights[labels])
    coef = np.zeros((count, matrix.shape[1]), np.float32)
    intercept = np.full(count, model.class_log_prior_.min() - 10, np.float32)
    # Only differences between labels matter: with the mean taken off, unseen features say nothing.
    coef[model.classes_] = model.feature_log_prob_ - model.feature_log_prob_.mean(axis=0)
    intercept[model.classes_] = model.class_log_prior_
    return coef, intercept


def _write(job: TrainJob, model: _Model) -> None:
    from safetensors.numpy import save_file

    tensors = {
        "coef": model.fitted.coef,
        "columns": model.columns,
        "idf": model.idf,
        "intercept": model.fitted.intercept,
    }
    save_file(tensors, job.out / WEIGHTS)
