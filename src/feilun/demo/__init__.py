"""The demonstration: the whole wheel on real rows, as a story that one can watch."""

from __future__ import annotations

from feilun.demo.story import tell

__all__ = ["tell"]
