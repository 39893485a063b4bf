"""Builds and measures a version's variants, calibrates the chosen one's probabilities, and keeps
it as an artifact of its own."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from feilun.compression.cascade import Stage
from feilun.compression.compress import Compression
from feilun.compression.compress import compress as build_variants
from feilun.engines.base import open_engine
from feilun.engines.card import read_card, write_card
from feilun.engines.cascade import Level, levels_of, stages_of
from feilun.messages import t
from feilun.pipeline.context import Context
from feilun.pipeline.steps._judged import spared
from feilun.pipeline.steps.upstream import CASCADE, cascade, upstream_of
from feilun.store.records import DataVersion, ModelVersion
from feilun.tasks._questions import questions

__all__ = ["calibrated", "compress"]


def compress(context: Context, version: str, keep: bool = False) -> dict[str, Any]:
    """The chosen variant's name and figures; with `keep` those that it has, if any.

    The operating point is set on the validation rows with the very variant that will answer, and
    travels in its card.
    """
    catalog, artifacts = context.store.catalog, context.store.artifacts
    model = catalog.model_version(version)
    if keep and model.variants and model.artifact() is not None:
        family = context.task.family
        chosen_before = model.variants.get(model.variant or "", {})
        return {
            "variant": model.variant,
            "variants": dict(model.variants),
            **{key: chosen_before[key] for key in family.neutral() if key in chosen_before},
            "reasons": [],
        }
    data = context.data_of(model)
    out = artifacts.new()
    try:
        made = build_variants(
            context.folder(model, ""),
            artifacts.path(data.artifact),
            out,
            context.config.compression,
            context.report,
            cheaper=_cheaper(context, model),
            config=context.config,
        )
        chosen = made.folder(made.chosen)
        point, notes = read_card(chosen).point, [""][:0]
        if made.chosen not in made.settled:
            point, notes = calibrated(context, chosen, data)
        # Variants that were not chosen are measured, not kept: they can be built again.
        kept = artifacts.new()
        shutil.copytree(chosen, kept, dirs_exist_ok=True)
        ref = context.store.publish(kept, "variant").ref
        figures = _figures(made)
        figures[made.chosen] |= {"artifact": ref, **point}
        name, more = _beside_upstream(context, made.chosen, chosen, figures)
    finally:
        shutil.rmtree(out, ignore_errors=True)
    catalog.update_model_version(version, variant=name, variants=figures)
    return {
        "variant": name,
        "variants": figures,
        **point,
        "reasons": [*made.reasons, *notes, *more],
    }


def _cheaper(context: Context, model: ModelVersion) -> list[Stage]:
    """The older versions of the project that could answer in the place of `model`: of each other
    method the newest with the same labels, as it is served; of one that is a cascade its last
    stage."""
    catalog = context.store.catalog
    labels = read_card(context.folder(model, "")).schema.labels
    found: dict[str, Stage] = {}
    for other in catalog.model_versions(context.project):
        figures = other.variants.get(other.variant or "", {})
        usable = other.number < model.number and other.method != model.method and figures
        if not usable or other.pruned or other.state == "failed" or not figures.get("throughput"):
            continue
        folder, rate, name = context.folder(other), float(figures["throughput"]), other.variant
        if inner := stages_of(folder):
            folder, name = inner[-1], levels_of(read_card(folder))[-1].variant
            rate = float(other.variants.get(name or "", {}).get("throughput") or 0.0)
        if read_card(folder).schema.labels == labels and rate:
            level = Level(other.method, other.id, name or "")
            found[other.method] = Stage(level, folder, rate)
    return list(found.values())


def _beside_upstream(
    context: Context, name: str, folder: Path, figures: dict[str, dict[str, Any]]
) -> tuple[str, list[str]]:
    """Where calls are passed on to another server now, the variant that answers the sure ones by
    the variant `name` in `folder` and passes on the rest; what will be served, and what there is
    to say of it."""
    catalog, artifacts = context.store.catalog, context.store.artifacts
    live = catalog.live(catalog.project(context.project).endpoint)
    now = catalog.model_version(live.version) if live is not None else None
    upstream, data = upstream_of(context, now), catalog.latest_data(context.project)
    if upstream is None or data is None:
        return name, []
    out = artifacts.new()
    found = cascade(context, folder, upstream, context.dataset(data), out)
    ref = context.store.publish(out, "variant").ref
    figures[CASCADE] = {**figures[name], "artifact": ref, **found.to_json()}
    said = t(
        "pipeline.cascade_chosen",
        share=round(100 * found.share),
        rows=found.rows,
        threshold=round(found.threshold, 3),
    )
    return CASCADE, [said]


def calibrated(
    context: Context, folder: Path, data: DataVersion
) -> tuple[dict[str, Any], list[str]]:
    """The operating point set on the validation rows of `data`, written into the folder's card, and
    what there is to say of it."""
    family, card = context.task.family, read_card(folder)
    dataset = questions(context.dataset(data))
    items, labels = dataset.items("validation"), card.schema.labels
    truth = family.truth(dataset.values("label", "validation"), labels)
    known = np.flatnonzero(family.known(truth))
    engine = open_engine(folder)
    try:
        known = known[spared(engine, len(known))]
        raw = engine.raw([items[place] for place in known.tolist()])
    finally:
        engine.close()
    point, notes = family.calibrate(raw, truth[known], labels, context.config)
    write_card(folder, replace(card, point=point))
    return point, notes


def _figures(made: Compression) -> dict[str, dict[str, Any]]:
    return {variant.name: variant.to_json() for variant in made.variants}
