"""How a model version is named in metrics."""

from __future__ import annotations

__all__ = ["VERSION", "named"]

VERSION = ("model", "version")
"""The labels that name a version."""


def named(version: str) -> tuple[str, str]:
    """``reviews@3`` as the labels of a model and its version."""
    model, _, number = version.partition("@")
    return model, number
