"""Inputs that come back with one answer after the other, such as users who take items: those who
say too little, those who can hardly be persons, and answers that hardly anybody gave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from statistics import median

from feilun.data.audit.finding import EXAMPLES, Draft, Finding, Severity
from feilun.data.outcome import Notice
from feilun.store.dataset import INPUT, Dataset

__all__ = ["returning"]

_FEW = 20
"""Inputs below which nothing can be learnt of what goes together."""
_HEAVY = 500
_TIMES = 20
"""How many times the median of those that came back an input must have, and `_HEAVY` at least, to
be no person."""
_RARE = 3
_SINGLE_WARN, _SINGLE, _RARE_SHARE, _HEAVY_WARN = 0.5, 0.1, 0.5, 0.1


def returning(data: Dataset, basis: Notice) -> list[Draft]:
    """From one pass over the labelled rows of `data`."""
    rows: Counter[tuple[object, ...]] = Counter()
    first: dict[tuple[object, ...], int] = {}
    targets: Counter[str] = Counter()
    shown: dict[str, int] = {}
    place = 0
    for batch in data.batches(["label", *(INPUT + name for name in data.columns)]):
        for label, *cells in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            if label:
                rows[tuple(cells)] += 1
                first.setdefault(tuple(cells), place)
                targets[label] += 1
                shown.setdefault(label, place)
            place += 1
    if not rows:
        return []
    return [
        *_few(rows, basis),
        *_single(rows, first, basis),
        *_heavy(rows, first, basis),
        *_rare(targets, shown, basis),
    ]


def _few(rows: Mapping[tuple[object, ...], int], basis: Notice) -> list[Draft]:
    if len(rows) >= _FEW:
        return []
    return [Draft(Finding("few_askers", "bad", len(rows), _FEW, basis))]


def _single(
    rows: Mapping[tuple[object, ...], int], first: Mapping[tuple[object, ...], int], basis: Notice
) -> list[Draft]:
    alone = [asker for asker, count in rows.items() if count == 1]
    share = len(alone) / len(rows)
    if share < _SINGLE:
        return []
    severity: Severity = "warn" if share >= _SINGLE_WARN else "info"
    finding = Finding("single_askers", severity, len(alone), len(rows), basis)
    return [Draft(finding, [(first[asker],) for asker in alone[:EXAMPLES]])]


def _heavy(
    rows: Mapping[tuple[object, ...], int], first: Mapping[tuple[object, ...], int], basis: Notice
) -> list[Draft]:
    back = [count for count in rows.values() if count > 1]
    least = max(_HEAVY, _TIMES * median(back)) if back else _HEAVY
    heavy = sorted((-count, str(asker[0]), asker) for asker, count in rows.items() if count > least)
    if not heavy:
        return []
    held, total = -sum(count for count, *_ in heavy), sum(rows.values())
    params = {
        "askers": [f"{name[:40]} ({-count:,})" for count, name, _ in heavy[:10]],
        "part": held / total,
    }
    severity: Severity = "warn" if held >= _HEAVY_WARN * total else "info"
    finding = Finding("heavy_askers", severity, len(heavy), len(rows), basis, params)
    return [Draft(finding, [(first[asker],) for *_, asker in heavy[:EXAMPLES]])]


def _rare(targets: Mapping[str, int], shown: Mapping[str, int], basis: Notice) -> list[Draft]:
    rare = [label for label, count in targets.items() if count < _RARE]
    if len(rare) < _RARE_SHARE * len(targets):
        return []
    finding = Finding("rare_items", "info", len(rare), len(targets), basis, {"limit": _RARE})
    return [Draft(finding, [(shown[label],) for label in rare[:EXAMPLES]])]
