"""More than one language in one data set, told by the script."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from feilun.data.audit.finding import EXAMPLES, Draft, Finding, Severity
from feilun.data.audit.scan import Scan
from feilun.data.audit.scripts import NAMES
from feilun.data.outcome import Notice

__all__ = ["languages"]

_WRITTEN = 2
"""From this number on a script is one of letters."""
_SHARE = 0.01
_JUDGED = 30


def languages(scan: Scan, basis: Notice, right: Mapping[int, np.ndarray] | None) -> list[Draft]:
    """Scripts beside the most frequent one that a hundredth of the rows are in. `right` tells for
    each script how the linear baseline's answers on the sample were, bool: what the minority
    pays."""
    if not scan.text:
        return []
    counts = np.bincount(scan.scripts, minlength=len(NAMES))
    counts[:_WRITTEN] = 0
    total = int(counts.sum())
    main = int(counts.argmax())
    others = [n for n in np.argsort(-counts).tolist() if n != main and counts[n] > _SHARE * total]
    if not others or not total:
        return []
    count = int(counts[others].sum())
    shares = {NAMES[number]: round(counts[number] / total, 4) for number in (main, *others)}
    rows = [int(np.flatnonzero(scan.scripts == number)[0]) for number in others]
    if len(rows) < EXAMPLES:
        rows = np.flatnonzero(np.isin(scan.scripts, others))[:EXAMPLES].tolist()
    severity: Severity = "warn" if count > 0.05 * total else "info"
    finding = Finding(
        "languages",
        severity,
        count,
        total,
        basis,
        {"main": NAMES[main], "shares": [f"{name} {part:.1%}" for name, part in shares.items()]},
        (),
        _cost(main, others, right),
    )
    return [Draft(finding, [(row,) for row in rows[:EXAMPLES]])]


def _cost(main: int, others: list[int], right: Mapping[int, np.ndarray] | None) -> Notice | None:
    if not right or main not in right:
        return None
    parts = [right[number] for number in others if number in right]
    minority = np.concatenate(parts) if parts else np.zeros(0, bool)
    if len(minority) < _JUDGED or len(right[main]) < _JUDGED:
        return None
    return Notice(
        "audit.cost_languages",
        {
            "main": NAMES[main],
            "on_main": float(right[main].mean()),
            "on_others": float(minority.mean()),
            "rows": len(minority),
        },
    )
