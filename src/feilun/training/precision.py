"""What the processor can do: how many cores there are, and whether bfloat16 is fast."""

from __future__ import annotations

import os
from functools import cache

__all__ = ["cores", "has_bf16"]


def cores() -> int:
    """CPU threads that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # only Linux has it
        return os.cpu_count() or 1


@cache
def has_bf16() -> bool:
    """Whether matrix products in bfloat16 run in hardware (AVX512_BF16, AMX, and their like).

    Elsewhere they are emulated and slower than float32. OpenVINO is asked, because the base
    installation has it and torch keeps this to itself.
    """
    from feilun.engines.openvino import openvino

    return "BF16" in openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
