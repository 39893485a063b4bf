"""Which base models are at hand, which fit the rows and this machine, and what each would cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from feilun.errors import FeilunError, InvalidData, NotFound
from feilun.messages import t
from feilun.pipeline.context import Context
from feilun.pipeline.steps._own_base import UNREADABLE, own_versions
from feilun.pipeline.steps._paces import paces
from feilun.pipeline.steps.plan import rows_of
from feilun.store.dataset import Dataset
from feilun.tasks.base import TaskBase
from feilun.training import machine
from feilun.training.base_scores import can_tell, drawn, score
from feilun.training.bases import check, resolve, starters
from feilun.training.body import Body, describe
from feilun.training.job import DataStats, Machine, TrainJob
from feilun.training.settings import MethodSettings, method, methods_for
from feilun.types import Progress

__all__ = ["ROWS", "BaseAtHand", "Cost", "at_hand", "bases"]

ROWS = 500
"""Training rows that tell bases apart, unless others are asked for."""
_PATIENCE = 120.0
"""Seconds that the vectors of one base may take."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a method would take from a base: wall-clock `seconds`, bytes of `memory`, and whether
    both fit this machine and the project's limits."""

    method: str
    seconds: float
    memory: int
    fits: bool


@dataclass(frozen=True, slots=True)
class BaseAtHand:
    """A base model that is here. `kind` is ``starter``, ``version`` (of this workspace), ``folder``
    or ``project`` (the one that the settings name). `score` is LogME on training rows: higher tells
    targets apart better; None where the task has no targets that vectors are told apart by.
    `unknown` is the share of the rows' tokens that it does not know. `reason` says why it does not
    fit; None where it does."""

    name: str
    kind: str
    folder: str
    parameters: int | None = None
    width: int | None = None
    unknown: float | None = None
    score: float | None = None
    costs: tuple[Cost, ...] = ()
    reason: str | None = None


def bases(
    context: Context, given: Sequence[str] = (), rows: int = ROWS
) -> tuple[list[BaseAtHand], int]:
    """The bases at hand and those `given` by name or folder, the best first, then those that do not
    fit; and how many training rows were looked at, at most `rows`. Nothing is downloaded: a name
    that is not here is an error. Raises `NotFound` for it, and `InvalidData` where the task needs
    no base."""
    data = context.store.catalog.latest_data(context.project)
    if data is None:
        raise NotFound("project.no_data", project=context.project)
    task = context.task
    if not task.encodes:
        raise InvalidData("bases.none_needed", task=task.name)
    looker = _Looker(context, context.dataset(data), data.counts, rows)
    found = []
    listed = list(at_hand(context, given))
    for done, (name, kind, folder) in enumerate(listed):
        context.report(Progress("bases", done, len(listed), "bases", note=name))
        found.append(looker.look(name, kind, folder))
    context.report(Progress("bases", len(listed), len(listed), "bases"))

    def rank(one: BaseAtHand) -> tuple[bool, float, float]:
        score = one.score if one.score is not None else -np.inf
        return one.reason is not None, -score, one.unknown or 0.0

    return sorted(found, key=rank), looker.rows


def at_hand(context: Context, given: Sequence[str] = ()) -> Iterator[tuple[str, str, Path | str]]:
    """Name, kind and folder of every base that is here: the starters, the project's own, the newest
    usable version of every project that learnt weights from the same kind of input, and those
    `given`. A folder that cannot be had is the reason why, in words."""
    known: set[str] = set()
    own = context.config.project.base
    names = [*((one, "folder") for one in given), *([(own, "project")] if own else [])]
    for name, place in starters(context.settings).items():
        # One that comes packed takes a while to unpack: where it is not what the task begins from,
        # it is looked at when it is asked for.
        if place.is_dir() or name == context.task.default_base:
            names.append((name, "starter"))
    names += [(name, "version") for name in _own(context)]
    for name, kind in names:
        if name in known:
            continue
        known.add(name)
        try:
            yield name, kind, _local(context, name)
        except FeilunError as error:
            if kind == "folder":
                raise
            yield name, kind, error.message()


def _local(context: Context, name: str) -> Path:
    """The folder of a base that is on this machine. Raises `NotFound` for one that would have to be
    downloaded."""
    own = context.weights(name)
    if own is not None:
        return check(own)
    here = name in starters(context.settings)
    places = (Path(name).expanduser(), context.settings.workspace / name)
    if not here and not any(place.exists() for place in places):
        options = [*starters(context.settings), *_own(context)]
        raise NotFound("bases.not_here", base=name, options=options or ["-"])
    found = resolve(name, context.task, context.settings, context.weights)
    assert isinstance(found, Path)
    return found


def _own(context: Context) -> list[str]:
    return [one.id for one in own_versions(context)]


class _Looker:
    """Looks at bases for one data version on this machine."""

    def __init__(
        self, context: Context, dataset: Dataset, counts: Mapping[str, Any], rows: int
    ) -> None:
        self._context, self._dataset, self._counts = context, dataset, counts
        self._task: TaskBase = context.task
        self._settings = context.task_settings()
        self._config = context.config.training
        self._machine: Machine = machine.look(
            context.store.folder, self._config.threads, self._config.memory_limit
        )
        self._paces = paces(context.store.catalog, self._machine.cores)
        self._items, self._truth = drawn(dataset, self._task, rows, self._config.seed)
        self.rows = len(self._items)

    def look(self, name: str, kind: str, folder: Path | str) -> BaseAtHand:
        """What there is to say of one base."""
        if isinstance(folder, str):
            return BaseAtHand(name, kind, "", reason=folder)
        found = BaseAtHand(name, kind, str(folder))
        try:
            unfit = self._task.unfit(folder)
            body = describe(folder)
            found = replace(found, parameters=body.parameters, width=body.width)
            if unfit is not None:
                return replace(found, reason=unfit)
            processor = self._task.processor(folder, self._settings)
            share_of = getattr(processor, "unknown_share", None)
            unknown = float(share_of(self._items)) if share_of else 0.0
            stats = rows_of(self._dataset, processor, self._counts)
            costs = tuple(self._costs(folder, stats))
            found = replace(found, unknown=unknown, costs=costs)
            if unknown > UNREADABLE:
                return replace(found, reason=t("bases.unreadable", share=f"{100 * unknown:.0f}"))
            if not self._machine.has_torch:
                return replace(found, reason=t("bases.no_torch"))
            if not any(one.fits for one in costs):
                return replace(found, reason=t("bases.no_room"))
            return replace(found, score=self._score(folder, body, stats))
        except InvalidData as error:
            return replace(found, reason=error.message())

    def _costs(self, folder: Path, stats: DataStats) -> Iterator[Cost]:
        for name in methods_for(self._task, folder):
            chosen = method(name)
            if not chosen.needs_base or getattr(chosen, "on_request", False):
                continue
            raw = self._context.method_settings[name]
            settings = cast("MethodSettings", chosen.Settings(**raw))
            job = TrainJob(
                method=name,
                task=self._task.name,
                data=self._dataset.folder,
                base=folder,
                out=folder,
                scratch=folder,
                task_settings=self._settings,
                seed=self._config.seed,
            )
            settle = getattr(chosen, "settle", None)
            settings = settle(job, settings) if settle else settings
            needs = chosen.estimate(job, settings, stats, self._machine)
            seconds = needs.seconds * self._paces.get(name, 1.0)
            limit = self._config.time_limit
            fits = needs.memory_bytes <= 0.85 * self._machine.memory_bytes and (
                limit is None or seconds <= 60 * limit
            )
            yield Cost(name, seconds, needs.memory_bytes, fits)

    def _score(self, folder: Path, body: Body, stats: DataStats) -> float | None:
        """How well the vectors tell targets apart. None for targets that are neither classes nor
        numbers, one a row, for rows that are all alike, and where it would take minutes."""
        if not can_tell(self._truth):
            return None
        work = body.forward(stats.mean_cost) * len(self._items)
        if self._machine.seconds(work) > _PATIENCE:
            return None
        threads = self._config.threads
        return score(self._task, folder, self._settings, threads, self._items, self._truth)
