"""The labels themselves: names that look like one, rare ones, one that outweighs the others."""

from __future__ import annotations

from collections.abc import Mapping

from feilun.data._warnings import alike_labels
from feilun.data.audit.finding import EXAMPLES, Draft, Finding, by_cleaning
from feilun.data.outcome import Notice

__all__ = ["labels"]

_RARE = 10
_UNJUDGED = 50
"""Rows of a label below which its test share is too small to say anything."""
_IMBALANCE = 20


def labels(
    counts: Mapping[str, int], basis: Notice, clean: str, first: Mapping[str, int]
) -> list[Draft]:
    """From rows by label. `clean` begins the commands that mend; `first` is a row of each label,
    shown as an example."""
    counts = {label: rows for label, rows in counts.items() if rows}
    return [
        *_alike(counts, basis, clean, first),
        *_rare(counts, basis, first),
        *_imbalance(counts, basis, first),
    ]


def _alike(
    counts: Mapping[str, int], basis: Notice, clean: str, first: Mapping[str, int]
) -> list[Draft]:
    merges: list[tuple[str, str]] = []
    for names in alike_labels(counts):
        best = max(names, key=lambda name: (counts[name], name))
        merges += [(name, best) for name in names if name != best]
    if not merges:
        return []
    pairs = [f"{name!r} → {best!r}" for name, best in merges[:10]]
    rows = sum(counts[name] for name, _ in merges)
    finding = Finding(
        "alike_labels",
        "bad",
        len(merges),
        len(counts),
        basis,
        {"pairs": pairs, "rows": rows},
        (),
        None,
        *by_cleaning(clean, merge_labels=dict(merges)),
    )
    places = [(first[name], first[best]) for name, best in merges[:EXAMPLES]]
    return [Draft(finding, places)]


def _rare(counts: Mapping[str, int], basis: Notice, first: Mapping[str, int]) -> list[Draft]:
    rare = sorted((rows, label) for label, rows in counts.items() if rows < _UNJUDGED)
    if not rare or sum(counts.values()) < _UNJUDGED:
        return []
    hopeless = [label for rows, label in rare if rows < _RARE]
    params = {
        "labels": [f"{label} ({rows})" for rows, label in rare[:10]],
        "hopeless": len(hopeless),
        "limit": _UNJUDGED,
    }
    finding = Finding(
        "rare_labels", "warn" if hopeless else "info", len(rare), len(counts), basis, params
    )
    return [Draft(finding, [(first[label],) for _, label in rare[:EXAMPLES]])]


def _imbalance(counts: Mapping[str, int], basis: Notice, first: Mapping[str, int]) -> list[Draft]:
    if len(counts) < 2:
        return []
    most, least = max(counts, key=lambda k: counts[k]), min(counts, key=lambda k: counts[k])
    total = sum(counts.values())
    share = counts[most] / total
    if counts[most] <= _IMBALANCE * counts[least] and not (len(counts) == 2 and share > 0.85):
        return []
    params = {
        "most": most,
        "least": least,
        "ratio": round(counts[most] / counts[least], 1),
    }
    cost = Notice("audit.cost_imbalance", {"label": most, "accuracy": share})
    finding = Finding("imbalance", "warn", counts[least], total, basis, params, (), cost)
    return [Draft(finding, [(first[least],), (first[most],)])]
