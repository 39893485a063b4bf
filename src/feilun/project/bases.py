"""The base models at hand as people see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from feilun.durations import about
from feilun.messages import t
from feilun.pipeline.steps.bases import BaseAtHand, Cost
from feilun.pipeline.steps.bases import bases as look
from feilun.project.advice import command
from feilun.project.scope import Report, Scope
from feilun.table import Result, Table

__all__ = ["BasesView", "bases"]


@dataclass(frozen=True)
class BasesView(Result):
    """The bases at hand for a project, those that fit first and the best of them at the top; `next`
    is the command that trains from it, empty where none fits. `rows` training rows were looked at.
    """

    project: str
    task: str
    rows: int
    bases: Sequence[BaseAtHand]
    next: str = ""

    def tables(self) -> Sequence[Table]:
        fitting = [one for one in self.bases if one.reason is None]
        rows = [
            [
                one.name,
                t(f"bases.kind_{one.kind}"),
                "–" if one.parameters is None else f"{one.parameters / 1e6:.1f} M",
                "–" if one.unknown is None else f"{100 * one.unknown:.1f} %",
                "–" if one.score is None else f"{one.score:.3f}",
                "; ".join(_cost(cost) for cost in one.costs) or "–",
            ]
            for one in fitting
        ]
        names = ("base", "kind", "size", "unknown", "score", "costs")
        notes = [
            t("bases.left_out", base=one.name, reason=one.reason)
            for one in self.bases
            if one.reason is not None
        ]
        notes.append(t("bases.explained") if fitting else t("bases.none"))
        if self.next:
            notes.append(t("bases.next", command=self.next))
        title = t("bases.title", project=self.project, task=self.task, rows=self.rows)
        return (Table(title, [t(f"bases.column_{name}") for name in names], rows, notes),)


def _cost(one: Cost) -> str:
    key = "bases.cost" if one.fits else "bases.cost_not"
    return t(key, method=one.method, time=about(one.seconds), memory=f"{one.memory / 2**30:.1f}")


def bases(scope: Scope, given: Sequence[str], rows: int, report: Report | None) -> BasesView:
    """See `Project.bases`."""
    context = scope.context(report)
    found, seen = look(context, given, rows)
    best = next((one for one in found if one.reason is None), None)
    following = ""
    if best is not None:
        following = command(scope.store, scope.name, ["run", "--base", best.name])
    return BasesView(scope.called, context.task.name, seen, found, following)
