"""One model for all series, on lags: a linear part that carries changes of level on, and boosted
trees that find what calendar and covariates do.

Each training value is asked about from several origins, so that one model answers for every lead
(direct forecasts; see Ben Taieb and others, 2012, "A review and comparison of strategies for
multi-step ahead time series forecasting"). The linear part is fitted to absolute errors by
reweighting; the trees stop early on the validation values, which also say how much each part
counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from pydantic import Field

from feilun.engines._lags import Lags, standard
from feilun.engines.trees import lightgbm
from feilun.modalities.series.lags import Asked
from feilun.modalities.series.state import SeriesState
from feilun.store.dataset import Dataset
from feilun.tasks.base import TaskBase
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.series import Prepared, no_series, prepare, write_version
from feilun.training.settings import MethodSettings
from feilun.types import Progress, Range, Real, Whole

__all__ = ["Settings", "estimate", "least_rows", "needs_base", "needs_torch", "order", "supports",
           "train"]  # fmt: skip

order = 2
needs_base = False
needs_torch = False
least_rows = 60

_ROUND = 4e-8  # seconds that a round takes for a row and a column, on one thread
_COLUMNS = 60
_ORIGINS = 4  # from which each training value is asked about
_HELD = 20  # validation values below which nothing is chosen by them
_TOLD = 25
_STEPS = 5  # of reweighting
_RIDGE = 10.0


class Settings(MethodSettings):
    """``[training.lags]``."""

    learning_rate: float = Field(0.05, gt=0, le=1, description="how much each tree corrects")
    leaves: int = Field(31, ge=2, le=1024, description="leaves of a tree: more learn finer rules")
    rounds: int = Field(1500, ge=1, le=100_000, description="trees at most")
    patience: int = Field(
        50, ge=1, description="trees without an improvement on the held-out rows that end it"
    )
    leaf_rows: int = Field(30, ge=1, description="training rows that a leaf must have")
    max_rows: int = Field(
        300_000, ge=1000, description="values and origins that are learnt from at most"
    )

    @classmethod
    def space(cls, task: TaskBase) -> Mapping[str, Range]:
        """What a tree may learn; how many there are, held-out values say."""
        return {
            "learning_rate": Real(0.01, 0.2, log=True),
            "leaves": Whole(8, 128, log=True),
            "leaf_rows": Whole(5, 200, log=True),
        }


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Series alone."""
    return no_series(task)


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """From rows and rounds: a histogram of every column in every round."""
    used = min(rows.train * _ORIGINS, settings.max_rows)
    rounds = min(settings.rounds, 15 / settings.learning_rate + settings.patience)
    seconds = 2.0 + _ROUND * (used + 2000) * _COLUMNS * rounds / max(
        1, job.threads or machine.cores
    )
    memory = 250e6 + used * _COLUMNS * 24
    return Estimate(int(memory), seconds, {"rows": used, "rounds": rounds})


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes a `forecasts` version. An update trains anew on all rows."""
    start = perf_counter()
    found = prepare(job, Dataset(job.data))
    state = found.state
    numeric = _numeric(found)
    asked = _drawn(found, settings.max_rows, job.seed)
    wanted = (state.at(asked.series, asked.steps) - asked.base) / asked.scale
    held = _held(found)
    truth = (state.at(held.series, held.steps) - held.base) / held.scale

    linear = asked.linear(numeric)
    means, spreads = _moments(linear)
    weights = _fitted(standard(linear, means, spreads), wanted)
    booster = _boosted(asked, wanted, held, truth, numeric, settings, job, report)
    model = Lags(means, spreads, weights, [booster], 1.0, numeric)
    share = _share(*model.parts(held), truth) if len(truth) >= _HELD else 0.5
    model = Lags(means, spreads, weights, [booster] if share else [], share, numeric)
    model.save(job.out)
    write_version(job, found, "lags", settings.model_dump())
    figures = {
        "seconds": perf_counter() - start,
        "rows": float(len(wanted)),
        "series": float(len(state.names)),
        "season": float(state.season),
        "horizon": float(state.horizon),
        "trees": float(booster.num_trees() if share else 0),
        "tree_share": share,
    }
    return TrainResult(figures, found.notes)


def _numeric(found: Prepared) -> np.ndarray:
    if found.beside is None:
        return np.zeros(0, bool)
    codes = set(found.beside.categorical)
    return np.array([place not in codes for place in range(len(found.beside.dense_owners))], bool)


def _drawn(found: Prepared, most: int, seed: int) -> Asked:
    """Training values, each from some origins before it."""
    state, draw = found.state, np.random.default_rng(seed)
    places = np.flatnonzero(found.built.training)
    series = np.searchsorted(state.begins, places, side="right") - 1
    steps = places - state.begins[series]
    # Where there is enough, two seasons lie before the first value that is learnt.
    first = np.minimum(2 * state.season, np.minimum(state.anchors, state.lengths)[series] // 3)
    enough = steps > np.maximum(first, 1)
    series, steps = series[enough], steps[enough]
    if len(steps) > most:
        chosen = np.sort(draw.choice(len(steps), most, replace=False))
        series, steps = series[chosen], steps[chosen]
    often = max(1, min(_ORIGINS, most // max(1, len(steps)), state.horizon))
    series, steps = np.repeat(series, often), np.repeat(steps, often)
    origins = np.maximum(steps - draw.integers(0, state.horizon, len(steps)), 1)
    return _asked(state, series, steps, origins)


def _held(found: Prepared) -> Asked:
    """Validation values from the origins at which they will be judged."""
    state = found.state
    series = np.searchsorted(state.begins, found.validation, side="right") - 1
    steps = found.validation - state.begins[series]
    known = steps > 0
    series, steps = series[known], steps[known]
    return _asked(state, series, steps, state.origins(series, steps))


def _asked(state: SeriesState, series: np.ndarray, steps: np.ndarray, origins: np.ndarray) -> Asked:
    return Asked(state, series, steps, origins, state.covariates[state.begins[series] + steps])


def _moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known = ~np.isnan(rows)
    count = np.maximum(known.sum(axis=0), 1)
    filled = np.where(known, rows, 0.0)
    means = filled.sum(axis=0) / count
    spreads = np.sqrt((np.where(known, rows - means, 0.0) ** 2).sum(axis=0) / count)
    return means, np.where(spreads > 0, spreads, 1.0)


def _fitted(rows: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Weights of least absolute errors with a ridge, by iteratively reweighted least squares."""
    weight = np.ones(len(wanted))
    found = np.zeros(rows.shape[1])
    ridge = _RIDGE * np.eye(rows.shape[1])
    for _ in range(_STEPS):
        found = np.linalg.solve(
            (rows * weight[:, None]).T @ rows + ridge, rows.T @ (weight * wanted)
        )
        error = np.abs(wanted - rows @ found)
        weight = 1 / np.maximum(error, 0.3 * float(np.median(error)) + 1e-9)
        weight /= weight.mean()
    return found


def _boosted(
    asked: Asked,
    wanted: np.ndarray,
    held: Asked,
    truth: np.ndarray,
    numeric: np.ndarray,
    settings: Settings,
    job: TrainJob,
    report: Report,
) -> Any:
    package = lightgbm()
    options = {
        "objective": "regression_l1",
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "min_data_in_leaf": settings.leaf_rows,
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "feature_fraction": 0.4,
        "lambda_l2": 3.0,
        "seed": job.seed,
        # The same rows give the same trees, on however many threads.
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": job.threads or 0,
        "verbosity": -1,
    }

    def told(now: Any) -> None:
        if (now.iteration + 1) % _TOLD == 0:
            judged = now.evaluation_result_list
            figures = {"validation_error": float(judged[0][2])} if judged else {}
            report(Progress("train", now.iteration + 1, settings.rounds, "trees", figures))

    rows = package.Dataset(
        asked.rows(numeric), wanted, categorical_feature=asked.codes(numeric), free_raw_data=False
    )
    callbacks: list[Any] = [told]
    judges, rounds = [], settings.rounds
    if len(truth) >= _HELD:
        judges = [rows.create_valid(held.rows(numeric), truth)]
        callbacks.append(package.early_stopping(settings.patience, verbose=False))
    else:
        rounds = min(rounds, round(5 / settings.learning_rate))  # nothing says when to stop
    booster = package.train(options, rows, rounds, valid_sets=judges, callbacks=callbacks)
    best = booster.best_iteration or booster.current_iteration()
    return package.Booster(model_str=booster.model_to_string(num_iteration=best))


def _share(linear: np.ndarray, trees: np.ndarray, truth: np.ndarray) -> float:
    """How much the trees count: the quarter with the least mean error on the validation values."""
    shares = (0.5, 0.75, 0.25, 1.0, 0.0)
    errors = [float(np.abs((1 - one) * linear + one * trees - truth).mean()) for one in shares]
    return shares[int(np.argmin(errors))]
