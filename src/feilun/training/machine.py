"""What this machine can give to training: cores, free memory and disk, measured speed."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from time import perf_counter

from feilun.training import precision
from feilun.training.job import Machine

__all__ = ["look"]

_GAIN = 3.0  # of bfloat16 over float32 at most: training is not matrix products alone


def look(folder: Path, threads: int | None = None, memory_limit: float | None = None) -> Machine:
    """This machine now. `folder` is where scratch files will lie; `memory_limit` in GiB and
    `threads` are what the project allows. Takes about half a second of matrix products."""
    import psutil

    available = int(psutil.virtual_memory().available)
    memory = available if memory_limit is None else min(available, int(memory_limit * 2**30))
    cores = precision.cores()
    used = min(threads or cores, cores)
    half = precision.prefers_bf16()
    gain = min(precision.bf16_gain(), _GAIN) if half else 1.0
    flops = _flops() * used / cores * gain
    return Machine(
        cores=used,
        memory_bytes=memory,
        disk_bytes=shutil.disk_usage(_existing(folder)).free,
        flops=flops,
        precision="bf16" if half else "fp32",
        has_torch=importlib.util.find_spec("torch") is not None
        and importlib.util.find_spec("transformers") is not None,
    )


def _flops() -> float:
    """Operations a second of float32 matrix products on all cores, as fast as they come now."""
    import numpy as np

    left = np.ones((1024, 768), np.float32)
    right = np.ones((768, 768), np.float32)
    rates: list[float] = []
    start = perf_counter()
    while perf_counter() - start < 0.4 or len(rates) < 3:
        begun = perf_counter()
        _ = left @ right
        rates.append(2 * 1024 * 768 * 768 / (perf_counter() - begun))
    return sorted(rates)[len(rates) // 2]


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder
