"""The calls of customers: what was asked, what it cost, which version answered, of which rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from feilun.billing.currency import exact_text
from feilun.billing.invoices import find_customer, parse_month
from feilun.errors import InvalidData, NotFound
from feilun.messages import t
from feilun.messages.words import unit_words
from feilun.project.scope import WorkspaceScope
from feilun.store.ledger_records import Event, EventKind
from feilun.table import Moment, Result, Table

__all__ = ["CallShown", "Calls", "call", "calls"]

_ENDS: tuple[EventKind, ...] = ("charge", "settle", "credit")
"""What is owed: one event a call, whether it began with a hold or not."""
_INSIDE = ("customer", "cost", "engine")


@dataclass(frozen=True)
class Calls(Result):
    """Calls, the newest first: ``call``, ``created``, ``customer`` (an id), ``project``,
    ``version``, ``data``, ``units``, ``amount``, ``cost``, ``currency``, ``outcome``. `more` tells
    that there are others. What answers cost is for the operator alone: `inside`."""

    rows: Sequence[Mapping[str, Any]]
    names: Mapping[str, str]
    more: bool
    inside: bool = True

    def tables(self) -> Sequence[Table]:
        rows = [
            [
                Moment(row["created"], "%Y-%m-%d %H:%M:%S"),
                row["call"],
                *([self.names.get(row["customer"], row["customer"] or "–")] * self.inside),
                row["version"] or row["project"] or "–",
                f"{row['units'].get('inputs', 0):,}",
                f"{row['amount']} {row['currency']}",
                *([f"{row['cost']} {row['currency']}"] * self.inside),
                _outcome(row["outcome"]),
            ]
            for row in self.rows
        ]
        names = ["when", "id", "customer", "version", "inputs", "amount", "cost", "outcome"]
        names = [name for name in names if self.inside or name not in _INSIDE]
        columns = [t(f"calls.{name}") for name in names]
        notes = [t("calls.none")] if not rows else [t("calls.more")] if self.more else []
        return (Table(t("calls.title"), columns if rows else (), rows, notes),)


@dataclass(frozen=True)
class CallShown(Result):
    """One call: its `events` in the ledger and, as long as they are kept, its `answers`: ``input``
    (None where it is not kept), ``output``, ``label`` and ``said``, what people say is right."""

    id: str
    customer: str | None
    name: str
    events: Sequence[Mapping[str, Any]]
    answers: Sequence[Mapping[str, Any]]
    inside: bool = True

    def tables(self) -> Sequence[Table]:
        last = self.events[-1]
        facts = [
            [t("calls.id"), self.id],
            [t("calls.customer"), self.name or "–"],
            [t("calls.key"), last["key"] or "–"],
            [t("calls.project"), last["project"] or "–"],
            [t("calls.version"), last["version"] or "–"],
            *([[t("calls.data"), last["data"] or "–"]] if self.inside else []),
            [t("calls.price"), "–" if last["price"] is None else str(last["price"])],
        ]
        rows = [
            [
                Moment(one["created"], "%Y-%m-%d %H:%M:%S"),
                t(f"calls.kind_{one['kind']}"),
                ", ".join(
                    f"{unit_words(unit)} {count:,}" for unit, count in one["units"].items() if count
                ),
                f"{one['amount']} {one['currency']}",
                *([f"{one['cost']} {one['currency']}", f"{one['engine_ms']:.1f} ms"] * self.inside),
                _outcome(one["outcome"]),
            ]
            for one in self.events
        ]
        names = ["when", "event", "units", "amount", "cost", "engine", "outcome"]
        names = [name for name in names if self.inside or name not in _INSIDE]
        columns = [t(f"calls.{name}") for name in names]
        return (Table("", ["", ""], facts), Table(t("calls.events"), columns, rows))


def calls(
    scope: WorkspaceScope,
    *,
    customer: str | None = None,
    project: str | None = None,
    version: str | None = None,
    period: str | None = None,
    offset: int = 0,
    limit: int = 50,
) -> Calls:
    """See `Workspace.calls`."""
    store = scope.store
    since, until = _period(period)
    chosen = find_customer(store, customer).id if customer else None
    found = store.ledger.latest_events(
        customer=chosen,
        project=store.catalog.known(project) if project else None,
        model_version=version,
        since=since,
        until=until,
        kinds=_ENDS,
        offset=offset,
        limit=limit + 1,
    )
    shown = [_event(one) for one in found[:limit]]
    known = {c.id: c.name for c in store.catalog.customers()} if chosen is None else {}
    names = known or {chosen or "": store.catalog.customer(chosen).name if chosen else ""}
    return Calls(shown, names, len(found) > limit)


def call(scope: WorkspaceScope, id: str, *, customer: str | None = None) -> CallShown:
    """See `Workspace.call`."""
    store = scope.store
    events = [one for one in store.ledger.events(call_id=id) if customer in (None, one.customer)]
    if not events:
        raise NotFound("calls.no_call", id=id[:100])
    whose = events[-1].customer
    answers = []
    for answer in store.ledger.answers_of(id):
        if customer not in (None, answer.customer):
            continue
        said = store.ledger.feedback_of(id, answer.index)
        answers.append(
            {
                "index": answer.index,
                "input": answer.input,
                "output": answer.output,
                "label": answer.label,
                "said": [{"label": one.label, "source": one.source} for one in said],
            }
        )
    name = store.catalog.customer(whose).name if whose else ""
    shown = [_event(one) for one in events]
    return CallShown(id, whose, name, shown, answers, inside=customer is None)


def _event(one: Event) -> dict[str, Any]:
    assert one.created is not None
    return {
        "call": one.call_id,
        "created": one.created,
        "kind": one.kind,
        "customer": one.customer,
        "key": one.key_id,
        "project": one.project,
        "version": one.model_version,
        "data": one.data_version,
        "price": one.price_version,
        "units": dict(one.units),
        "amount": exact_text(one.amount, one.currency),
        "cost": exact_text(one.cost, one.currency),
        "currency": one.currency,
        "engine_ms": one.engine_us / 1000,
        "outcome": one.outcome,
    }


def _outcome(outcome: str) -> str:
    return t("calls.ok") if outcome == "ok" else outcome


def _period(text: str | None) -> tuple[datetime | None, datetime | None]:
    """A day (``2026-01-31``) or a month (``2026-01``), UTC, and its end. Raises `InvalidData`."""
    if not text:
        return None, None
    if len(text) == len("2026-01"):
        since = datetime.fromisoformat(f"{parse_month(text)}-01").replace(tzinfo=UTC)
        return since, (since + timedelta(days=32)).replace(day=1)
    try:
        since = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise InvalidData("calls.no_period", given=text[:40]) from None
    return since, since + timedelta(days=1)
