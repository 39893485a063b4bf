"""Searches methods, bases and settings for what learns the rows best, by rows that do not judge.

Every trial trains on a copy of the data version without its test rows, and is judged on the
validation rows; where all methods of the search answer out of fold, on the training rows as well.
The trials lie in the workspace's database, so that an interrupted search goes on, and other
processes may `join` it.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from feilun.durations import about
from feilun.engines.base import open_engine
from feilun.errors import FeilunError, NotFound, UsageError
from feilun.messages import t
from feilun.messages.sentences import from_kept, to_kept
from feilun.metrics.comparison import scores
from feilun.metrics.scores import Score
from feilun.pipeline.context import Context
from feilun.pipeline.steps._judged import spared
from feilun.pipeline.steps._paces import paces
from feilun.pipeline.steps._unseen import without_test_rows
from feilun.pipeline.steps.plan import rows_of
from feilun.store.dataset import Dataset
from feilun.tasks._questions import questions
from feilun.tasks.base import of as task_of
from feilun.training import machine, out_of_fold
from feilun.training.bases import resolve, starters
from feilun.training.child import run_child
from feilun.training.job import DataStats, TrainJob
from feilun.training.search import Arm, Asked, Search
from feilun.training.settings import MethodSettings, method, methods
from feilun.training.space import TASK, changed, space_of, with_default
from feilun.types import Progress

__all__ = ["join", "search"]

_MEMORY_SHARE = 0.85
"""Of the free memory that one training may be estimated to need."""
_TRIAL_SHARE = 0.4
"""Of the whole time that one trial may be estimated to take: a search of one is none."""
_SKIPS = 25
"""Trials in a row that could not be made, from which on there is nothing left to try."""
_UNREADABLE = 0.2
"""Share of unknown tokens above which a base cannot read the rows."""
_SAMPLE = 500
"""Rows that tell it."""


def search(context: Context) -> dict[str, Any]:
    """The trials and the best of them: ``winner`` holds its method, base, settings and those of
    the task. Raises `UsageError` where no method fits into the time, what the last trial raised
    where none came to its end, and `Stopped` when it is interrupted."""
    catalog, config = context.store.catalog, context.config
    run = catalog.run(context.run_id)
    with _Searcher.of(context) as searcher:
        arms = [Arm.from_json(raw) for raw in run.plan.get("arms", ())]
        notes = [from_kept(note) for note in run.plan.get("notes", ())]
        if not arms:
            arms, notes = searcher.arms()
            plain = [arm.to_json() for arm in arms]
            kept = [to_kept(note) for note in notes]
            catalog.update_run(context.run_id, plan={"arms": plain, "notes": kept})
        for note in (*notes, t("tune.going_on")):
            context.report(Progress("search", 0, 0, note=note))
        with closing(searcher.opened(arms)) as trials:
            trials.begin(_before(context))
            searcher.work(trials)
            return searcher.result(trials, arms, notes, 60 * config.tune.minutes)


def join(context: Context) -> dict[str, Any]:
    """Takes part in the search of the run that `context` names, until it is over. Raises `NotFound`
    where it has none that goes on."""
    run = context.store.catalog.run(context.run_id)
    arms = [Arm.from_json(raw) for raw in run.plan.get("arms", ())]
    if not arms:
        raise NotFound("tune.none_going_on", project=context.project)
    with _Searcher.of(context) as searcher, closing(searcher.opened(arms)) as trials:
        searcher.work(trials)
        return searcher.result(trials, arms, [], 60 * context.config.tune.minutes)


class _Searcher:
    """One process of a search."""

    def __init__(self, context: Context, folder: Path) -> None:
        data = context.store.catalog.latest_data(context.project)
        assert data is not None
        self._context, self._folder = context, folder
        self._dataset = Dataset(without_test_rows(context.dataset(data), folder / "rows"))
        self._task = task_of(self._dataset.schema)
        self._machine = machine.look(
            context.store.folder, context.config.training.threads, _memory(context)
        )
        self._paces = paces(context.store.catalog, self._machine.cores)
        self._bases: dict[str, Path | str | None] = {}
        self._stats: dict[str | None, DataStats] = {}
        self._failure: FeilunError | None = None
        self._folds = False
        self._data = data

    @classmethod
    @contextmanager
    def of(cls, context: Context) -> Iterator[_Searcher]:
        """A searcher whose rows and trials lie in a folder of its own, which goes at the end."""
        scratch = context.scratch("search")
        folder = Path(tempfile.mkdtemp(dir=scratch))
        try:
            yield cls(context, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    # What may be tried.

    def arms(self) -> tuple[list[Arm], list[str]]:
        """The methods, each with each base that it may start from, the cheapest first; and in words
        what was left out and why. Raises `UsageError` where nothing is left."""
        config = self._context.config
        most = 60 * config.tune.minutes * _TRIAL_SHARE
        asked = config.tune.methods
        unknown = sorted(set(asked) - set(methods()))
        if unknown:
            raise UsageError("tune.unknown_method", method=unknown[0], options=methods())
        found: list[tuple[float, Arm]] = []
        notes: list[str] = []
        for name in asked or methods():
            chosen = method(name)
            if not asked and getattr(chosen, "on_request", False):
                continue
            if getattr(chosen, "combines", None):
                continue  # what it is made of has to be there first
            if chosen.needs_torch and not self._machine.has_torch:
                notes.append(t("training.skip_no_torch", method=name))
                continue
            bases: Sequence[str | None] = [None]
            if chosen.needs_base:
                bases = self._base_names(notes)
            for base in bases:
                arm = self._arm(name, base, most, notes, bool(asked))
                if arm is not None:
                    found.append(arm)
        if not found:
            raise UsageError(
                "tune.nothing_fits", minutes=config.tune.minutes, reasons="\n".join(notes) or "–"
            )
        return [arm for _, arm in sorted(found, key=lambda one: one[0])], list(dict.fromkeys(notes))

    def _arm(
        self, name: str, base: str | None, most: float, notes: list[str], asked: bool
    ) -> tuple[float, Arm] | None:
        """A method from a base, with the seconds that a trial is estimated to take."""
        chosen = method(name)
        place = self._place(base)
        reason = chosen.supports(self._task, place)
        if reason is not None:
            if asked:
                notes.append(t("tune.unfit_method", method=name, reason=reason))
            return None
        if chosen.needs_base and not isinstance(place, Path) and getattr(
            chosen, "needs_folder", True
        ):  # fmt: skip
            return None
        stats = self._rows(base)
        if stats.train < min(chosen.least_rows, self._task.family.least_rows or chosen.least_rows):
            notes.append(
                t(
                    "training.skip_few_rows",
                    method=name,
                    rows=stats.train,
                    least=chosen.least_rows,
                )
            )
            return None
        settings = self._settled(name, base, {})[0]
        read = self._context.task_settings()
        values = settings.model_dump()
        space = space_of(chosen, self._task)
        default = {
            key: read.get(key.removeprefix(TASK)) if key.startswith(TASK) else values.get(key)
            for key in space
        }
        space = {key: with_default(one, default[key]) for key, one in space.items()}
        default = {key: value for key, value in default.items() if value is not None}
        arm = Arm(name, base, space, default)
        seconds, memory = self._estimated(arm, {})
        if memory > self._machine.memory_bytes * _MEMORY_SHARE:
            notes.append(
                t(
                    "training.skip_memory",
                    method=arm.name,
                    need=f"{memory / 2**30:.1f}",
                    free=f"{self._machine.memory_bytes * _MEMORY_SHARE / 2**30:.1f}",
                )
            )
            return None
        if seconds > most:
            notes.append(t("tune.too_dear", arm=arm.name, time=about(seconds), most=about(most)))
            return None
        return seconds, arm

    def _base_names(self, notes: list[str]) -> list[str | None]:
        """The bases to try: those that the settings name, else the project's own and the starters
        that come as folders. One that cannot read the rows is left out."""
        config = self._context.config
        own = config.project.base or self._task.default_base or self._task.begins
        if config.tune.bases:
            names = list(config.tune.bases)
        else:
            at_hand = starters(self._context.settings)
            names = [own] if own else []
            if own and not own.startswith("scratch:"):
                names += [name for name, place in at_hand.items() if place.is_dir()]
        found: list[str | None] = []
        for name in dict.fromkeys(names):
            place = self._place(name)
            if place is None:
                continue
            if isinstance(place, Path) and (reason := self._task.unfit(place)) is not None:
                notes.append(t("tune.unfit_base", base=name, reason=reason))
                continue
            share = self._unknown(place)
            if share > _UNREADABLE and name != config.project.base:
                notes.append(t("tune.unreadable_base", base=name, share=f"{100 * share:.0f}"))
                continue
            found.append(name)
        return found

    def _unknown(self, place: Path | str) -> float:
        """The share of the rows' tokens that a base does not know."""
        if not isinstance(place, Path):
            return 0.0
        processor = self._task.counter(place, self._context.task_settings())
        share_of = getattr(processor, "unknown_share", None)
        return float(share_of(list(self._dataset.items("train")[:_SAMPLE]))) if share_of else 0.0

    def _place(self, base: str | None) -> Path | str | None:
        if base is None:
            return None
        if base not in self._bases:
            context = self._context
            given = base
            default = self._task.default_base
            if base == default and default not in starters(context.settings):
                self._bases[base] = None
            else:
                self._bases[base] = resolve(given, self._task, context.settings, context.weights)
        return self._bases[base]

    def _rows(self, base: str | None) -> DataStats:
        if base not in self._stats:
            place = self._place(base)
            processor = None
            if isinstance(place, Path):
                processor = self._task.counter(place, self._context.task_settings())
            self._stats[base] = rows_of(self._dataset, processor, self._data.counts)
        return self._stats[base]

    # What one trial is.

    def _job(self, name: str, base: str | None, given: Mapping[str, Any]) -> TrainJob:
        config = self._context.config
        return TrainJob(
            method=name,
            task=config.project.task,
            data=self._dataset.folder,
            base=self._place(base),
            out=self._folder,
            scratch=self._folder,
            task_settings=given,
            seed=config.training.seed,
            threads=config.training.threads,
        )

    def _settled(
        self, name: str, base: str | None, given: Mapping[str, Any]
    ) -> tuple[MethodSettings, dict[str, Any]]:
        """The method's complete settings with the values `given`, and those of the task."""
        chosen = method(name)
        raw = self._context.method_settings[name]
        settings = cast("MethodSettings", chosen.Settings(**raw))
        settings, read = changed(settings, self._context.task_settings(), given)
        settle = getattr(chosen, "settle", None)
        job = self._job(name, base, read)
        return (settle(job, settings) if settle else settings), read

    def _estimated(self, arm: Arm, given: Mapping[str, Any]) -> tuple[float, int]:
        """Seconds and bytes that a training is estimated to take."""
        settings, read = self._settled(arm.method, arm.base, given)
        job = replace(
            self._job(arm.method, arm.base, read), settings=settings.model_dump(mode="json")
        )
        found = method(arm.method).estimate(job, settings, self._rows(arm.base), self._machine)
        return found.seconds * self._paces.get(arm.method, 1.0), found.memory_bytes

    # The search itself.

    def opened(self, arms: Sequence[Arm]) -> Search:
        """The run's trials in the database."""
        context = self._context
        self._folds = all(getattr(method(arm.method), "folded", False) for arm in arms)
        higher = self._task.family.metrics[self._task.primary]
        seed = context.config.training.seed
        name = context.run_id
        return Search(context.store.search_url(), name, arms, higher=higher, seed=seed)

    def work(self, trials: Search) -> None:
        """Makes one trial after the other until the time, or the number of trials, is reached."""
        tune = self._context.config.tune
        whole = 60 * tune.minutes
        skipped = 0
        while skipped < _SKIPS:
            spent = trials.spent()
            made = sum(one.state != "failed" for one in trials.trials())
            best = trials.best()
            self._tell(spent, whole, best.value if best else None, made)
            if spent >= whole or (tune.trials is not None and made >= tune.trials):
                return
            asked, begin = trials.ask(), time.monotonic()
            try:
                seconds = self._estimated(asked.arm, asked.given)[0]
                if seconds > whole - spent:
                    asked.failed(t("tune.no_time_left"), 0.0)
                    skipped += 1
                    continue
                self._attempt(asked, whole - spent, whole, spent)
                skipped = 0
            except FeilunError as error:
                self._failure = error
                asked.failed(error.message(), time.monotonic() - begin)
                skipped += 1
            except BaseException:
                asked.again(time.monotonic() - begin)
                raise

    def _attempt(self, asked: Asked, left: float, whole: float, spent: float) -> None:
        """Trains and judges one trial; `left` seconds are there for it."""
        name = f"trial-{asked.number}"
        out, scratch = self._folder / name, self._folder / f"{name}-scratch"
        out.mkdir(parents=True)
        begin = time.monotonic()
        settings, read = self._settled(asked.arm.method, asked.arm.base, asked.given)
        job = replace(
            self._job(asked.arm.method, asked.arm.base, read),
            out=out,
            scratch=scratch,
            settings=settings.model_dump(mode="json"),
        )
        metric = f"validation_{self._task.primary}"

        def hear(progress: Progress) -> None:
            took = time.monotonic() - begin
            self._tell(spent + took, whole, progress.figures.get(metric), asked.number + 1)
            if took > left:
                raise _Over(t("tune.cut"))
            figure = progress.figures.get(metric)
            if figure is None or not progress.total:
                return
            if asked.behind(progress.done / progress.total, figure):
                raise _Over(t("tune.behind"))

        try:
            run_child(job, hear)
            score = self._judged(out)
        except _Over as ended:
            asked.pruned(str(ended), time.monotonic() - begin)
            return
        finally:
            shutil.rmtree(out, ignore_errors=True)
            shutil.rmtree(scratch, ignore_errors=True)
        asked.complete(score.value, score.low, score.high, time.monotonic() - begin)

    def _judged(self, folder: Path) -> Score:
        """The primary metric of what was trained, with its interval. The operating point is set on
        the rows that judge, for every trial alike."""
        family, dataset = self._task.family, questions(self._dataset)
        with closing(open_engine(folder)) as engine:
            labels = engine.card.schema.labels
            truth = family.truth(dataset.values("label", "validation"), labels)
            known = np.flatnonzero(family.known(truth))
            known = known[spared(engine, len(known))]
            items = dataset.items("validation")
            raw = engine.raw([items[place] for place in known.tolist()])
        truth = truth[known]
        kept = out_of_fold.read(folder, family.Raw) if self._folds else None
        if kept is not None:
            raw, truth = self._with_folds(kept, raw, truth, labels)
        if not len(truth):
            raise UsageError("tune.no_rows", project=self._context.project)
        point, _ = family.calibrate(raw, truth, labels, self._context.config)
        measured = family.measured(truth, raw, labels, point)
        config = self._context.config.evaluation
        found = scores(measured, confidence=config.confidence)[self._task.primary]
        if found is None:
            raise UsageError("tune.no_score", metric=self._task.primary, rows=len(truth))
        return found

    def _with_folds(
        self,
        kept: out_of_fold.OutOfFold,
        raw: np.ndarray,
        truth: np.ndarray,
        labels: tuple[str, ...],
    ) -> tuple[np.ndarray, np.ndarray]:
        ids = self._dataset.row_ids("train")
        said = self._task.family.truth(self._dataset.values("label", "train"), labels)
        place = {int(key): row for row, key in enumerate(out_of_fold.keys_of(ids))}
        rows = np.array([place.get(int(key), -1) for key in kept.keys], np.int64)
        there = rows >= 0
        there[there] &= self._task.family.known(said[rows[there]])
        return (
            np.concatenate([raw, kept.raw[there]]),
            np.concatenate([truth, said[rows[there]]]),
        )

    def _tell(self, spent: float, whole: float, value: float | None, made: int) -> None:
        figures = {"trials": float(made)}
        if value is not None:
            figures[f"validation_{self._task.primary}"] = float(value)
        done = min(spent, whole)
        self._context.report(Progress("search", int(done), int(whole), "search_seconds", figures))

    def result(
        self, trials: Search, arms: Sequence[Arm], notes: Sequence[str], whole: float
    ) -> dict[str, Any]:
        """What the step returns."""
        best = trials.best()
        if best is None:
            if self._failure is not None:
                raise self._failure
            raise UsageError("tune.none_ended", minutes=whole / 60)
        own = {k: v for k, v in best.given.items() if not k.startswith(TASK)}
        read = {k.removeprefix(TASK): v for k, v in best.given.items() if k.startswith(TASK)}
        first = next((one for one in trials.trials() if one.default and one.state == "complete"
                      and (one.method, one.base) == (best.method, best.base)), None)  # fmt: skip
        important, shares = trials.importance()
        return {
            "primary": self._task.primary,
            "higher": self._task.family.metrics[self._task.primary],
            "data_version": self._data.id,
            "by": "folds" if self._folds else "validation",
            "rows": self._dataset.size("validation")
            + (self._dataset.size("train") if self._folds else 0),
            "seconds": trials.spent(),
            "arms": [arm.name for arm in arms],
            "notes": [to_kept(note) for note in notes],
            "trials": [one.to_json() for one in trials.trials()],
            "important": important,
            "importance": shares,
            "default": first.number if first else None,
            "winner": {
                "number": best.number,
                "method": best.method,
                "base": best.base,
                "settings": own,
                "task": read,
            },
        }


class _Over(Exception):
    """Ends the training of a trial; says why."""


def _memory(context: Context) -> float | None:
    return context.config.training.memory_limit


def _before(context: Context) -> list[tuple[str, Mapping[str, Any]]]:
    """What earlier searches of the project found best, the newest first: it is tried again."""
    found: dict[str, Mapping[str, Any]] = {}
    for run in context.store.catalog.runs(context.project):
        result = run.result.get("search") if run.kind == "tune" else None
        if not result or run.id == context.run_id:
            continue
        winner = result["winner"]
        read = {TASK + name: value for name, value in winner["task"].items()}
        name = winner["method"] + (f" {winner['base']}" if winner["base"] else "")
        found.setdefault(name, {**winner["settings"], **read})
    return list(found.items())[:3]
