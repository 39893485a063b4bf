"""Builds and measures a version's variants, calibrates the chosen one's probabilities, and keeps
it as an artifact of its own."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from feilun.compression.compress import Compression
from feilun.compression.compress import compress as build_variants
from feilun.engines.base import open_engine
from feilun.engines.card import read_card, write_card
from feilun.pipeline.context import Context
from feilun.pipeline.steps._judged import spared
from feilun.store.dataset import Dataset
from feilun.tasks._questions import questions

__all__ = ["compress"]


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
        )
        chosen = made.folder(made.chosen)
        point, notes = _calibrate(context, chosen, questions(context.dataset(data)))
        # Variants that were not chosen are measured, not kept: they can be built again.
        kept = artifacts.new()
        shutil.copytree(chosen, kept, dirs_exist_ok=True)
        ref = context.store.publish(kept, "variant").ref
    finally:
        shutil.rmtree(out, ignore_errors=True)
    figures = _figures(made)
    figures[made.chosen] |= {"artifact": ref, **point}
    catalog.update_model_version(version, variant=made.chosen, variants=figures)
    return {
        "variant": made.chosen,
        "variants": figures,
        **point,
        "reasons": [*made.reasons, *notes],
    }


def _calibrate(
    context: Context, folder: Path, dataset: Dataset
) -> tuple[dict[str, Any], list[str]]:
    """Sets the operating point on the validation rows, writes it into the folder's card, and says
    what there is to say of it."""
    family, card = context.task.family, read_card(folder)
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
