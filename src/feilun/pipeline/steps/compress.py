"""Builds and measures a version's variants, calibrates the chosen one's probabilities, and keeps
it as an artifact of its own."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from feilun.compression.compress import Compression
from feilun.compression.compress import compress as build_variants
from feilun.engines.base import open_engine
from feilun.engines.card import read_card, write_card
from feilun.metrics.calibration import fit_temperature
from feilun.pipeline.context import Context
from feilun.store.dataset import Dataset

__all__ = ["compress"]


def compress(context: Context, version: str) -> dict[str, Any]:
    """The chosen variant's name and figures. The temperature is fitted on the validation rows with
    the very variant that will answer, and travels in its card."""
    catalog, artifacts = context.store.catalog, context.store.artifacts
    model = catalog.model_version(version)
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
        temperature = _calibrate(chosen, context.dataset(data))
        # Variants that were not chosen are measured, not kept: they can be built again.
        kept = artifacts.new()
        shutil.copytree(chosen, kept, dirs_exist_ok=True)
        ref = context.store.publish(kept, "variant").ref
    finally:
        shutil.rmtree(out, ignore_errors=True)
    figures = _figures(made)
    figures[made.chosen] |= {"artifact": ref, "temperature": temperature}
    catalog.update_model_version(version, variant=made.chosen, variants=figures)
    return {
        "variant": made.chosen,
        "variants": figures,
        "temperature": temperature,
        "reasons": list(made.reasons),
    }


def _calibrate(folder: Path, dataset: Dataset) -> float:
    """Fits the temperature on the validation rows and writes it into the folder's card."""
    items, truth = dataset.items("validation"), dataset.labels("validation")
    labelled = truth >= 0
    if not labelled.any():
        return 1.0
    engine = open_engine(folder)
    try:
        logits = engine.logits([item for item, keep in zip(items, labelled, strict=True) if keep])
    finally:
        engine.close()
    temperature = fit_temperature(logits, truth[labelled])
    write_card(folder, replace(read_card(folder), temperature=temperature))
    return temperature


def _figures(made: Compression) -> dict[str, dict[str, Any]]:
    return {variant.name: variant.to_json() for variant in made.variants}
