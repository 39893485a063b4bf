"""What the processor can do: how many cores there are, and whether bfloat16 is faster."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from time import perf_counter

import numpy as np

__all__ = ["bf16_gain", "cores", "prefers_bf16"]

_WORTH = 1.2  # what bfloat16 must gain to be worth its rounding
_SHAPE = (1024, 768)  # of the products that are timed; 1.2 billion operations each
_ROUNDS = 5


def cores() -> int:
    """CPU threads that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # only Linux has it
        return os.cpu_count() or 1


def prefers_bf16() -> bool:
    """Whether this processor computes clearly faster in bfloat16 than in float32."""
    return bf16_gain() > _WORTH


@cache
def bf16_gain() -> float:
    """How many times as fast as in float32 matrix products in bfloat16 are here, measured.

    Having the instructions does not say so: with AVX512_BF16 alone they were seen at 0.6 times
    float32, with AMX at several times. 0 where the processor has none; there they are emulated.
    OpenVINO is timed, because the base installation has it, and torch computes with the same
    library underneath. Takes a quarter of a second, once in a process.
    """
    from feilun.engines.openvino import openvino

    core = openvino().Core()
    if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return 0.0
    single, half = _product(core, "f32"), _product(core, "bf16")
    ratios = sorted(_seconds(single) / _seconds(half) for _ in range(_ROUNDS))
    return ratios[_ROUNDS // 2]


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
