"""The ledger of a workspace, looked at: whether it is whole, and the roots of its days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from feilun.errors import UsageError
from feilun.messages import t
from feilun.project.scope import WorkspaceScope
from feilun.store.ledger_roots import FOLDER, export_root, read_roots
from feilun.store.ledger_verify import Verification
from feilun.table import Result, Table

__all__ = ["RootList", "Verified", "roots", "verify"]


@dataclass(frozen=True)
class Verified(Result):
    """What was computed again, and what does not agree: `found` in all, `faults` the first
    hundred, each with what is known of its day, writer, link and event."""

    ok: bool
    days: int
    links: int
    events: int
    roots: int
    found: int
    faults: Sequence[Mapping[str, Any]]

    def tables(self) -> Sequence[Table]:
        title = t(
            "project.ledger_whole" if self.ok else "project.ledger_broken",
            events=self.events,
            links=self.links,
            days=self.days,
            roots=self.roots,
            found=self.found,
        )
        return (Table(title, [t("project.found")], [[fault["text"]] for fault in self.faults]),)


@dataclass(frozen=True)
class RootList(Result):
    """The roots of all finished days, the files that hold them, and how many are `new`."""

    folder: str
    new: int
    roots: Sequence[Mapping[str, Any]]

    def tables(self) -> Sequence[Table]:
        rows = [[root["day"], root["root"], str(root["events"])] for root in self.roots]
        columns = [t("project.day"), t("project.root"), t("project.events")]
        return (Table(t("project.ledger_roots", folder=self.folder), columns, rows),)


def verify(scope: WorkspaceScope, day: str | None = None, folder: Path | None = None) -> Verified:
    """Computes the ledger's hashes and sums again, of `day` (``2026-11-22``) or of all days, and
    compares them with the exported roots in `folder` (default: the workspace's). Raises
    `UsageError` for a day that is none."""
    if day is not None:
        try:
            day = date.fromisoformat(day).isoformat()
        except ValueError:
            raise UsageError("project.not_a_day", day=day) from None
    exported = read_roots(folder or scope.folder / FOLDER)
    done: Verification = scope.store.ledger.verify(day=day, exported=exported)
    faults = [
        {
            "code": fault.code,
            "day": fault.day,
            "writer": fault.writer,
            "link": fault.link,
            "event": fault.event,
            "text": fault.text(),
        }
        for fault in done.faults
    ]
    return Verified(done.ok, done.days, done.links, done.events, done.roots, done.found, faults)


def roots(scope: WorkspaceScope, folder: Path | None = None) -> RootList:
    """Closes the finished days that are open, and writes every root into `folder` (default: the
    workspace's ``ledger-roots``) that is not there."""
    target = folder or scope.folder / FOLDER
    made = scope.store.ledger.make_roots()
    rows = []
    for root in scope.store.ledger.roots():
        path = export_root(root, target)
        rows.append({"day": root.day, "root": root.root, "events": root.events, "file": str(path)})
    return RootList(str(target), len(made), rows)
