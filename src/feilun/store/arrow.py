"""Arrow arrays out of Python lists and numpy, made from their buffers.

`pyarrow.array` asks pandas whether it knows the values, and so imports pandas wherever that is
installed: the better part of a second and 50 MiB for nothing. These functions do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

__all__ = ["floats", "numbers", "strings"]


def strings(values: Sequence[str | None]) -> Any:
    """A `pyarrow.StringArray`; halves of surrogate pairs, which UTF-8 does not have, become ``?``.
    Raises `TypeError` when a value is neither text nor None."""
    import pyarrow as pa

    try:
        encoded = [b"" if value is None else value.encode("utf-8", "replace") for value in values]
    except AttributeError:
        wrong = next(v for v in cast(Sequence[Any], values) if not isinstance(v, str | None))
        raise TypeError(f"expected text, not {type(wrong).__name__}") from None
    ends = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)), out=ends[1:])
    if ends[-1] >= 1 << 31:
        raise ValueError("more than 2 GiB of text in one batch")
    data = [_mask(values), pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(encoded), data)


def floats(values: Sequence[float | None]) -> Any:
    """A `pyarrow.DoubleArray`."""
    import pyarrow as pa

    held = np.array([0.0 if value is None else value for value in values], np.float64)
    return pa.Array.from_buffers(pa.float64(), len(held), [_mask(values), pa.py_buffer(held)])


def numbers(values: np.ndarray) -> Any:
    """A `pyarrow.Int64Array` of integers."""
    import pyarrow as pa

    held = np.ascontiguousarray(values, np.int64)
    return pa.Array.from_buffers(pa.int64(), len(held), [None, pa.py_buffer(held)])


def _mask(values: Sequence[Any]) -> Any:
    """The bits that tell values from None; None when all are there."""
    import pyarrow as pa

    if None not in values:
        return None
    there = np.fromiter((value is not None for value in values), bool, len(values))
    return pa.py_buffer(np.packbits(there, bitorder="little"))
