"""What a model can make of the rows: nothing in them, too much in them, letters it cannot read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from feilun.data.audit.finding import EXAMPLES, Draft, Finding, Mend, Severity, by_cleaning
from feilun.data.audit.scan import Scan
from feilun.data.outcome import Notice
from feilun.tasks.base import Encoded, Processor
from feilun.types import Item

__all__ = ["UNKNOWN", "bad_rows", "empty", "garbled", "long", "tokens"]

UNKNOWN = 0.05
"""Share of unknown tokens from which on it is loud."""
_LONG = 2000
_TIMES = 10
_CUT = 0.01


def bad_rows(count: int, of: int, reasons: Mapping[str, int], basis: Notice) -> list[Draft]:
    """Rows that could not be used at all; `reasons` are sentences with their rows."""
    if not count:
        return []
    said = [
        f"{why} ({rows:,})" for why, rows in sorted(reasons.items(), key=lambda x: -x[1])[:EXAMPLES]
    ]
    severity: Severity = "bad" if count > 0.1 * of else "warn" if count > 0.01 * of else "info"
    params = {"reasons": said}
    return [Draft(Finding("unreadable_rows", severity, count, of, basis, params))]


def empty(scan: Scan, basis: Notice, mend: Mend) -> list[Draft]:
    """Texts that say nothing: punctuation, or what programs write where nothing was."""
    if not scan.text:
        return []
    rows = np.flatnonzero(scan.blank)
    if not len(rows):
        return []
    severity: Severity = "warn" if len(rows) > 0.01 * len(scan) else "info"
    finding = Finding("empty", severity, len(rows), len(scan), basis, {}, (), None, *mend)
    return [Draft(finding, [(row,) for row in rows[:EXAMPLES].tolist()])]


def long(scan: Scan, basis: Notice, clean: str) -> list[Draft]:
    """Texts out of all proportion: beyond 2,000 characters and ten times what nine in ten have."""
    if not scan.text or not len(scan):
        return []
    p90 = float(np.percentile(scan.lengths, 90))
    limit = int(max(_LONG, _TIMES * p90))
    rows = np.flatnonzero(scan.lengths > limit)
    if not len(rows):
        return []
    longest = rows[np.argsort(-scan.lengths[rows].astype(np.int64), kind="stable")][:EXAMPLES]
    params = {"limit": limit, "p90": p90, "longest": int(scan.lengths.max())}
    severity: Severity = "warn" if scan.lengths.max() > 100_000 else "info"
    finding = Finding(
        "long",
        severity,
        len(rows),
        len(scan),
        basis,
        params,
        (),
        None,
        *by_cleaning(clean, drop_long=limit),
    )
    notes = [
        Notice("audit.note_characters", {"characters": int(scan.lengths[row])}) for row in longest
    ]
    return [Draft(finding, [(row,) for row in longest.tolist()], notes)]


def garbled(scan: Scan, basis: Notice) -> list[Draft]:
    """Texts that were read in another encoding than they were written in."""
    rows = np.flatnonzero(scan.garbled)
    if not len(rows):
        return []
    severity: Severity = "bad" if len(rows) > 0.01 * len(scan) else "warn"
    finding = Finding("garbled", severity, len(rows), len(scan), basis)
    return [Draft(finding, [(row,) for row in rows[:EXAMPLES].tolist()])]


def tokens(
    processor: Processor,
    items: Sequence[Item],
    places: Sequence[int],
    basis: Notice,
    base: str,
    max_length: int | None = None,
    run: str = "feilun run",
) -> list[Draft]:
    """What the tokenizer of `base` does to a sample: how much it cuts off, how much it cannot read.
    `places` are the sampled rows, `run` begins the command of a training."""
    if not items:
        return []
    encoded = [e for i in range(0, len(items), 256) for e in processor.encode(items[i : i + 256])]
    cut = np.array([one.cut for one in encoded])
    cost = np.array([one.cost for one in encoded])
    unknown = processor.unknown_share(items)
    found = []
    rows = np.flatnonzero(cut > 0)
    if len(rows) > _CUT * len(items):
        worst = rows[np.argsort(-cut[rows], kind="stable")][:EXAMPLES]
        lost = Notice("audit.cost_truncated", {"share": float(cut.sum() / (cut + cost).sum())})
        wanted = int(np.percentile(cost + cut, 99))
        params = {"limit": max_length or int(cost.max()), "wanted": wanted}
        severity: Severity = "warn" if len(rows) > 0.1 * len(items) else "info"
        finding = Finding(
            "truncated", severity, len(rows), len(items), basis, params, (), lost,
            (f"{run} --set task.max_length={min(8192, wanted)}",),
        )  # fmt: skip
        notes = [Notice("audit.note_cut", {"tokens": int(cut[row])}) for row in worst]
        found.append(Draft(finding, [(places[row],) for row in worst.tolist()], notes))
    if unknown > 0.01:
        alike = _alike(items, encoded)
        draft = _unknown(processor.unknown_share, items, places, unknown, basis, base, run)
        paid = Notice("audit.cost_unknown", {"rows": alike, "of": len(items)}) if alike else None
        found.append(replace(draft, finding=replace(draft.finding, cost=paid)))
    return found


def _alike(items: Sequence[Item], encoded: Sequence[Encoded]) -> int:
    """Texts of which the base sees the same as of another, different text."""
    seen: dict[bytes, set[str]] = {}
    keys = [b"".join(a.tobytes() for a in one.arrays.values()) for one in encoded]
    for item, key, one in zip(items, keys, encoded, strict=True):
        if not one.cut:  # what was cut off may be what differs
            seen.setdefault(key, set()).add(" ".join(str(item).lower().split()))
    return sum(len(texts) for texts in seen.values() if len(texts) > 1)


def _unknown(
    share_of: Callable[[Sequence[Item]], float],
    items: Sequence[Item],
    places: Sequence[int],
    unknown: float,
    basis: Notice,
    base: str,
    run: str,
) -> Draft:
    each = np.array([share_of([item]) for item in items])
    worst = np.argsort(-each, kind="stable")[:EXAMPLES]
    touched = int((each > UNKNOWN).sum())
    params: dict[str, Any] = {"unknown": unknown, "base": base}
    severity: Severity = "bad" if unknown > UNKNOWN else "warn"
    finding = Finding(
        "unknown_tokens",
        severity,
        touched,
        len(items),
        basis,
        params,
        mend=(f"{run} --method linear",),
    )
    notes = [Notice("audit.note_unknown", {"share": float(each[row])}) for row in worst]
    return Draft(finding, [(places[row],) for row in worst.tolist()], notes)
