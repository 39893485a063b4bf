"""Tensors of a safetensors file where they lie on disk: read when they are looked at, and once for
all processes that look."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

__all__ = ["mapped"]

_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip


def mapped(file: Path) -> dict[str, np.ndarray]:
    """The tensors of `file`, not to be written to. Raises `ValueError` and `KeyError` for a file
    that is none, `OSError` where it cannot be read."""
    with file.open("rb") as raw:
        length = int.from_bytes(raw.read(8), "little")
        if not 2 <= length <= file.stat().st_size - 8:
            raise ValueError("no safetensors file")
        head = json.loads(raw.read(length))
    found: dict[str, np.ndarray] = {}
    size = file.stat().st_size - 8 - length
    for name, told in head.items():
        if name == "__metadata__":
            continue
        kind, shape = np.dtype(_TYPES[told["dtype"]]), tuple(map(int, told["shape"]))
        begin, end = told["data_offsets"]
        if not 0 <= begin <= end <= size or end - begin != kind.itemsize * int(np.prod(shape)):
            raise ValueError(f"{name} does not lie in the file")
        if begin == end:
            found[name] = np.zeros(shape, kind)
        else:
            found[name] = np.asarray(np.memmap(file, kind, "r", 8 + length + begin, shape))
    return found
