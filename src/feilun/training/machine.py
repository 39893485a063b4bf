"""What this machine can give to training: cores, free memory and disk, measured speed."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from feilun.training import precision
from feilun.training.job import Machine

__all__ = ["look"]


def look(folder: Path, threads: int | None = None, memory_limit: float | None = None) -> Machine:
    """This machine now. `folder` is where scratch files will lie; `memory_limit` in GiB and
    `threads` are what the project allows. Takes a quarter of a second of matrix products, once
    in a process."""
    import psutil

    available = int(psutil.virtual_memory().available)
    memory = available if memory_limit is None else min(available, int(memory_limit * 2**30))
    cores = precision.cores()
    used = min(threads or cores, cores)
    measured = precision.speeds()
    half = precision.prefers_bf16()
    return Machine(
        cores=used,
        memory_bytes=memory,
        disk_bytes=shutil.disk_usage(_existing(folder)).free,
        flops=(measured.bf16 if half else measured.fp32) * used / cores,
        flops_fp32=measured.fp32 * used / cores,
        precision="bf16" if half else "fp32",
        has_torch=importlib.util.find_spec("torch") is not None
        and importlib.util.find_spec("transformers") is not None,
    )


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder
