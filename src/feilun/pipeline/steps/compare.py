"""Trains several methods on the same rows and judges them side by side, to choose one by.

They are judged on the validation rows: the test rows are not asked, so that however many methods
are compared, none counts as an attempt on them. What is trained lies in a folder until the
comparison is over; one that was interrupted goes on after the last method that was finished.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from feilun.engines.base import open_engine
from feilun.errors import FeilunError, InvalidData, UsageError
from feilun.messages import t
from feilun.metrics.comparison import gains, scores
from feilun.metrics.measured import Measured
from feilun.metrics.scores import Score
from feilun.pipeline.context import Context
from feilun.pipeline.steps._judged import spared
from feilun.pipeline.steps._members import members, unlabelled
from feilun.pipeline.steps.plan import rows_of
from feilun.store.files import write_atomically
from feilun.store.records import DataVersion
from feilun.table import to_jsonable
from feilun.tasks._questions import questions
from feilun.training import machine
from feilun.training.bases import resolve
from feilun.training.child import run_child
from feilun.training.job import Machine, TrainJob
from feilun.training.settings import MethodSettings, begins_with_base, method, methods
from feilun.types import Progress

__all__ = ["Compared", "Comparison", "compare"]

_MEMORY = 0.85  # of the free memory that one training may be estimated to need
_DONE = "done.json"
_RESULT = "comparison.json"


@dataclass(frozen=True, slots=True)
class Compared:
    """One method. `score` is its primary metric, `gain` what it gains over the reference on the
    same rows (above 0 is better), `trained` how many parameters learnt, `seconds` the training's
    time and `memory_bytes` its process's peak. `reason` is why there are none of these; `failed`
    whether it was begun."""

    method: str
    score: Score | None = None
    gain: Score | None = None
    trained: int | None = None
    seconds: float | None = None
    memory_bytes: int | None = None
    reason: str = ""
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """All methods, best first; those that could not be compared stand last. `metric` is the primary
    one, `reference` the method that gains are counted from, `rows` the validation rows that judged,
    `train` those that all learnt from. `again` tells that it was kept from before."""

    data: str
    metric: str
    higher_is_better: bool
    reference: str
    train: int
    rows: int
    methods: tuple[Compared, ...]
    again: bool = False

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Comparison:
        """The comparison that was written as JSON."""

        def score(one: Any) -> Score | None:
            return None if one is None else Score(**one)

        found = [
            Compared(**{**one, "score": score(one["score"]), "gain": score(one["gain"])})
            for one in raw["methods"]
        ]
        return cls(**{**raw, "methods": tuple(found)})


@dataclass(frozen=True, slots=True)
class _Entry:
    """A method that can be tried: its job, without folders of its own."""

    name: str
    job: TrainJob
    seconds: float


@dataclass(frozen=True, slots=True)
class _Answers:
    """What a trained method answered: raw outputs of the validation rows at `places`."""

    raw: np.ndarray
    places: np.ndarray
    truth: np.ndarray
    labels: tuple[str, ...]


def compare(
    context: Context,
    folder: Path,
    wanted: Sequence[str] = (),
    reference: str | None = None,
    *,
    anew: bool = False,
) -> Comparison:
    """Compares the methods that are `wanted` by name, or all that can learn the project's rows.
    `folder` keeps comparisons. Gains are counted from `reference`, by default the cheapest of them.
    Where the same was compared before, that is the result, unless `anew`.

    Raises `InvalidData` where no row could judge, `UsageError` where none of the methods can be
    trained or the reference is not among them; a method that fails ends nothing.
    """
    data = context.store.catalog.latest_data(context.project)
    if data is None or not data.counts.get("validation"):
        raise InvalidData("compare.no_rows", project=context.project)
    for name in wanted:
        method(name)  # says what there is
    entries, left = _entries(context, wanted)
    names = [one.name for one in entries]
    if not entries:
        reasons = "\n".join(f"{one.method}: {one.reason}" for one in left)
        raise UsageError("compare.nothing", reasons=reasons or "–")
    if reference is not None and reference not in names:
        raise UsageError("compare.no_reference", given=reference, options=names)
    first = reference or names[0]
    key = _key(context, data.artifact, entries)
    home = folder / key
    if anew:
        shutil.rmtree(home, ignore_errors=True)
    kept = home / _RESULT
    if kept.is_file():
        found = Comparison.from_json(json.loads(kept.read_text("utf-8")))
        if found.reference == first and not any(one.failed for one in found.methods):
            return replace(found, again=True)
    home.mkdir(parents=True, exist_ok=True)
    rows, answers = _tried(context, entries, home)
    judged, count = _judged(context, answers, first)
    metric = context.task.primary
    higher = next(iter(judged.values()))[2] if judged else True
    whole = [
        replace(one, score=judged[name][0], gain=judged[name][1]) if name in judged else one
        for name, one in rows.items()
    ]
    sign = -1 if higher else 1
    ranked = sorted(whole, key=lambda one: sign * one.score.value if one.score else np.inf)
    learnt = sum(data.counts.get("train", {}).values())
    result = Comparison(data.id, metric, higher, first, learnt, count, (*ranked, *left))
    write_atomically(kept, json.dumps(to_jsonable(result), ensure_ascii=False, indent=1).encode())
    for name, one in rows.items():
        if not one.failed:
            shutil.rmtree(home / name, ignore_errors=True)
    return result


def _tried(
    context: Context, entries: Sequence[_Entry], home: Path
) -> tuple[dict[str, Compared], dict[str, _Answers]]:
    """Trains and asks one method after the other; one that fails says why."""
    rows: dict[str, Compared] = {}
    answers: dict[str, _Answers] = {}
    for place, entry in enumerate(entries):
        name = entry.name
        context.report(Progress("compare", place, len(entries), "methods", note=name))
        try:
            rows[name] = _trained(context, entry, home / name)
            answers[name] = _answered(context, home / name / "version")
        except FeilunError as error:
            rows[name] = Compared(name, reason=error.message(), failed=True)
            context.report(Progress("compare", place, len(entries), note=error.message()))
    context.report(Progress("compare", len(entries), len(entries), "methods"))
    return rows, answers


def _entries(context: Context, wanted: Sequence[str]) -> tuple[list[_Entry], list[Compared]]:
    """What can be tried, the cheapest first, and what cannot with its reason."""
    data = context.store.catalog.latest_data(context.project)
    assert data is not None
    here = machine.look(
        context.store.folder,
        context.config.training.threads,
        context.config.training.memory_limit,
    )
    entries, left = [], []
    for name in [one for one in methods() if not wanted or one in wanted]:
        try:
            found = _entry(context, data, here, name, named=bool(wanted))
        except FeilunError as error:  # what it needs besides the rows is not there
            found = error.message()
        if isinstance(found, str):
            left.append(Compared(name, reason=found))
        else:
            entries.append(found)
    return entries, left


def _entry(
    context: Context, data: DataVersion, here: Machine, name: str, *, named: bool
) -> _Entry | str:
    """What trying the method takes, or why it cannot be tried."""
    config, task, chosen = context.config, context.task, method(name)
    if chosen.needs_torch and not here.has_torch:
        return t("compare.no_torch")
    base: Path | str | None = None
    if begins_with_base(name, context.method_settings[name]):
        packed = getattr(chosen, "packed", False)
        find = context.packed if packed else context.weights
        default = getattr(chosen, "default_base", None)
        base = resolve(
            config.project.base, task, context.settings, find, packed=packed, default=default
        )
    reason = chosen.supports(task, base)
    if reason is not None:
        return reason
    needs_folder = chosen.needs_base and getattr(chosen, "needs_folder", True)
    if needs_folder and not isinstance(base, Path):
        return t("compare.no_base")
    dataset, read = context.dataset(data), context.task_settings()
    processor = task.counter(base, read) if isinstance(base, Path) else None
    stats = rows_of(dataset, processor, data.counts)
    least = min(chosen.least_rows, task.family.least_rows or chosen.least_rows)
    if not named and stats.train < least:
        return t("compare.few_rows", rows=stats.train, least=least)
    settings = cast("MethodSettings", chosen.Settings(**context.method_settings[name]))
    job = TrainJob(
        method=name,
        task=config.project.task,
        data=dataset.folder,
        base=base,
        out=context.store.folder,
        scratch=context.store.folder,
        task_settings=read,
        seed=config.training.seed,
        threads=config.training.threads,
        members=members(context, name, settings.model_dump()),
    )
    if getattr(chosen, "combines", None) and not job.members:
        return t("compare.no_members")
    settle = getattr(chosen, "settle", None)
    settings = settle(job, settings) if settle else settings
    estimate = chosen.estimate(job, settings, stats, here)
    free = here.memory_bytes * _MEMORY
    if estimate.memory_bytes > free:
        need = f"{estimate.memory_bytes / 2**30:.1f}"
        return t("compare.memory", need=need, free=f"{free / 2**30:.1f}")
    return _Entry(name, replace(job, settings=settings.model_dump(mode="json")), estimate.seconds)


def _key(context: Context, artifact: str, entries: Sequence[_Entry]) -> str:
    """Names the comparison of equal methods, settings and rows."""
    jobs = [
        {**one.job.to_json(), "out": None, "scratch": None, "data": artifact} for one in entries
    ]
    parts: list[Any] = [context.config.evaluation.model_dump(mode="json"), jobs]
    if any(one.job.settings.get("corpus") for one in entries):
        kept = context.store.catalog.corpora(context.project)
        parts.append(sorted(one["artifact"] for one in kept))
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _trained(context: Context, entry: _Entry, folder: Path) -> Compared:
    """Trains one method, unless it was trained before an interruption."""
    done = folder / _DONE
    if not done.is_file():
        out, scratch = folder / "version", folder / "scratch"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        scratch.mkdir(exist_ok=True)
        begin = time.monotonic()
        more = unlabelled(context, entry.job.settings, scratch / "unlabelled")
        job = replace(entry.job, out=out, scratch=scratch, unlabelled=more)
        result = run_child(job, context.report)
        figures = {"seconds": time.monotonic() - begin, **result.figures}
        write_atomically(done, json.dumps(to_jsonable(figures)).encode())
        shutil.rmtree(scratch, ignore_errors=True)
    figures = json.loads(done.read_text("utf-8"))
    learnt, peak = figures.get("trained_parameters"), figures.get("peak_memory_bytes")
    return Compared(
        entry.name,
        trained=None if learnt is None else int(learnt),
        seconds=float(figures["seconds"]),
        memory_bytes=None if peak is None else int(peak),
    )


def _answered(context: Context, folder: Path) -> _Answers:
    data = context.store.catalog.latest_data(context.project)
    assert data is not None
    dataset, family = questions(context.dataset(data)), context.task.family
    with closing(open_engine(folder)) as engine:
        labels = engine.card.schema.labels
        truth = family.truth(dataset.values("label", "validation"), labels)
        known = np.flatnonzero(family.known(truth))
        places = known[spared(engine, len(known))]
        items = dataset.items("validation")
        raw = engine.raw([items[place] for place in places.tolist()])
    return _Answers(raw, places, truth[places], labels)


def _judged(
    context: Context, answers: Mapping[str, _Answers], reference: str
) -> tuple[dict[str, tuple[Score | None, Score | None, bool]], int]:
    """Of each method its score, its gain over the reference, and whether more is better; and the
    rows that all of them answered, on which they are compared."""
    if not answers:
        return {}, 0
    family, evaluation = context.task.family, context.config.evaluation
    metric = context.task.primary
    shared = set.intersection(*(set(one.places.tolist()) for one in answers.values()))
    measured: dict[str, Measured] = {}
    for name, one in answers.items():
        kept = np.flatnonzero(np.isin(one.places, sorted(shared)))
        raw, truth = one.raw[kept], one.truth[kept]
        point, _ = family.calibrate(raw, truth, one.labels, context.config)
        measured[name] = family.measured(truth, raw, one.labels, point)
    options = {"resamples": evaluation.resamples, "confidence": evaluation.confidence}
    found = {}
    for name, its in measured.items():
        gain = None
        if reference in measured and name != reference:
            gain = gains(its, measured[reference], **options).get(metric)  # type: ignore[arg-type]
        score = scores(its, **options)[metric]  # type: ignore[arg-type]
        found[name] = (score, gain, its.higher_is_better[metric])
    return found, len(shared)
