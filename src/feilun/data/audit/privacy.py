"""Personal data in the texts: counted by kind."""

from __future__ import annotations

import numpy as np

from feilun.data.audit.finding import EXAMPLES, Draft, Finding, Severity, by_cleaning
from feilun.data.audit.scan import Scan
from feilun.data.outcome import Notice
from feilun.data.personal import KINDS

__all__ = ["personal"]

_GRAVE = frozenset({"id", "bank"})


def personal(scan: Scan, basis: Notice, clean: str) -> list[Draft]:
    """Rows with something of a person in them."""
    rows = np.flatnonzero(scan.personal)
    if not len(rows):
        return []
    counts = {kind: int(((scan.personal >> place) & 1).sum()) for place, kind in enumerate(KINDS)}
    counts = {kind: number for kind, number in counts.items() if number}
    # One of each kind is shown, the gravest first.
    order = sorted(counts, key=lambda kind: (kind not in _GRAVE, KINDS.index(kind)))
    places = [int(np.flatnonzero((scan.personal >> KINDS.index(kind)) & 1)[0]) for kind in order]
    places = list(dict.fromkeys([*places, *rows[:EXAMPLES].tolist()]))[:EXAMPLES]
    severity: Severity = "bad" if _GRAVE & set(counts) else "warn"
    finding = Finding(
        "personal",
        severity,
        len(rows),
        len(scan),
        basis,
        {"kinds": [f"{kind} {number:,}" for kind, number in counts.items()]},
        (),
        None,
        *by_cleaning(clean, mask=list(counts)),
    )
    return [Draft(finding, [(place,) for place in places])]
