"""For what people reject an answer in words."""

from __future__ import annotations

__all__ = ["FAULTS"]

FAULTS = ("wrong_fact", "incomplete", "wording", "harmful", "other")
"""A fact is wrong, something is missing, not in the house's words, harmful, or else."""
