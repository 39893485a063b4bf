"""Fixes what a turn will do before any of it is done: stages, settings, base, seed, threads."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from feilun.durations import about
from feilun.engines.card import read_card
from feilun.messages import in_each, t
from feilun.messages.sentences import to_kept
from feilun.pipeline.context import Context
from feilun.pipeline.lineage import to_learn, trained
from feilun.pipeline.steps._members import members_of
from feilun.pipeline.steps._own_base import UNREADABLE, Begun, begin
from feilun.pipeline.steps._paces import paces
from feilun.pipeline.steps._telling import tells, words
from feilun.store.dataset import Dataset
from feilun.store.records import ModelVersion
from feilun.tasks import base as tasks
from feilun.tasks.base import Processor, TaskBase
from feilun.training import machine
from feilun.training.bases import resolve
from feilun.training.fold_training import by_itself
from feilun.training.job import DataStats, TrainJob
from feilun.training.plan import AUTO, PlannedStage
from feilun.training.plan import plan as choose
from feilun.training.settings import MethodSettings, begins_with_base, method, methods
from feilun.types import Progress

__all__ = ["draw", "plan", "rows_of"]

_SAMPLE = 1000


def plan(
    context: Context,
    collected: dict[str, Any] | None = None,
    found: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The plan as JSON, noted with the run; see `draw`."""
    planned, words, more = draw(context, collected, found)
    context.store.catalog.update_run(context.run_id, plan=planned)
    for line in [*words, *more]:
        context.report(Progress("plan", 0, 0, note=line))
    return planned


def draw(
    context: Context,
    collected: dict[str, Any] | None = None,
    found: dict[str, Any] | None = None,
) -> tuple[dict[str, Any], list[str], list[str]]:
    """The plan as JSON; in words, the rows and then a line a stage; what else is to be said. After
    `collected` corrections it has one stage: the live version's method, continued from its weights.
    What a search `found` best is planned as if the settings had said so."""
    if found is not None:
        context = _settled(context, found)
    catalog, config = context.store.catalog, context.config
    data = catalog.latest_data(context.project)
    assert data is not None
    dataset = context.dataset(data)
    now = catalog.model_version(collected["live"]) if collected else None
    if now is not None and now.method not in methods():
        now = None  # what nothing here trains, such as an upstream, is not continued
    live = trained(catalog, now) if now else None
    quick = _quick(context, live) if live is not None and config.update.quick else None
    wanted = quick or (live.method if live else config.training.method)
    notes: list[str] = []
    settings = {
        name: cast("MethodSettings", method(name).Settings(**raw))
        for name, raw in context.method_settings.items()
    }
    grown = live
    if live is not None and getattr(method(wanted), "combines", None):
        # What it is made of learns anew, and then it.
        of = settings[wanted].model_dump().get("of") or members_of(context.folder(live, ""))
        settings[wanted] = settings[wanted].model_copy(update={"of": tuple(of)})
        grown = None
    own = {} if wanted == AUTO else settings[wanted].model_dump()
    needed = wanted == AUTO or begins_with_base(wanted, own)
    needed = needed or any(method(one).needs_base for one in own.get("of", ()))
    begun = Begun()
    if live is None and needed and (wanted == AUTO or not getattr(method(wanted), "packed", False)):
        begun = begin(context, data, dataset)
        notes += [begun.note] if begun.note else []
    if begun.base is not None:
        context = _with_base(context, begun.base)
        config = context.config
    base = _base(context, wanted, grown, needed)
    unknown = _unknown(context, grown, dataset) if base is not None and not quick else []
    if unknown:
        grown = None
        notes.append(t("training.note_new_labels", labels=unknown[:5]))
    task_settings = context.task_settings()
    processor = _processor(context, base, grown, task_settings)
    unreadable = processor is not None and _gaps(processor, dataset, notes)
    if unreadable and wanted == AUTO and config.project.base is None:
        base, processor = None, None
    bases = _other_bases(context, base, dataset, notes) if live is None and wanted == AUTO else {}
    stats = rows_of(dataset, processor, data.counts)
    previous = context.folder(grown, "") if grown and method(grown.method).needs_base else None
    going_on = live if previous else None
    fresh, replay = (
        to_learn(catalog, data, going_on, config.update.replay) if going_on else ((), 1.0)
    )
    job = TrainJob(
        method=wanted,
        task=config.project.task,
        data=dataset.folder,
        base=base,
        out=context.store.folder,
        scratch=context.store.folder,
        previous=previous,
        task_settings=task_settings,
        seed=config.training.seed,
        new_rows=fresh,
        replay=replay,
    )
    here = machine.look(context.store.folder, config.training.threads, config.training.memory_limit)
    before = paces(catalog, here.cores)
    training = config.training
    of_itself = str(config.project.base).startswith(f"{context.project}@")
    # A fold would be answered from what came after it, or by a base that has learned it.
    if of_itself or dataset.info.get("split_by") == "time":
        training = training.model_copy(update={"folds": 0})
    chosen = choose(wanted, job, training, settings, stats, here, before, bases)
    notes += chosen.notes
    folded = [
        one.method for one in chosen.stages if one.folds or by_itself(one.method, context.task)
    ]
    answering = catalog.live(catalog.project(context.project).endpoint)
    judged = catalog.model_version(answering.version) if answering else None
    told = tells(context, data, folded, judged)
    planned = {
        "data_version": data.id,
        "task_settings": task_settings,
        "seed": config.training.seed,
        "threads": config.training.threads,
        "machine": here.to_json(),
        "stats": stats.to_json(),
        "notes": [to_kept(note) for note in notes],
        "tells": told,
        "own_base": begun.found,
        "rungs": [
            {
                "method": stage.method,
                "settings": dict(stage.settings),
                **_begun(context, stage, bases.get(stage.method, base), stage.method in bases),
                "previous": live.id if live and previous is not None else None,
                "quick": quick is not None,
                "folds": stage.folds,
                "parent": now.id if now else None,
                "why": t(stage.why_key),
                "why_in": in_each(partial(t, stage.why_key)),
                "seconds": stage.estimate.seconds,
                "estimated": stage.estimate.seconds / before.get(stage.method, 1.0),
                "memory_bytes": stage.estimate.memory_bytes,
                "detail": dict(stage.estimate.detail),
            }
            for stage in chosen.stages
        ],
    }
    more = [*words(told), *_costs(context, planned), *notes]
    return planned, _words(context.task, planned, stats), more


def _quick(context: Context, live: ModelVersion) -> str | None:
    """The method that makes a quick version of `live`, whose vectors it takes; None where none
    can, and where fixed features are fitted anew, on all rows, in seconds anyway."""
    how = method(live.method)
    if not how.needs_base or getattr(how, "folded", False):
        return None
    folder = context.folder(live, "")
    able = (name for name in methods() if getattr(method(name), "interim", False))
    return next((one for one in able if method(one).supports(context.task, folder) is None), None)


def _unknown(context: Context, live: ModelVersion | None, data: Dataset) -> list[str]:
    """The labels of `data` that a network which would go on from `live` has no output for. The few
    steps of an update hardly teach it one (measured, benchmarks.evidence.replay)."""
    if live is None or not method(live.method).needs_base:
        return []
    known = read_card(context.folder(live, "")).schema.labels
    return [label for label in data.schema.labels if label not in known]


def _settled(context: Context, found: dict[str, Any]) -> Context:
    """`context` with the method, the base and the settings that a search found best."""
    context = _with_base(context, found["base"] or context.config.project.base)
    config, name = context.config, found["method"]
    config = config.model_copy(
        update={
            "training": config.training.model_copy(update={"method": name}),
            "task": {**config.task, **found["task"]},
        }
    )
    own = {**context.method_settings[name], **found["settings"]}
    methods = {**context.method_settings, name: own}
    return replace(context, config=config, method_settings=methods)


def _with_base(context: Context, base: str | None) -> Context:
    """`context` as if the settings named this base, or none but the usual one."""
    project = context.config.project.model_copy(update={"base": base, "own_base": False})
    return replace(context, config=context.config.model_copy(update={"project": project}))


def _base(
    context: Context, wanted: str, live: ModelVersion | None, needed: bool
) -> Path | str | None:
    if live is not None:
        recorded = live.config.get("rung", {}).get("base")
        return Path(recorded["folder"]) if isinstance(recorded, dict) else recorded
    if not needed:
        return None
    how = None if wanted == AUTO else method(wanted)
    packed = getattr(how, "packed", False)
    return resolve(
        context.config.project.base,
        context.task,
        context.settings,
        context.packed if packed else context.weights,
        packed=packed,
        default=getattr(how, "default_base", None),
    )


def _other_bases(
    context: Context, base: Path | str | None, dataset: Dataset, notes: list[str]
) -> dict[str, Path]:
    """The bases of methods that cannot begin from `base` and have a usual one of their own, where
    it is here and knows the words of the rows. Where it does not, it finds less than without it
    (docs/decisions/language-models.md)."""
    task, found = context.task, {}
    for name in methods():
        usual = getattr(method(name), "default_base", None)
        if usual is None or (isinstance(base, Path) and not method(name).supports(task, base)):
            continue
        folder = resolve(None, task, context.settings, default=usual)
        if not isinstance(folder, Path) or method(name).supports(task, folder) is not None:
            continue
        share_of = getattr(task.counter(folder, context.task_settings()), "unknown_share", None)
        sample = [task.readable(item) for item in dataset.items("train")[:_SAMPLE]]
        share = share_of(sample) if share_of else 0.0
        if share > UNREADABLE:
            said = f"{100 * share:.0f}"
            notes.append(t("pipeline.base_unread", method=name, base=usual, share=said))
        else:
            found[name] = folder
    return found


def _processor(
    context: Context,
    base: Path | str | None,
    live: ModelVersion | None,
    task_settings: dict[str, Any],
) -> Processor | None:
    folder = base
    if live is not None and method(live.method).needs_base:
        folder = context.folder(live, "")
        inner = folder / "encoder"
        folder = inner if inner.is_dir() else folder
    return context.task.counter(folder, task_settings) if isinstance(folder, Path) else None


def _gaps(processor: Processor, dataset: Dataset, notes: list[str]) -> bool:
    """Whether the base cannot read the rows; says so either way when much is unknown."""
    sample = list(dataset.items("train")[:_SAMPLE])
    folded_of = getattr(processor, "folded_share", None)
    if folded_of is not None and (folded := folded_of(sample)):
        notes.append(t("pipeline.folded", share=f"{100 * folded:.3g}"))
    share_of = getattr(processor, "unknown_share", None)
    if share_of is None:
        return False
    share = share_of(sample)
    if share > 0.05:
        notes.append(t("pipeline.unknown_tokens", share=f"{100 * share:.0f}"))
    return bool(share > UNREADABLE)


def rows_of(dataset: Dataset, processor: Processor | None, counts: Any) -> DataStats:
    """What planning knows of the rows of `dataset`, read by `processor`; `counts` are those of each
    target by split."""
    encoded = []
    if processor is not None:
        encoded = processor.encode(list(dataset.items("train")[:_SAMPLE]))
    costs = [row.cost for item in encoded for row in item.rows]
    family = tasks.of(dataset.schema).family
    targets = dataset.values("label", "train")
    return DataStats(
        train=dataset.size("train"),
        validation=dataset.size("validation"),
        test=dataset.size("test"),
        labels=dict(counts.get("train", {})),
        mean_cost=sum(costs) / len(encoded) if encoded else 0.0,
        max_cost=max(costs, default=0),
        records=sum(one is not None and family.record(one) is not None for one in targets),
    )


def _begun(
    context: Context, stage: PlannedStage, base: Path | str | None, other: bool
) -> dict[str, Any]:
    """The base that a stage begins from, and its name; `other` than what the settings name."""
    if not begins_with_base(stage.method, stage.settings):
        return {"base": None, "base_name": None}
    usual = getattr(method(stage.method), "default_base", context.task.default_base)
    named = None if other else context.config.project.base
    return {"base": _recorded(base), "base_name": named or usual}


def _recorded(base: Path | str | None) -> Any:
    return {"folder": str(base)} if isinstance(base, Path) else base


def _words(task: TaskBase, planned: dict[str, Any], stats: DataStats) -> list[str]:
    """The plan as people read it: rows, maximum length, and each stage with its cost."""
    lines = [
        t(
            "pipeline.planned_rows",
            train=stats.train,
            validation=stats.validation,
            test=stats.test,
        )
    ]
    usual = task.Settings().model_dump()
    changed = [
        f"{name} {value}"
        for name, value in planned["task_settings"].items()
        if isinstance(value, str | int | float) and value != usual.get(name)
    ]
    if changed:
        lines[0] += t("pipeline.planned_settings", settings=changed)
    for stage in planned["rungs"]:
        epochs = stage["settings"].get("epochs")
        key = "pipeline.planned_epochs" if epochs else "pipeline.planned_stage"
        lines.append(
            t(
                key,
                method=stage["method"],
                why=stage["why"],
                epochs=epochs,
                time=about(stage["seconds"]),
                memory=f"{stage['memory_bytes'] / 2**30:.1f}",
            )
        )
    return lines


def _costs(context: Context, planned: dict[str, Any]) -> list[str]:
    """What the stages that count their operations cost: tokens, operations, hours, money."""
    serving = context.config.serving
    lines = []
    for stage in planned["rungs"]:
        detail, hours = stage["detail"], stage["seconds"] / 3600
        if "flops" not in detail:
            continue
        lines.append(
            t(
                "pipeline.planned_tokens",
                method=stage["method"],
                parameters=f"{detail['parameters'] / 1e6:.1f}",
                tokens=int(detail["tokens"]),
                flops=f"{detail['flops']:.1e}",
                hours=f"{hours:.2g}",
                money=f"{hours * serving.machine_per_hour:.2f}",
                currency=serving.currency,
            )
        )
    return lines
