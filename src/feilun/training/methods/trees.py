"""Gradient-boosted trees on the columns of a table, by LightGBM.

The version holds boosters in LightGBM's own text format. They stop early on the validation split.
Of a bag every second one splits at random thresholds (extremely randomised trees; Geurts and
others, 2006): it errs in other places than the others, so that their mean is better than each.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from pydantic import Field

from feilun.engines._features import write_features
from feilun.engines.card import write_card
from feilun.engines.trees import lightgbm, model_file, widened
from feilun.errors import InvalidSettings
from feilun.messages import t
from feilun.tasks import base as tasks
from feilun.tasks.base import TaskBase, fit_features
from feilun.training import out_of_fold
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.readers import learn as learn_readers
from feilun.training.rows import all_rows, dataset_of, drawn, read, schema_of, start_card
from feilun.training.settings import MethodSettings
from feilun.types import Progress, Range, Real, Whole

if TYPE_CHECKING:
    from pathlib import Path

    from feilun.engines._column_vectors import ColumnVectors
    from feilun.modalities.table.features import TableFeatures

__all__ = ["Settings", "estimate", "least_rows", "needs_base", "needs_torch", "order", "supports",
           "train"]  # fmt: skip

order = 1
needs_base = False
needs_torch = False
least_rows = 50
folded = True

_ROUND = 2.5e-7  # seconds that a round takes for a row and a column, on one thread
_FIGURES = {
    "binary_logloss": "validation_log_loss",
    "multi_logloss": "validation_log_loss",
    "l2": "validation_squared_error",
}
_HELD = 10  # validation rows below which some training rows say when to stop
_TOLD = 25  # rounds between two signs of life
_FOLDED = 1_000_000_000  # rows times columns times trees up to which folds cost some seconds


class Settings(MethodSettings):
    """``[training.trees]``."""

    learning_rate: float = Field(0.05, gt=0, le=1, description="how much each tree corrects")
    leaves: int = Field(8, ge=2, le=1024, description="leaves of a tree: more learn finer rules")
    rounds: int = Field(2000, ge=1, le=100_000, description="trees at most")
    patience: int = Field(
        60, ge=1, description="trees without an improvement on the held-out rows that end it"
    )
    leaf_rows: int = Field(20, ge=1, description="training rows that a leaf must have")
    row_share: float = Field(0.8, gt=0, le=1, description="share of the rows that a tree sees")
    column_share: float = Field(
        0.4, gt=0, le=1, description="share of the columns that a tree sees"
    )
    l2: float = Field(3.0, ge=0, description="regularisation of the leaves' values")
    bag: int = Field(
        2,
        ge=1,
        le=32,
        description="models whose mean answers; every second one splits at random thresholds",
    )
    monotone: dict[str, int] = Field(
        default_factory=dict,
        description="columns whose growth may only raise (1) or only lower (-1) the number, or the "
        "chance of the second of two labels",
    )
    parts: bool = Field(
        True,
        description="where rows hold texts or pictures beside values: also learn from each "
        "kind alone, so that the report tells what each adds",
    )
    max_rows: int = Field(
        1_000_000, ge=100, description="training rows used at most, drawn by the seed"
    )

    @classmethod
    def space(cls, task: TaskBase) -> Mapping[str, Range]:
        """What a tree may learn and what it sees; how many there are, held-out rows say."""
        return {
            "learning_rate": Real(0.01, 0.2, log=True),
            "leaves": Whole(4, 64, log=True),
            "leaf_rows": Whole(5, 100, log=True),
            "row_share": Real(0.5, 1.0),
            "column_share": Real(0.2, 1.0),
            "l2": Real(0.1, 30.0, log=True),
        }


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Tables alone, into classes or numbers."""
    if task.modality != "table":
        return t("training.reason_no_table", task=task.name)
    if task.family.name not in ("classes", "numbers"):
        return t("training.reason_no_answer", task=task.name)
    return None


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """From rows, columns, labels and rounds: a histogram of every column in every round."""
    columns = max(1, len(_task(job).columns))
    used = min(rows.train, settings.max_rows)
    scores = len(rows.labels) if len(rows.labels) > 2 else 1
    rounds = min(settings.rounds, 10 / settings.learning_rate + settings.patience)
    work = (used + 2000) * columns * settings.column_share * rounds * scores * settings.bag
    memory = 250e6 + used * columns * 24
    detail = {"rows": used, "columns": columns, "rounds": rounds}
    return Estimate(int(memory), 3.5 + _ROUND * work / max(1, job.threads or machine.cores), detail)


def _task(job: TrainJob) -> TaskBase:
    return tasks.get(job.task).bound(job.task_settings)


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes a `trees` version. An update trains anew on all rows."""
    return learn(job, settings, report)


def learn(
    job: TrainJob, settings: Settings, report: Report, encoder: ColumnVectors | None = None
) -> TrainResult:
    """The same, with texts read by their vectors too, where there is an `encoder` of them."""
    start = perf_counter()
    dataset = dataset_of(job)
    schema = schema_of(job, dataset)
    rows, notes = drawn(all_rows(dataset), settings.max_rows, job.seed)
    features = cast(
        "TableFeatures", fit_features(tasks.of(schema).features(schema.settings), rows.items)
    )
    held = read(dataset, "validation")
    labels = len(schema.labels)
    numbers = tasks.of(schema).family.name == "numbers"

    def tick(done: int, total: int) -> None:
        report(Progress("train", done, total, "fits", note=t("training.note_reading")))

    count = None if numbers else labels
    readers, scores = learn_readers(
        features,
        rows.items,
        rows.labels,
        count,
        encoder=encoder,
        groups=rows.groups,
        seed=job.seed,
        tick=tick,
    )
    matrix = np.hstack([features.dense(rows.items), scores])
    held_matrix = readers.dense(held.items)
    weights = tasks.of(schema).family.weights(rows.labels, schema.labels, settings.class_weights)
    owners = np.concatenate([features.dense_owners, readers.owners])
    options = _options(job, settings, count, features, owners)
    best: list[int] = []
    learning: tuple[np.ndarray, np.ndarray] = (matrix, rows.labels)
    judge: tuple[np.ndarray, np.ndarray] | None = (held_matrix, held.labels)
    if len(held) < _HELD:
        learning, judge = _divided(matrix, rows.labels, job.seed)
    cut_short = False
    for number in range(settings.bag):
        until = inf
        if job.deadline is not None:
            now = time.time()
            until = now + (job.deadline - now) / (settings.bag - number)
        booster, cut = _boost(
            {**options, "seed": job.seed + number, "extra_trees": bool(number % 2)},
            learning,
            judge,
            weights,
            features,
            settings,
            report,
            number,
            until,
        )
        cut_short |= cut
        best.append(booster.best_iteration or booster.current_iteration())
        booster.save_model(str(job.out / model_file(number)), num_iteration=best[-1])
    each = labels if options["objective"] == "multiclass" else 1
    if not cut_short and matrix.size * each * sum(best) <= _FOLDED:

        def answered(learns: np.ndarray, judged: np.ndarray) -> np.ndarray:
            part = (matrix[learns], rows.labels[learns])
            given = []
            for number, rounds in enumerate(best):
                own = {**options, "seed": job.seed + number, "extra_trees": bool(number % 2)}
                booster, _ = _boost(
                    own, part, None, weights, features, settings, report, number, inf, rounds
                )
                given.append(booster.predict(matrix[judged], raw_score=True))
            return widened(np.mean(given, 0), 1 if numbers else labels)

        raw = out_of_fold.refitted(rows.labels, rows.groups, job.seed, answered)
        out_of_fold.keep(job.out, rows.ids, raw)
    write_features(job.out, features)
    readers.write(job.out)
    extra = {"boosters": settings.bag}
    config = settings.model_dump()
    write_card(job.out, replace(start_card(job, "trees", schema, config), extra=extra))
    figures = {
        "seconds": perf_counter() - start,
        "rows": float(len(rows)),
        "columns": float(matrix.shape[1]),
        "trees": float(sum(best)),
    }
    if cut_short:
        notes.append(t("training.note_fewer_trees", trees=sum(best)))
        figures["cut_short"] = 1.0
    return TrainResult(figures, tuple(notes))


def _options(
    job: TrainJob,
    settings: Settings,
    labels: int | None,
    features: TableFeatures,
    owners: np.ndarray,
) -> dict[str, Any]:
    """LightGBM's parameters; `labels` is None where numbers are predicted, `owners` the input of
    each column that the trees see."""
    names = [features.columns[owner][0] for owner in owners.tolist()]
    options: dict[str, Any] = {
        "objective": _objective(labels),
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "min_data_in_leaf": settings.leaf_rows,
        "bagging_fraction": settings.row_share,
        "bagging_freq": int(settings.row_share < 1),
        "feature_fraction": settings.column_share,
        "lambda_l2": settings.l2,
        "max_cat_to_onehot": 16,
        # The same rows give the same trees, on however many threads.
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": job.threads or 0,
        "verbosity": -1,
    }
    if labels is not None and labels > 2:
        options["num_class"] = labels
    if settings.monotone:
        options["monotone_constraints"] = _monotone(settings.monotone, names, features, labels)
    return options


def _objective(labels: int | None) -> str:
    if labels is None:
        return "regression"
    return "binary" if labels == 2 else "multiclass"


def _monotone(
    wanted: Mapping[str, int], names: list[str], features: TableFeatures, labels: int | None
) -> list[int]:
    """One direction for each column that the trees see."""
    numbers = [name for name, kind in features.columns if kind == "number"]
    faults = [
        f"training.trees.monotone.{name} = {way}"
        for name, way in wanted.items()
        if name not in numbers or way not in (-1, 0, 1)
    ]
    if labels not in (None, 2):
        faults.append(t("training.monotone_two_labels", labels=labels))
    if faults:
        raise InvalidSettings("training.monotone", faults=faults, options=numbers[:20])
    return [wanted.get(name, 0) for name in names]


def _divided(
    matrix: np.ndarray, labels: np.ndarray, seed: int
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray] | None]:
    """The rows to learn from and an eighth of each label to stop by; None for too few rows."""
    lots = np.random.default_rng(seed).permutation(len(labels))
    order = lots[np.argsort(labels[lots], kind="stable")]
    judge = np.zeros(len(labels), bool)
    judge[order[::8]] = True
    if judge.sum() < 10:
        return (matrix, labels), None
    if np.issubdtype(labels.dtype, np.integer) and len(np.unique(labels[~judge])) < len(
        np.unique(labels)
    ):
        return (matrix, labels), None
    return (matrix[~judge], labels[~judge]), (matrix[judge], labels[judge])


def _boost(
    options: Mapping[str, Any],
    learn: tuple[np.ndarray, np.ndarray],
    judge: tuple[np.ndarray, np.ndarray] | None,
    weights: np.ndarray | None,
    features: TableFeatures,
    settings: Settings,
    report: Report,
    number: int,
    until: float,
    fixed: int | None = None,
) -> tuple[Any, bool]:
    """A booster, of `fixed` rounds where they are known, and whether it ended because of the Unix
    time `until`."""
    package = lightgbm()
    cut = False

    def weights_of(labels: np.ndarray) -> np.ndarray | None:
        return None if weights is None else weights[labels]

    total = settings.rounds * settings.bag
    begin = settings.rounds * number

    def told(state: Any) -> None:
        done = state.iteration + 1
        if done % _TOLD == 0:
            found = {name: value for _, name, value, *_ in state.evaluation_result_list}
            figures = {_FIGURES.get(name, name): float(value) for name, value in found.items()}
            report(Progress("train", begin + done, total, "trees", figures))
        if time.time() >= until:
            nonlocal cut
            cut = True
            found = state.evaluation_result_list
            raise package.callback.EarlyStopException(state.iteration, found)

    names = [str(place) for place in range(learn[0].shape[1])]
    train_rows = package.Dataset(
        learn[0],
        learn[1],
        weight=weights_of(learn[1]),
        feature_name=names,
        categorical_feature=features.categorical,
        free_raw_data=False,
    )
    callbacks: list[Any] = [told]
    held = []
    rounds = settings.rounds if fixed is None else fixed
    if judge is not None:
        held = [train_rows.create_valid(judge[0], judge[1], weight=weights_of(judge[1]))]
        callbacks.append(package.early_stopping(settings.patience, verbose=False))
    elif fixed is None:
        rounds = min(rounds, round(3 / settings.learning_rate))  # nothing says when to stop
    booster = package.train(dict(options), train_rows, rounds, valid_sets=held, callbacks=callbacks)
    return booster, cut
