"""Networks that answer at once, as OpenVINO models in float32, bfloat16 and eight bits."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from feilun.compression.base import Export
from feilun.engines._features import FEATURES
from feilun.engines.array import STACKED
from feilun.engines.card import Card
from feilun.engines.linear import WEIGHTS
from feilun.messages import t
from feilun.types import Item

__all__ = ["FORMAT", "ROWS", "SOURCES", "VARIANTS", "export", "unable"]

SOURCES = ("head", "transformers")
FORMAT = "openvino"
VARIANTS = ("int8", "bf16", "fp32")
ROWS = 1000

_CONVERTED = 0.25  # of the time that all takes


def unable(version: Path, card: Card) -> str | None:
    """None: what cannot be converted is an error."""
    return None


def export(job: Export) -> tuple[list[str], list[str]]:
    """float32, and what the settings name. Calibration sees training rows alone. Raises
    `EnvironmentProblem` when the version cannot be converted."""
    from feilun.compression.convert import convert, processor_of, write_variant
    from feilun.engines.openvino import openvino

    job.tick(0.0, t("compression.converting"))
    processor = processor_of(job.version, job.card)
    model = convert(job.version, job.card)
    write_variant(model, job.out / "fp32", job.card, processor, "fp32")
    job.tick(_CONVERTED, t("compression.converting"))
    names, skipped = ["fp32"], []
    for name in job.settings.variants:
        if name in names or name not in VARIANTS:
            continue
        if name == "bf16":
            able = openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
            if "BF16" not in able:
                skipped.append(t("compression.no_bf16"))
                continue
            write_variant(model, job.out / name, job.card, processor, name)
        else:
            from feilun.compression.quantize import clamps, quantize

            items: Sequence[Item] = ()
            note = t("compression.weights_only")
            if not clamps():
                items = _spread(job.dataset.items("train"), job.settings.calibration_rows)
                note = t("compression.quantizing", rows=len(items))

            def tick(share: float, note: str = note) -> None:
                job.tick(_CONVERTED + share * (1 - _CONVERTED), note)

            tick(0.0)
            small = quantize(model, processor, items, tick)
            write_variant(small, job.out / name, job.card, processor, name)
        names.append(name)
    if job.card.extra.get(STACKED):
        for variant in names:
            for file in (WEIGHTS, FEATURES):
                if (job.version / file).is_file():
                    shutil.copyfile(job.version / file, job.out / variant / file)
    return names, skipped


def _spread(items: Sequence[Item], count: int) -> list[Item]:
    places = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[place] for place in places.tolist()]
