"""A package that seems not to be installed, while all others are there."""

from __future__ import annotations

import importlib.util

import pytest

__all__ = ["hide"]


def hide(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """For code that looks with ``importlib.util.find_spec``. Hiding all packages would reach
    transformers, which goes without torch for good where it is imported meanwhile."""
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda name, *more: None if name == package else found(name, *more),
    )
