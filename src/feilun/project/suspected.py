"""What the audit of the newest data version left to do: its findings, and rows with a doubtful
label."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from feilun.data.audit.finding import Finding
from feilun.errors import InvalidData, NotFound
from feilun.project.audit_page import kept, stem_of
from feilun.project.scope import Scope
from feilun.store.ids import new_id

__all__ = ["Suspicion", "findings", "reviewed", "suspected"]


@dataclass(frozen=True, slots=True)
class Suspicion:
    """The label that a row has, the one that fits better, and by how much of its probability."""

    given: str
    suggested: str
    margin: float


def findings(scope: Scope) -> tuple[Finding, ...]:
    """What the audit of the newest data version found. Raises `NotFound` before it was looked
    at."""
    version = scope.data().id
    found = kept(_folder(scope), version)
    if found is None:
        raise NotFound("project.not_audited", version=version)
    return found


def suspected(scope: Scope) -> Mapping[str, Suspicion]:
    """Rows whose label is likely wrong by their ids, the most suspect first. Raises `NotFound`
    before the newest data version was looked at."""
    if not any(one.code == "suspects" for one in findings(scope)):
        return {}
    stem = stem_of(_folder(scope), scope.data().id)
    file = stem.with_name(f"{stem.name}-suspects.csv")
    with file.open(encoding="utf-8-sig", newline="") as opened:
        return {
            row["row_id"]: Suspicion(row["given"], row["suggested"], float(row["margin"]))
            for row in csv.DictReader(opened)
        }


def reviewed(scope: Scope, rows: Iterable[str]) -> Path:
    """A file for `Project.clean` (``relabel``) that gives these suspect `rows` the label that fits
    better. Raises `InvalidData` for a row that is not suspect, and for none."""
    found = suspected(scope)
    wanted = dict.fromkeys(rows)
    strange = [row for row in wanted if row not in found]
    if strange or not wanted:
        raise InvalidData("project.not_suspect", rows=strange[:3] or "-")
    stem = stem_of(_folder(scope), scope.data().id)
    file = stem.with_name(f"{stem.name}-{new_id('reviewed-')}.csv")
    with file.open("x", encoding="utf-8", newline="") as out:
        lines = csv.writer(out)
        lines.writerow(["row_id", "label"])
        lines.writerows([row, found[row].suggested] for row in wanted)
    return file


def _folder(scope: Scope) -> Path:
    return scope.file.parent / "audit"
