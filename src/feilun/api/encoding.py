"""JSON of the API's answers."""

from __future__ import annotations

import msgspec

__all__ = ["encode"]

encode = msgspec.json.Encoder().encode
"""UTF-8 of what msgspec can write. Raises `TypeError` for anything else."""
