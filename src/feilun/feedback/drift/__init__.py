"""Drift: whether inputs and answers are still like those that the live version was made from."""

from __future__ import annotations

from feilun.feedback.drift.measure import Side, measure
from feilun.feedback.drift.result import SIGNALS, Drift, DriftRow, Signal

__all__ = ["SIGNALS", "Drift", "DriftRow", "Side", "Signal", "measure"]
