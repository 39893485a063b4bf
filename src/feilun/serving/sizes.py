"""Amounts of memory as people write them."""

from __future__ import annotations

import re

from feilun.errors import UsageError

__all__ = ["parse_size"]

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_size(text: str) -> int:
    """Bytes of ``4GB`` (10⁹ each), ``4GiB`` (2³⁰ each), ``4G`` (as GB) or ``4000000000``. Raises
    `UsageError`."""
    found = _SIZE.fullmatch(text)
    size = 0
    if found:
        number, letter, binary = found.groups()
        size = int(float(number) * (1024 if binary else 1000) ** _POWERS[letter.lower()])
    if size <= 0:
        raise UsageError("serving.bad_size", given=text)
    return size
