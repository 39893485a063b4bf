"""Addresses of pages."""

from __future__ import annotations

from urllib.parse import quote

__all__ = ["path"]


def path(*parts: str) -> str:
    """A path of these parts, each quoted: ``/p/评价/data``."""
    return "/" + "/".join(quote(part, safe="@:") for part in parts)
