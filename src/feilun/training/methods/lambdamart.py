"""Recommendations in two stages: EASE finds candidates, and boosted trees put them in order by what
is known of user and item (LambdaMART: Burges, 2010, "From RankNet to LambdaRank to LambdaMART: An
Overview").

The trees learn from users of whom half the items are told and the other half is to be found. EASE
is learnt without those users first, because it would find back what it has seen.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from pydantic import Field

from feilun.engines.card import read_card
from feilun.engines.reranker import ItemColumns, RerankerEngine, save_booster
from feilun.engines.trees import lightgbm
from feilun.errors import InvalidData
from feilun.modalities import askers
from feilun.store.dataset import Dataset
from feilun.tasks.base import TaskBase
from feilun.training import interactions
from feilun.training.interactions import Interactions
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.methods import ease
from feilun.types import Progress

__all__ = ["Settings", "estimate", "needs_base", "needs_torch", "order", "supports", "train"]

order = 3
needs_base = False
needs_torch = False
least_rows = 5000
on_request = True

_LEAST = 4  # items of a user of whom half are told
_HELD = 0.2  # of the users, by whom the trees stop
_ROUND = 4e-8  # seconds that a round takes for a row and a column, on one thread
_COLUMNS = 20


class Settings(ease.Settings):
    """``[training.lambdamart]``."""

    users: int = Field(4000, ge=20, description="users that the order is learnt from at most")
    groups: int = Field(
        4,
        ge=2,
        le=20,
        description="groups of these users; candidates of each are found without it",
    )
    rounds: int = Field(300, ge=1, le=100_000, description="trees at most")
    learning_rate: float = Field(0.05, gt=0, le=1, description="how much each tree corrects")
    leaves: int = Field(15, ge=2, le=1024, description="leaves of a tree")
    leaf_rows: int = Field(50, ge=1, description="candidates that a leaf must have")
    patience: int = Field(
        30, ge=1, description="trees without an improvement on users held out that end it"
    )


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Recommendation alone."""
    return interactions.supports(task)


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """EASE once for each group and once for all, and the trees."""
    found = ease.estimate(job, settings, rows, machine)
    candidates = min(settings.users, rows.train // 10) * 100
    seconds = found.seconds * (settings.groups + 1)
    seconds += settings.users * 2e-3 + _ROUND * candidates * _COLUMNS * settings.rounds
    return Estimate(found.memory_bytes + candidates * _COLUMNS * 24, seconds, found.detail)


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes a `reranked` version. An update learns from all rows anew. Raises `InvalidData` where
    too few users have items to be found."""
    begin = perf_counter()
    dataset = Dataset(job.data)
    found = interactions.read(dataset)
    columns = ItemColumns.of(found.items, found.about_items)
    draw = np.random.default_rng(job.seed)
    groups = _groups(found, settings, draw)
    rows, wanted, sizes = [], [], []
    for number, users in enumerate(groups):
        report(Progress("train", number, len(groups) + 1, "steps"))
        engine = _without(job, dataset, found, users, settings, columns, job.scratch / str(number))
        for user in users.tolist():
            seen = _asked(engine, found, user, draw)
            if seen is not None:
                rows.append(seen[0])
                wanted.append(seen[1])
                sizes.append(len(seen[1]))
    if len(sizes) < 2 * settings.groups:
        raise InvalidData("training.few_histories", users=len(sizes), least=2 * settings.groups)
    booster = _boosted(np.concatenate(rows), np.concatenate(wanted), np.array(sizes), settings, job)
    speaks, learnt = ease.learnt(found, settings)
    interactions.write(job, dataset, found, settings.model_dump(), speaks, "reranked")
    columns.write(job.out)
    save_booster(job.out, booster)
    report(Progress("train", len(groups) + 1, len(groups) + 1, "steps"))
    users, items = found.matrix.shape
    figures = {"seconds": perf_counter() - begin, "rows": float(dataset.size("train"))}
    figures |= {"users": float(users), "items": float(items), "learnt": float(learnt)}
    figures |= {"judged_users": float(len(sizes)), "trees": float(booster.num_trees())}
    return TrainResult(figures, ease.notes(learnt, items))


def _groups(found: Interactions, settings: Settings, draw: np.random.Generator) -> list[np.ndarray]:
    """Users with enough items, drawn and divided."""
    able = np.flatnonzero(np.diff(found.matrix.indptr) >= _LEAST)
    drawn = draw.permutation(able)[: settings.users]
    return [np.sort(one) for one in np.array_split(drawn, settings.groups)]


def _without(
    job: TrainJob,
    dataset: Dataset,
    found: Interactions,
    users: np.ndarray,
    settings: Settings,
    columns: ItemColumns,
    folder: Path,
) -> RerankerEngine:
    """The first stage, learnt without `users`."""
    kept = np.ones(found.matrix.shape[0], bool)
    kept[users] = False
    names = [name for name, keeps in zip(found.users, kept.tolist(), strict=True) if keeps]
    rest = replace(found, users=names, matrix=found.matrix[kept], taken=found.taken[kept])
    folder.mkdir(parents=True)
    speaks, _ = ease.learnt(rest, settings)
    interactions.write(replace(job, out=folder), dataset, rest, {}, speaks, "reranked")
    return RerankerEngine(folder, read_card(folder), columns)


def _asked(
    engine: RerankerEngine, found: Interactions, user: int, draw: np.random.Generator
) -> tuple[np.ndarray, np.ndarray] | None:
    """What is known of the candidates for a user of whose items half are told, and which of them
    are in the other half; None where these are none or all."""
    taken = draw.permutation(found.matrix[user].indices)
    told, hidden = taken[: len(taken) // 2], taken[len(taken) // 2 :]
    names = tuple(found.items[place] for place in told.tolist())
    about = found.about_users.get(found.users[user], {})
    best, rows = engine.candidates(askers.Asker(None, names, columns=about))
    right = np.isin(best, hidden)
    return (rows, right) if right.any() and not right.all() else None


def _boosted(
    rows: np.ndarray, right: np.ndarray, sizes: np.ndarray, settings: Settings, job: TrainJob
) -> Any:
    """Trees that put the candidates of each user in order; `sizes` are how many each has. They
    stop by the users that come last."""
    package = lightgbm()
    options = {
        "objective": "lambdarank",
        "metric": "ndcg",
        "eval_at": [10],
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "min_data_in_leaf": settings.leaf_rows,
        "feature_fraction": 0.8,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "seed": job.seed,
        # The same rows give the same trees, on however many threads.
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": job.threads or 0,
        "verbosity": -1,
    }
    # Users of each group stand together: every fifth one is held out.
    group = np.repeat(np.arange(len(sizes)), sizes)
    held = group % round(1 / _HELD) == 0
    of_held = np.arange(len(sizes)) % round(1 / _HELD) == 0
    learns = package.Dataset(
        rows[~held], right[~held].astype(int), group=sizes[~of_held], free_raw_data=False
    )
    judges = learns.create_valid(rows[held], right[held].astype(int), group=sizes[of_held])
    booster = package.train(
        options,
        learns,
        settings.rounds,
        valid_sets=[judges],
        callbacks=[package.early_stopping(settings.patience, verbose=False)],
    )
    best = booster.best_iteration or booster.current_iteration()
    return package.Booster(model_str=booster.model_to_string(num_iteration=best))
