"""What one call may carry. Data that exceeds these is refused, never cut silently."""

from __future__ import annotations

__all__ = ["MAX_BODY", "MAX_EXPLAINED", "MAX_FOUND", "MAX_RERANKED", "MAX_TEXT"]

MAX_BODY = 32 * 1024 * 1024
"""Bytes of one request's body."""

MAX_TEXT = 1_000_000
"""Characters of one text."""

MAX_EXPLAINED = 16
"""Inputs of a call that wants explanations: each may ask the model up to 65 times."""

MAX_RERANKED = 1000
"""Documents that a call may bring to be ranked."""

MAX_FOUND = 1000
"""Documents of the catalogue that a call may ask for."""
