"""Weights in eight bits, and activations where the processor computes in them, by NNCF."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from feilun.compression._quiet import quiet
from feilun.engines.batching import BATCH, MULTIPLE
from feilun.engines.openvino import openvino
from feilun.errors import EnvironmentProblem
from feilun.tasks.base import Arrays, Encoded, Processor
from feilun.types import Item

__all__ = ["clamps", "quantize"]

_PASSES = 3  # over the calibration rows: smoothing, ranges, bias
_ATTENTION = {"ScaledDotProductAttention", "Softmax"}
_CPU = Path("/proc/cpuinfo")
_EXACT = {"avx512_vnni", "avx_vnni", "amx_int8"}
"""Flags of x86 processors that add products of eight bits in 32 bits."""


def quantize(
    model: Any, processor: Processor, items: Sequence[Item], tick: Callable[[float], None]
) -> Any:
    """An int8 model from a float `model`, which is not changed.

    Where the processor `clamps`, only the weights are in eight bits, and `items` are not looked at.
    Else `items` calibrate the activations: they are seen in batches of similar length, as they will
    be served. `tick` hears the share that is done. Raises `EnvironmentProblem` where NNCF is not
    installed.
    """
    openvino()
    try:
        import nncf
    except ImportError:
        raise EnvironmentProblem("compression.needs_nncf") from None

    if clamps():
        # Products of eight bits overflow in 16, and take twice the time of those of float32.
        with quiet():
            return nncf.compress_weights(model.clone(), mode=nncf.CompressWeightsMode.INT8_ASYM)
    batches = _batches([row for item in processor.encode(items) for row in item.rows])
    seen = 0

    def collate(batch: Sequence[Encoded]) -> Arrays:
        nonlocal seen
        seen += 1
        tick(min(1.0, seen / (_PASSES * len(batches))))
        return processor.collate(batch, MULTIPLE)

    attends = any(node.get_type_name() in _ATTENTION for node in model.get_ops())
    with quiet(), np.errstate(all="ignore"):
        return nncf.quantize(
            model.clone(),
            nncf.Dataset(batches, collate),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(batches),
            fast_bias_correction=True,
            model_type=nncf.ModelType.TRANSFORMER if attends else None,
        )


def clamps(cpu: Path = _CPU, architecture: str | None = None) -> bool:
    """Whether this processor adds products of eight bits in 16 bits: an x86 one whose flags, as
    Linux tells them in `cpu`, name no instruction of 32 bits. False where nobody tells."""
    if (architecture or platform.machine()).lower() not in ("x86_64", "amd64"):
        return False
    try:
        lines = cpu.read_text("utf-8").splitlines()
    except OSError:
        return False
    flags = next((line.split(":", 1)[1].split() for line in lines if line.startswith("flags")), [])
    return bool(flags) and not _EXACT & set(flags)


def _batches(encoded: Sequence[Encoded]) -> list[list[Encoded]]:
    order = sorted(range(len(encoded)), key=lambda place: encoded[place].cost)
    return [
        [encoded[place] for place in order[start : start + BATCH]]
        for start in range(0, len(order), BATCH)
    ]
