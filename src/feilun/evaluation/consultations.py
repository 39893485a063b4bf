"""How often the frozen test rows have been asked, and what each further question may risk.

Whoever tries often enough finds a candidate that looks good on one set of rows by chance. So the
risk that is allowed shrinks with the attempts on the same live version: attempt k may risk
`RISK` / k². All attempts together then risk at most `RISK` * π²/6, a third, however many there are.
A promotion ends the count: what follows is compared with the new version, which luck has made
look better on these rows and so harder to beat (alpha-investing, Foster and Stine 2008).
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RISK", "Consultations", "risk_limit"]

RISK = 0.2
"""Largest probability of a loss beyond the margin with which a first candidate goes live."""


@dataclass(frozen=True, slots=True)
class Consultations:
    """`total` different versions, this one among them, were judged on most of these test rows;
    `attempts` of them were compared with the version that is live now."""

    total: int = 1
    attempts: int = 1


def risk_limit(attempts: int) -> float:
    """The largest risk with which the candidate of that attempt goes live."""
    return RISK / max(1, attempts) ** 2
