"""What is wrong with the data: the data room's findings, fed with the linear baseline's
predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from feilun.data.audit import duplicates, languages, leakage, order, privacy, readable, tables
from feilun.data.audit.finding import Draft, Finding, Mend, by_cleaning, filled
from feilun.data.audit.inflation import Inflation, sample_groups
from feilun.data.audit.labels import labels as label_findings
from feilun.data.audit.returning import returning
from feilun.data.audit.sample import Sample, fetch
from feilun.data.audit.scan import Scan, scan, texts
from feilun.data.audit.series import series
from feilun.data.audit.staging import Columns
from feilun.data.outcome import Notice
from feilun.pipeline.steps._cross import Crossed, cross
from feilun.pipeline.steps._looked import Looked
from feilun.store.dataset import Dataset
from feilun.types import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SAMPLE", "Audited", "Looked", "look"]

SAMPLE = 20_000
"""Rows at most that the linear baseline answers and that are looked at for marks."""
_MEDIA = 4_000
_TOKENS = 2_000


@dataclass(frozen=True, slots=True)
class Audited:
    """`findings`, the worst first; `inflation` where duplicates could be weighed; `sample` rows
    that the linear baseline answered with `accuracy` (None where it could not); `suspects` is the
    file, None without one; `stages` the seconds of each."""

    rows: int
    findings: tuple[Finding, ...]
    inflation: Inflation | None
    sample: int
    accuracy: float | None
    suspects: Path | None
    stages: Mapping[str, float]


class _Clock:
    def __init__(self, report: Callable[[Progress], None], rows: int) -> None:
        self.stages: dict[str, float] = {}
        self._report, self._rows = report, rows

    @contextmanager
    def __call__(self, name: str) -> Iterator[Callable[[int], None]]:
        began = perf_counter()
        rows = self._rows

        def tick(done: int) -> None:
            self._report(Progress(f"audit:{name}", done, rows, "rows"))

        yield tick
        self.stages[name] = round(perf_counter() - began, 3)
        tick(rows)


def look(looked: Looked, report: Callable[[Progress], None]) -> Audited:
    """Goes through all rows twice and through a sample closely; the same rows give the same
    findings. Writes the file of suspects."""
    data = looked.data
    clock = _Clock(report, len(data))
    with clock("scan") as tick:
        rows = scan(data, divided=looked.divided, tick=tick)
    first = duplicates.first_of(rows)
    with clock("near"):
        group = _near(rows, data, looked.scratch) if rows.text else first
    with clock("sample"):
        most = SAMPLE if rows.text else _MEDIA
        places = sample_groups(group, rows.labels >= 0, most, looked.seed)
        sample = fetch(data, places)
    with clock("fits"):
        crossed = cross(looked, rows, sample, first, group)
    with clock("findings"):
        drafts = [
            *_plain(looked, rows, first, group, crossed),
            *_close(looked, rows, sample, group),
        ]
        if crossed is not None:
            drafts += crossed.drafts
    with clock("examples"):
        findings = filled(drafts, data)
    return Audited(
        rows=len(rows),
        findings=findings,
        inflation=crossed.inflation if crossed else None,
        sample=crossed.rows if crossed else 0,
        accuracy=crossed.accuracy if crossed else None,
        suspects=looked.suspects if crossed and crossed.suspects else None,
        stages=clock.stages,
    )


def _near(rows: Scan, data: Dataset, scratch: Path | None) -> np.ndarray:
    from feilun.data.near import groups

    return groups(texts(data), spill=scratch)


def _plain(
    looked: Looked, rows: Scan, first: np.ndarray, group: np.ndarray, crossed: Crossed | None
) -> list[Draft]:
    """What all rows show."""
    basis = Notice("audit.basis_all", {"rows": len(rows)})
    clean = looked.clean
    inflation = crossed.inflation if crossed else None
    cost = inflation.notice() if inflation else None
    cost_near = inflation.notice(near=True) if inflation else None
    added = Mend((looked.add,)) if looked.add else None
    exact = added or by_cleaning(clean, drop_duplicates="exact")
    near = by_cleaning(clean, drop_duplicates="near")
    torn = by_cleaning(clean, drop_conflicts=True)
    drafts = [
        *_paid(duplicates.exact(rows, first, basis, exact, looked.task.observations), cost),
        *(_paid(duplicates.near(rows, first, group, basis, near), cost_near) if rows.text else ()),
        *duplicates.conflicts(rows, first, group if rows.text else None, basis, torn),
        *([] if looked.by_class else order.order(rows.labels, rows.names, basis)),
        *readable.bad_rows(
            looked.bad,
            len(rows) + looked.bad,
            looked.reasons,
            Notice("audit.basis_all", {"rows": len(rows) + looked.bad}),
        ),
        *_left_out(looked, basis),
        *readable.empty(rows, basis, by_cleaning(clean, drop_empty=True)),
        *readable.long(rows, basis, clean),
        *readable.garbled(rows, basis),
        *languages.languages(rows, basis, crossed.by_script if crossed else None),
        *privacy.personal(rows, basis, clean),
        *label_findings(rows.counts(), basis, clean, _first_rows(rows)),
        *_peculiar(rows, basis),
    ]
    if looked.task.recurring:
        drafts += returning(looked.data, basis)
    if looked.task.split_by == "series":
        drafts += series(looked.data, basis)
    if looked.divided:
        drafts += duplicates.leakage(rows, group, basis, near, cost_near)
    return drafts


def _paid(drafts: list[Draft], cost: Notice | None) -> list[Draft]:
    return [replace(one, finding=replace(one.finding, cost=cost)) for one in drafts]


def _first_rows(rows: Scan) -> dict[str, int]:
    codes, places = np.unique(rows.labels, return_index=True)
    pairs = zip(codes.tolist(), places.tolist(), strict=True)
    return {rows.names[code]: place for code, place in pairs if code >= 0}


def _peculiar(rows: Scan, basis: Notice) -> list[Draft]:
    """What the family says of the targets, and the task of inputs beside them."""
    told = [one for one in (rows.tally, rows.inspection) if one is not None]
    return [
        Draft(
            Finding(one.code, one.severity, one.count, one.of, basis, one.params),
            [(row,) for row in one.rows],
        )
        for tally in told
        for one in tally.findings()
    ]


def _left_out(looked: Looked, basis: Notice) -> list[Draft]:
    """What the version was made without: it says so itself."""
    gone = {name: count for name, count in looked.left_out.items() if count}
    count = gone.get("duplicates", 0) + gone.get("undecided", 0)
    if not count:
        return []
    params = {
        name: looked.left_out.get(name, 0) for name in ("duplicates", "conflicts", "undecided")
    }
    of = looked.left_out.get("read", count)
    finding = Finding(
        "left_out", "info", count, of, Notice("audit.basis_added", {"rows": of}), params
    )
    return [Draft(finding)]


def _close(looked: Looked, rows: Scan, sample: Sample, group: np.ndarray) -> list[Draft]:
    """What the sample shows."""
    if not len(sample):
        return []
    drafts: list[Draft] = []
    if rows.text:
        # Copies of one text would make each of its words a mark.
        heads = np.unique(group[sample.places], return_index=True)[1]
        distinct = sample.part(np.sort(heads))
        drafts += leakage.marks(
            distinct.texts,
            rows.labels[distinct.places],
            rows.names,
            distinct.places.tolist(),
            Notice("audit.basis_distinct", {"rows": len(distinct), "of": len(rows)}),
        )
    if looked.processor is not None and rows.text:
        some = np.unique(np.linspace(0, len(sample) - 1, min(_TOKENS, len(sample))).astype(int))
        part = sample.part(some)
        drafts += readable.tokens(
            looked.processor,
            part.items,
            part.places.tolist(),
            Notice("audit.basis_sample", {"rows": len(part), "of": len(rows)}),
            looked.base,
            looked.settings.get("max_length"),
            looked.run,
        )
    if looked.task.modality == "table":
        drafts += tables.columns(
            sample,
            looked.data.columns,
            rows.labels[sample.places],
            rows.names,
            Notice("audit.basis_sample", {"rows": len(sample), "of": len(rows)}),
            looked.divided,
        )
    if looked.columns is not None:
        drafts += _columns(looked.columns, rows)
    return drafts


def _columns(columns: Columns, rows: Scan) -> list[Draft]:
    basis = Notice("audit.basis_sample", {"rows": len(columns.labels), "of": len(rows)})
    drafts = leakage.columns(columns.values, columns.labels, rows.names, basis)
    for name, values in columns.values.items():
        when = order.times(values)
        if when is not None:
            by_time = np.argsort(when, kind="stable")
            found = order.order(columns.labels[by_time], rows.names, basis, column=name)
            drafts += [Draft(one.finding) for one in found]
    return drafts
