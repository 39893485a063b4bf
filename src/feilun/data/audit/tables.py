"""What is wrong with the columns of a table: those that tell the label, those that tell nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from feilun.data.audit import leakage
from feilun.data.audit.finding import Draft, Finding, Severity
from feilun.data.audit.sample import Sample
from feilun.data.outcome import Notice

__all__ = ["columns"]

_EMPTY = 0.95
"""Share of missing values from which on a column is told."""
_SELDOM = 0.5
"""Different values for each filled row from which on a category names rows rather than kinds."""
_SHOWN = 5
_LEAST = 50


def columns(
    sample: Sample,
    kinds: Mapping[str, str],
    labels: np.ndarray,
    names: Sequence[str],
    basis: Notice,
    divided: bool,
) -> list[Draft]:
    """Findings on the input columns of the sampled rows, whose labels are places in `names`.
    `divided` tells whether their splits mean something."""
    if len(kinds) < 2 or len(sample) < _LEAST:
        return []
    rows: list[Mapping[str, Any]] = [item for item in sample.items if isinstance(item, Mapping)]
    values = {name: [row.get(name) for row in rows] for name in kinds}
    known = labels >= 0
    places = np.flatnonzero(known).tolist()
    drafts = leakage.columns(
        {name: [cells[at] for at in places] for name, cells in values.items()},
        labels[known],
        names,
        basis,
        code="input_column",
    )
    filled = {name: [v for v in cells if v is not None] for name, cells in values.items()}
    same = [name for name, cells in filled.items() if cells and len(set(cells)) == 1]
    empty = [name for name, cells in filled.items() if len(cells) < (1 - _EMPTY) * len(rows)]
    ids = [
        name
        for name, cells in filled.items()
        if kinds[name] == "category" and len(cells) >= _LEAST
        and len(set(cells)) > _SELDOM * len(cells)
    ]  # fmt: skip
    for code, found in (("constant_columns", same), ("empty_columns", empty), ("id_columns", ids)):
        if found:
            params = {"columns": found[:_SHOWN], "count": len(found), "of": len(kinds)}
            severity: Severity = "warn" if code == "id_columns" else "info"
            drafts.append(Draft(Finding(code, severity, len(found), len(kinds), basis, params)))
    return drafts + (_unseen(sample, kinds, values, basis) if divided else [])


def _unseen(
    sample: Sample, kinds: Mapping[str, str], values: Mapping[str, Sequence[Any]], basis: Notice
) -> list[Draft]:
    """Categories that judge but never train."""
    train = np.array([example.split == "train" for example in sample.examples])
    shown, hits = [], np.zeros(len(train), bool)
    for name, kind in kinds.items():
        if kind != "category":
            continue
        seen = {cell for cell, learns in zip(values[name], train.tolist(), strict=True) if learns}
        new = np.array([cell is not None and cell not in seen for cell in values[name]]) & ~train
        if new.any():
            first = int(np.flatnonzero(new)[0])
            shown.append(f"{name} = {str(values[name][first])[:40]}")
            hits |= new
    if not shown:
        return []
    count, judging = int(hits.sum()), int((~train).sum())
    params = {"examples": shown[:_SHOWN], "columns": len(shown)}
    finding = Finding("unseen_categories", "info", count, judging, basis, params)
    rows = [(int(sample.places[at]),) for at in np.flatnonzero(hits)[:3].tolist()]
    return [Draft(finding, rows)]
