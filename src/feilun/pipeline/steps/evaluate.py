"""Judges a version on the test rows beside the live one and the baseline, and writes the report."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from feilun.engines.base import Engine, open_engine
from feilun.engines.card import parts_of
from feilun.evaluation.evaluate import Folded
from feilun.evaluation.evaluate import evaluate as weigh
from feilun.evaluation.facts import (
    BaseGain,
    DataFacts,
    Facts,
    PeopleFacts,
    TrainingFacts,
    VariantFacts,
)
from feilun.evaluation.forgetting import forgetting as compare_rows
from feilun.evaluation.founder import founder
from feilun.evaluation.gate import Decision, decide
from feilun.evaluation.modalities import sentences
from feilun.evaluation.report import write_report
from feilun.evaluation.result import Evaluation, Forgetting, Role
from feilun.evaluation.robustness import Robustness
from feilun.evaluation.verdict import headline, opening, paragraph
from feilun.evaluation.view_robustness import sentence
from feilun.families.base import Answers
from feilun.messages import in_each
from feilun.metrics.scores import Score
from feilun.pipeline.context import Context
from feilun.pipeline.steps._catalogue import over_one_catalogue
from feilun.pipeline.steps._drawn import answered_out_of_fold, part_out_of_fold
from feilun.pipeline.steps._folded import folded
from feilun.pipeline.steps._history import (
    JUDGED_AGAINST,
    JUDGED_ON,
    columns,
    consultations,
    months,
)
from feilun.pipeline.steps._judged import judged_rows, newest, spared
from feilun.pipeline.steps._other_base import base_gain
from feilun.pipeline.steps._renamed import renamed, since
from feilun.pipeline.steps._rivals import (
    best_artifact,
    called,
    lowest,
    reigns,
    rivals,
    saving,
    since_best,
)
from feilun.pipeline.steps._robust import robustness
from feilun.pipeline.steps._telling import SCATTER, scatter
from feilun.pipeline.steps._unjudged import unjudged
from feilun.pipeline.steps._used import explained, money
from feilun.pipeline.steps.explore import FRONTIER
from feilun.pipeline.steps.upstream import answers_here, passes_on, recall
from feilun.store.best import ARTIFACT, BEST, DECISIONS, GAIN, OVER_BEST, key
from feilun.store.dataset import Dataset
from feilun.store.drawn import DRAWN
from feilun.store.records import REASON_IN, DataVersion, ModelVersion
from feilun.table import to_jsonable
from feilun.tasks._questions import questions
from feilun.training.settings import method, methods
from feilun.types import Item, Progress, Split

__all__ = ["RAW", "evaluate"]

RAW = "logits.safetensors"
"""In the report's folder: the version's raw outputs on the test rows, for later comparisons."""


def evaluate(
    context: Context,
    version: str,
    baseline: str | None = None,
    below: str | None = None,
    decides: bool = False,
    people: Sequence[PeopleFacts] = (),
) -> dict[str, Any]:
    """The gate's decision and the report. `below` is the best stage of the same turn, `baseline`
    its linear baseline (default: the newest linear version). The rows are the newest frozen
    test rows, whatever data the versions were trained on, without those that one of them learned.
    Where it `decides` what goes live, its report is kept with the version beside those of later
    looks. `people` are shown in the report beside the verdict.
    """
    catalog = context.store.catalog
    model = catalog.model_version(version)
    data = newest(context, model)
    others = rivals(context, model, baseline, below)
    unseen = judged_rows(context, data, (model, *others.values()))
    dataset = questions(unseen)
    family = context.task.family
    items, row_ids = dataset.items("test"), dataset.row_ids("test")
    truth = _truth(context, dataset, "test")
    if not family.known(truth).any() and (family.unjudged or _waits(model)):
        return unjudged(context, model, data)
    total = len(others) + 1
    # One engine for all that the candidate is asked: opening one compiles it.
    with closing(open_engine(context.folder(model))) as engine:
        cleanings = since(context, model, data)
        recall(context, engine, dataset)
        here = answers_here(engine, items)

        def asked(given: Sequence[Item]) -> Answers:
            return renamed(family, _answers(model, engine, given), cleanings)

        direct = _answers(model, engine, items)
        unseen_by_it = answered_out_of_fold(context, model, direct, row_ids)
        candidate = renamed(family, unseen_by_it, cleanings)
        references: dict[Role, Answers] = {}
        others_here: dict[str, float] = {}
        for done, (role, other) in enumerate(others.items(), 1):
            context.report(Progress("evaluate", done, total))
            with closing(open_engine(context.folder(other))) as its:
                recall(context, its, dataset)
                over_one_catalogue(engine, its)
                said = _answers(other, its, items, called(model, other))
                said = answered_out_of_fold(context, other, said, row_ids)
                share = answers_here(its, items)
            if share is not None:
                others_here[role] = share
            references[role] = renamed(family, said, since(context, other, data))
        folds: dict[Role, Folded] = {}
        for role, other in others.items():
            if other.id == model.id:  # the same weights: their folds say nothing of variants
                continue
            beside = folded(context, data, (model, candidate), (other, references[role]))
            if beside is not None:
                folds[role] = beside
        train_counts = data.counts.get("train", {})
        if "baseline" not in references and lowest(context, model.method):
            floor = family.constant(train_counts, candidate.labels, len(items))
            if floor is not None:
                references["baseline"] = floor
        validation = _validation(context, engine, asked, dataset)
        parts = {}
        for name, folder in parts_of(context.folder(model)).items():
            with closing(open_engine(folder)) as its:
                said = replace(_answers(model, its, items), name=name)
            unseen_by_part = part_out_of_fold(context, model, folder, said, row_ids)
            if unseen_by_part is not None:
                parts[name] = renamed(family, unseen_by_part, cleanings)
        live = catalog.live(catalog.project(context.project).endpoint)
        found = weigh(
            candidate,
            truth,
            items=items,
            row_ids=row_ids,
            schema=dataset.schema,
            train_counts=train_counts,
            settings=context.config.evaluation,
            references=references,
            validation=validation,
            primary=context.task.primary,
            seed=context.config.training.seed,
            columns=columns(dataset),
            consultations=consultations(
                context, model, dataset, live.version if live else None, since_best(context)
            ),
            grown=_grown(context, model, others.get("live")),
            parts=parts,
            folded=folds,
            drawn=np.array([one == DRAWN for one in dataset.values("source", "test")], bool),
        )
        forgot = _forgotten(context, model, data, dataset, candidate, references)
        found = replace(
            found,
            is_live=reigns(context, model),
            misses=explained(context, engine, found.misses, items, row_ids),
            answered_here=here if passes_on(context, others.get("live")) else None,
            others_here=others_here,
        )
        found = replace(found, saving=saving(context, found, engine, others.get("live"), items))
        given = renamed(family, direct, cleanings)
        robust = robustness(context, model, engine, asked, dataset, given)
        worth = base_gain(context, model, engine, dataset, candidate, truth)
    decision = replace(decide(found, forgetting=forgot), acts=decides)
    context.report(Progress("evaluate", total, total))
    ref = _report(context, model, data, found, decision, forgot, candidate, robust, worth, people)
    _note(context, model, data, found, decision, ref, best_artifact(context))
    return {
        "report": ref,
        "rows": found.rows,
        "data": data.id,
        "learned": unseen.left_out,
        "selected": unseen.selected,
        "promote": decision.promote,
        "verdict": decision.verdict,
        "headline": headline(found, decision),
        "score": opening(found),
        "paragraph": paragraph(found, decision),
        "founder": founder(found, decision, money(context, model)),
        "reasons": decision.sentences(),
        "reasons_in": in_each(decision.sentences),
        "more_rows": decision.more_rows,
        "forgetting": to_jsonable(forgot.to_json()) if forgot else None,
        "robustness": sentence(robust),
        "robustness_in": in_each(lambda: sentence(robust)),
        "modalities": sentences(found),
        "modalities_in": in_each(lambda: sentences(found)),
    }


def _waits(model: ModelVersion) -> bool:
    """Whether its method may answer before any row judges it."""
    return model.method in methods() and getattr(method(model.method), "unjudged", False)


def _answers(model: ModelVersion, engine: Engine, items: Sequence[Item], name: str = "") -> Answers:
    card = engine.card
    return Answers(
        name or model.id, model.method, card.schema.labels, engine.raw(items), card.point
    )


def _grown(context: Context, model: ModelVersion, live: ModelVersion | None) -> float:
    """By how many times the training rows have become more since those of the live version."""
    if live is None or live.data_version is None:
        return 1.0
    now, then = (
        sum(context.data_of(one).counts.get("train", {}).values()) for one in (model, live)
    )
    return now / then if then else 1.0


def _truth(context: Context, dataset: Dataset, split: Split) -> np.ndarray:
    return context.task.family.truth(dataset.values("label", split), dataset.schema.labels)


def _validation(
    context: Context,
    engine: Engine,
    asked: Callable[[Sequence[Item]], Answers],
    dataset: Dataset,
) -> tuple[np.ndarray, np.ndarray] | None:
    items = dataset.items("validation")
    if not len(items):
        return None
    places = spared(engine, len(items))
    truth = _truth(context, dataset, "validation")
    return asked([items[place] for place in places.tolist()]).raw, truth[places]


def _forgotten(
    context: Context,
    model: ModelVersion,
    data: DataVersion,
    dataset: Dataset,
    candidate: Answers,
    references: Mapping[Role, Answers],
) -> Forgetting | None:
    """What an update forgot against the version it grew from; None for a first training."""
    before = next((a for a in references.values() if a.name == model.parent), None)
    grown = context.data_of(model)
    if before is None or grown.parent is None:
        return None
    old = context.dataset(context.store.catalog.data_version(grown.parent))
    return compare_rows(
        before,
        candidate,
        _truth(context, dataset, "test"),
        items=dataset.items("test"),
        row_ids=dataset.row_ids("test"),
        schema=dataset.schema,
        settings=context.config.evaluation,
        old_rows=set(old.row_ids("test")),
        columns={
            **columns(dataset),
            "month": months(context, data, dataset.row_ids("test")),
        },
    )


def _report(
    context: Context,
    model: ModelVersion,
    data: DataVersion,
    found: Evaluation,
    decision: Decision,
    forgot: Forgetting | None,
    candidate: Answers,
    robust: Robustness | None,
    worth: BaseGain | None,
    people: Sequence[PeopleFacts],
) -> str:
    artifacts = context.store.artifacts
    folder = artifacts.new()
    try:
        facts = replace(_facts(context, model, data, found.rows, worth), people=tuple(people))
        write_report(
            found,
            decision,
            folder,
            facts=facts,
            forgetting=forgot,
            money=money(context, model),
            robustness=robust,
        )
        if candidate.raw.dtype != object:
            save_file({"test": np.ascontiguousarray(candidate.raw)}, folder / RAW)
        return context.store.publish(folder, "report").ref
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _facts(
    context: Context, model: ModelVersion, judged: DataVersion, rows: int, worth: BaseGain | None
) -> Facts:
    data = context.data_of(model)
    stage = model.config.get("rung", {})
    base = stage.get("base_name")
    searched = _searched(context, model)
    return Facts(
        search=searched,
        project=context.project,
        created=f"{model.created:%Y-%m-%d}",
        data=DataFacts(
            version=data.id,
            splits=data.counts,
            sources=tuple(source["name"] for source in data.info.get("sources", ())),
            notes=tuple(data.info.get("warnings", ())),
            judged=judged.id,
            judged_rows=rows,
        ),
        training=TrainingFacts(
            method=model.method,
            base=str(base) if base else None,
            figures=model.metrics.get("training", {}),
            settings=stage.get("settings", {}),
            base_gain=worth,
        ),
        variants=tuple(
            VariantFacts(
                name=name,
                accuracy=_score(figures.get(f"{context.task.primary}_score")),
                loss=figures.get("loss"),
                flips=figures.get("flips"),
                sure_flips=figures.get("faults"),
                milliseconds=figures.get("latency_ms"),
                per_second=figures.get("throughput"),
                size=figures.get("bytes"),
                chosen=name == model.variant,
                note=figures.get("note", ""),
            )
            for name, figures in model.variants.items()
        ),
        frontier=model.metrics.get(FRONTIER),
    )


def _searched(context: Context, model: ModelVersion) -> Mapping[str, Any] | None:
    """What the search found that `model` is the winner of; None where it comes from none."""
    if model.run_id is None:
        return None
    found = context.store.catalog.finished_step(model.run_id, "search")
    if found is None or found.result["winner"]["method"] != model.method:
        return None
    return found.result


def _score(raw: Any) -> Score | None:
    return Score(raw["value"], raw["low"], raw["high"]) if isinstance(raw, dict) else None


def _note(
    context: Context,
    model: ModelVersion,
    data: DataVersion,
    found: Evaluation,
    decision: Decision,
    ref: str,
    best: str | None,
) -> None:
    """Keeps the scores with the version; a refused candidate keeps why."""
    metrics = {
        **model.metrics,
        "primary": found.primary,
        "rows": found.rows,
        JUDGED_ON: data.id,
        "test": to_jsonable(found.metrics),
        "validation": to_jsonable(found.validation),
        "verdict": decision.verdict,
        "consultations": found.consultations.total,
        SCATTER: scatter(found),
    }
    live = found.against("live")
    earlier = list(model.metrics.get(DECISIONS, ()))
    if decision.acts and not any(one["report"] == ref for one in earlier):
        made = {"report": ref, "promote": decision.promote, JUDGED_ON: data.id}
        made |= {ARTIFACT: key(model.artifact()), BEST: best, JUDGED_AGAINST: None}
        beside = {}
        if live is not None:
            over = found.against("best") or live
            beside = {
                JUDGED_AGAINST: live.name,
                GAIN: live.expected_gain,
                OVER_BEST: live.gains and over.gains,
            }
        metrics[DECISIONS] = [*earlier, made | beside]
    if live is not None:
        metrics[JUDGED_AGAINST] = live.name
        metrics["apart"] = (live.won + live.lost) / live.rows
    if live is not None and found.answered_here is not None:
        gain = live.evidence
        metrics["upstream"] = {
            "here": found.answered_here,
            "gain": gain.value,
            "low": gain.low,
            "high": gain.high,
            "margin": found.margin,
            "rows": live.rows,
        }
    catalog = context.store.catalog
    refused = not decision.promote and model.state == "candidate"
    if refused:
        metrics[REASON_IN] = in_each(lambda: " ".join(decision.sentences()))
    catalog.update_model_version(model.id, metrics=metrics, report=ref)
    if refused:
        catalog.update_model_version(
            model.id, state="refused", reason=" ".join(decision.sentences())
        )
