"""Builds and measures a version's variants, calibrates the chosen one's probabilities, and keeps
it as an artifact of its own."""

from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from feilun.compression.compress import Compression
from feilun.compression.compress import compress as build_variants
from feilun.config import ProjectConfig
from feilun.engines.base import open_engine
from feilun.engines.card import read_card, write_card
from feilun.metrics.calibration import fit_temperature
from feilun.pipeline.context import Context
from feilun.pipeline.steps._rule import set_rule
from feilun.store.dataset import Dataset
from feilun.types import Rule

__all__ = ["compress"]


def compress(context: Context, version: str, keep: bool = False) -> dict[str, Any]:
    """The chosen variant's name and figures; with `keep` those that it has, if any.

    The temperature is fitted on the validation rows with the very variant that will answer, and
    travels in its card.
    """
    catalog, artifacts = context.store.catalog, context.store.artifacts
    model = catalog.model_version(version)
    if keep and model.variants and model.artifact() is not None:
        chosen_before = model.variants.get(model.variant or "", {})
        return {
            "variant": model.variant,
            "variants": dict(model.variants),
            "temperature": chosen_before.get("temperature", 1.0),
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
        temperature, rule, notes = _calibrate(chosen, context.dataset(data), context.config)
        # Variants that were not chosen are measured, not kept: they can be built again.
        kept = artifacts.new()
        shutil.copytree(chosen, kept, dirs_exist_ok=True)
        ref = context.store.publish(kept, "variant").ref
    finally:
        shutil.rmtree(out, ignore_errors=True)
    figures = _figures(made)
    figures[made.chosen] |= {"artifact": ref, "temperature": temperature}
    if not rule.plain:
        figures[made.chosen]["rule"] = asdict(rule)
    catalog.update_model_version(version, variant=made.chosen, variants=figures)
    return {
        "variant": made.chosen,
        "variants": figures,
        "temperature": temperature,
        "reasons": [*made.reasons, *notes],
    }


def _calibrate(
    folder: Path, dataset: Dataset, config: ProjectConfig
) -> tuple[float, Rule, list[str]]:
    """Fits the temperature and sets the rule on the validation rows, writes both into the folder's
    card, and says what the rule is."""
    items, truth = dataset.items("validation"), dataset.labels("validation")
    labelled, card = truth >= 0, read_card(folder)
    logits, temperature = np.zeros((0, len(card.schema.labels))), 1.0
    if labelled.any():
        engine = open_engine(folder)
        try:
            kept = [item for item, keep in zip(items, labelled, strict=True) if keep]
            logits = engine.logits(kept)
        finally:
            engine.close()
        temperature = fit_temperature(logits, truth[labelled])
    rule, notes = set_rule(config, card.schema.labels, logits, truth[labelled], temperature)
    write_card(folder, replace(card, temperature=temperature, rule=rule))
    return temperature, rule, notes


def _figures(made: Compression) -> dict[str, dict[str, Any]]:
    return {variant.name: variant.to_json() for variant in made.variants}
