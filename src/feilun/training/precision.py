"""What the processor can do: how many cores there are, and whether bfloat16 is faster."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from statistics import median
from time import perf_counter
from typing import NamedTuple

import numpy as np

__all__ = ["Speeds", "bf16_gain", "cores", "prefers_bf16", "speeds"]

_WORTH = 1.2  # what bfloat16 must gain to be worth its rounding
_SHAPE = (1024, 768)  # of the products that are timed; 1.2 billion operations each
_ROUNDS = 21
_ROUNDS_ALONE = 5  # where there is no ratio to measure


def cores() -> int:
    """CPU threads that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # only Linux has it
        return os.cpu_count() or 1


def prefers_bf16() -> bool:
    """Whether this processor computes clearly faster in bfloat16 than in float32."""
    return bf16_gain() > _WORTH


def bf16_gain() -> float:
    """How many times as fast as in float32 matrix products in bfloat16 are here; see `speeds`."""
    measured = speeds()
    return measured.bf16 / measured.fp32


class Speeds(NamedTuple):
    """Operations a second of matrix products on all cores. `bf16` is 0 where the processor has no
    instructions for it; there it is emulated."""

    fp32: float
    bf16: float


@cache
def speeds() -> Speeds:
    """What this processor gives now, measured in alternation.

    Having the instructions does not say that they are faster: with AVX512_BF16 alone bfloat16 was
    seen at .6 times float32, with AMX at several times. OpenVINO is timed, because the base
    installation has it, and torch computes with the same library underneath (numpy's own products
    were seen at a fifth of it). Takes a quarter of a second, once in a process.
    """
    from feilun.engines.openvino import openvino

    core = openvino().Core()
    operations = 2.0 * _SHAPE[0] * _SHAPE[1] ** 2
    single = _product(core, "f32")
    if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return Speeds(operations / median(_seconds(single) for _ in range(_ROUNDS_ALONE)), 0.0)
    half = _product(core, "bf16")
    pairs = [(_seconds(single), _seconds(half)) for _ in range(_ROUNDS)]
    # The ratio of each pair, because what disturbs one disturbs the other.
    gain = median(slow / fast for slow, fast in pairs)
    fp32 = operations / median(slow for slow, _ in pairs)
    return Speeds(fp32, fp32 * gain)


def _product(core: object, precision: str) -> Callable[[], object]:
    """A matrix product that has been shown its shapes already."""
    from openvino import Model
    from openvino import opset13 as ops

    rows, width = _SHAPE
    given = ops.parameter([rows, width], np.float32)
    weights = ops.constant(np.full((width, width), 0.01, np.float32))
    compiled = core.compile_model(  # type: ignore[attr-defined]
        Model([ops.matmul(given, weights, False, False)], [given]),
        "CPU",
        {"INFERENCE_PRECISION_HINT": precision},
    )
    request = compiled.create_infer_request()
    example = np.ones(_SHAPE, np.float32)

    def infer() -> object:
        return request.infer([example], share_inputs=True)

    infer()
    return infer


def _seconds(work: Callable[[], object]) -> float:
    begun = perf_counter()
    work()
    return perf_counter() - begun
