"""An ensemble: the weighted mean of what several versions at hand state, as one version.

Members are the versions as they are served. Weights are chosen on the validation rows, and where
every member keeps what it answered its training rows out of fold on those too, by greedy selection
with replacement (Caruana and others 2004, "Ensemble Selection from Libraries of Models"): the
member that makes the mean best is added again and again, and a member's weight is how often it was.
One that never helps is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from time import perf_counter

import numpy as np
from pydantic import Field

from feilun.engines.base import open_engine
from feilun.engines.card import read_card
from feilun.engines.ensemble import write_ensemble
from feilun.errors import UsageError
from feilun.families.base import Family
from feilun.messages import t
from feilun.metrics.comparison import values
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.tasks.base import TaskBase
from feilun.training import out_of_fold
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.rows import start_card
from feilun.training.settings import MethodSettings
from feilun.types import Progress

__all__ = ["Settings", "combines", "estimate", "least_rows", "needs_base", "needs_torch",
           "on_request", "order", "supports", "train", "weigh"]  # fmt: skip

order = 4
needs_base = False
needs_torch = False
least_rows = 0
on_request = True
combines = "served"

_ROUNDS = 25
_GAIN = 1e-6


class Settings(MethodSettings):
    """``[training.ensemble]``."""

    of: tuple[str, ...] = Field(
        (),
        description="methods whose newest versions are members, trained first; by default all "
        "versions at hand, the newest of each method",
    )


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Every family whose answers have a mean."""
    return task.family.unaveraged()


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """The members answer the validation rows once."""
    return Estimate(1_000_000_000, 5.0 + 0.02 * rows.validation, {"rows": float(rows.validation)})


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes an `ensemble` version. Raises `UsageError` for fewer than two members."""
    start = perf_counter()
    dataset = Dataset(job.data)
    schema = dataset.schema
    members = [one for one in job.members if read_card(one).schema.labels == schema.labels]
    if len(members) < 2:
        raise UsageError("training.too_few_members", count=len(members))
    family = tasks.of(schema).family
    truth = family.truth(dataset.values("label", "validation"), schema.labels)
    known = np.flatnonzero(family.known(truth))
    items = dataset.items("validation")
    asked = [items[place] for place in known.tolist()]
    raws: list[np.ndarray] = []
    names: list[str] = []
    for number, member in enumerate(members):
        card = read_card(member)
        report(Progress("train", number, len(members), "members", note=card.method))
        with closing(open_engine(member, threads=job.threads)) as engine:
            raws.append(family.settled(engine.raw(asked), schema, card.point))
        names.append(card.method)
    truth = truth[known]
    folded, more = _out_of_fold(dataset, family, members)
    if len(more):
        raws = [np.concatenate(pair) for pair in zip(raws, folded, strict=True)]
        truth = np.concatenate([truth, more])
    weights = weigh(family, raws, truth, schema.labels)
    kept = np.flatnonzero(weights)
    notes = [
        t(
            "training.note_weights",
            rows=len(asked),
            folded=len(more),
            weights=[f"{names[place]} {weights[place]:.2f}" for place in kept.tolist()],
        )
    ]
    if len(kept) == 1:  # still an ensemble: which is better is the gate's to say
        notes.append(t("training.note_no_gain", name=names[int(kept[0])]))
        kept = np.argsort(-weights, kind="stable")[:2]
        weights = np.where(np.isin(np.arange(len(weights)), kept), np.maximum(weights, 0.0), 0.0)
    chosen = [(names[place], members[place]) for place in kept.tolist()]
    card = start_card(job, "ensemble", schema, settings.model_dump())
    write_ensemble(job.out, chosen, weights[kept].tolist(), card)
    figures = {
        "seconds": perf_counter() - start,
        "rows": float(len(asked)),
        **{f"weight_{names[place]}": float(weights[place]) for place in kept.tolist()},
    }
    return TrainResult(figures, tuple(notes))


def _out_of_fold(
    dataset: Dataset, family: Family, members: Sequence[Path]
) -> tuple[list[np.ndarray], np.ndarray]:
    """The settled raw outputs of each member, by models that had not seen them, for the training
    rows that all members kept; and these rows' truth."""
    schema = dataset.schema
    truth = family.truth(dataset.values("label", "train"), schema.labels)
    keys = out_of_fold.keys_of(dataset.row_ids("train"))
    both = family.known(truth)
    found: list[tuple[Path, np.ndarray, np.ndarray]] = []
    for member in members:
        kept = out_of_fold.read(member, family.Raw)
        if kept is None:
            return [], truth[:0]
        places = out_of_fold.places(kept.keys, keys)
        both &= places >= 0
        found.append((member, kept.raw, places))
    raws = [
        family.settled(raw[places[both]], schema, read_card(member).point)
        for member, raw, places in found
    ]
    return raws, truth[both]


def weigh(
    family: Family, raws: Sequence[np.ndarray], truth: np.ndarray, labels: tuple[str, ...]
) -> np.ndarray:
    """The weights of versions whose settled raw outputs for labelled rows are `raws`, float64
    (versions,), adding up to 1. Without rows all weigh the same."""
    count = len(raws)
    if not len(truth):
        return np.full(count, 1 / count)
    metric = family.fitness or family.primary
    sign = 1.0 if family.metrics.get(metric, True) else -1.0

    def fit(times: np.ndarray) -> float:
        raw = family.mean(raws, times / times.sum())
        found = values(family.measured(truth, raw, labels, family.neutral()))[metric]
        return -np.inf if found is None else sign * found

    times, best = np.zeros(count), -np.inf
    kept = np.full(count, 1 / count)
    for _ in range(_ROUNDS):
        tried = [fit(times + row) for row in np.eye(count)]
        times = times + np.eye(count)[int(np.argmax(tried))]
        if max(tried) > best + _GAIN:
            best, kept = max(tried), times / times.sum()
    return kept
