"""What a workspace earns: margins from the ledger, and a price for a margin at a load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from feilun.billing.currency import amount_text, exact_text
from feilun.billing.economics import (
    BUSY_AT_MOST,
    By,
    Margin,
    busy_seconds,
    idle_share,
    margins,
    suggest,
)
from feilun.billing.invoices import parse_month
from feilun.config import ServingConfig
from feilun.errors import InvalidData
from feilun.messages import t
from feilun.money import MICRO
from feilun.project.scope import WorkspaceScope
from feilun.table import Result, Table

__all__ = ["By", "Margins", "SuggestedPrice", "margin", "suggest_price"]


@dataclass(frozen=True)
class Margins(Result):
    """Margins of one month, as exact decimals of `currency`, the worst first. `idle_share` is the
    part of what the machine cost that it stood idle; `hours` what was paid for."""

    month: str
    by: By
    currency: str
    hours: float
    idle_share: float | None
    rows: Sequence[Mapping[str, Any]]

    def tables(self) -> Sequence[Table]:
        words = [
            [
                row["name"] or t("plans.nobody"),
                f"{row['inputs']:,}",
                row["revenue"],
                row["cost"],
                row["idle"],
                row["margin"],
                "–" if row["share"] is None else f"{row['share']:.0%}",
            ]
            for row in self.rows
        ]
        names = ("inputs", "revenue", "cost", "idle", "margin", "share")
        columns = [t(f"plans.by_{self.by}"), *(t(f"plans.{name}") for name in names)]
        notes = [row["words"] for row in self.rows if row["words"]]
        if self.idle_share is not None:
            share = f"{self.idle_share:.0%}"
            notes.append(t("plans.idle_share", share=share, hours=f"{self.hours:,.1f}"))
        title = t("plans.margins", month=self.month, currency=self.currency)
        return (Table(title, columns, words, notes),)


@dataclass(frozen=True)
class SuggestedPrice(Result):
    """A price for 1,000 inputs of `project`, as exact decimals of `currency`: `cost` are the
    answers, `idle` the machine that waits for them. `seconds` is what one input takes of a machine,
    measured on `measured` inputs; `busy` the part of the time that `machines` would work."""

    project: str
    price: str
    current: str
    currency: str
    margin: float
    load: float
    cost: str
    idle: str
    seconds: float
    measured: int
    machines: int
    busy: float
    per_hour: float

    def tables(self) -> Sequence[Table]:
        rows = [
            [t("plans.suggested"), f"{self.price} {self.currency}"],
            [t("plans.current"), f"{self.current} {self.currency}"],
            [t("plans.cost_1000"), f"{self.cost} {self.currency}"],
            [t("plans.idle_1000"), f"{self.idle} {self.currency}"],
            [t("plans.machine_ms"), f"{1000 * self.seconds:.3g} ms"],
            [t("plans.machines"), str(self.machines)],
            [t("plans.busy"), f"{self.busy:.1%}"],
        ]
        notes = [
            t("plans.measured_on", inputs=f"{self.measured:,}"),
            t("plans.set_price", project=self.project, price=self.price),
        ]
        title = t(
            "plans.suggestion",
            project=self.project,
            margin=f"{self.margin:.0%}",
            load=f"{self.load:.3g}",
        )
        return (Table(title, ["", ""], rows, notes),)


def suggest_price(
    scope: WorkspaceScope,
    project: str | None,
    *,
    margin: float,
    load: float,
    per_hour: float | None = None,
    days: int = 30,
    busy_at_most: float = BUSY_AT_MOST,
) -> SuggestedPrice:
    """The price of 1,000 inputs that leaves `margin` of it at `load` inputs a second.

    `per_hour` is what a machine costs an hour (default: ``serving.machine_per_hour``). What an
    input takes is measured on what the live version answered in the last `days`, or all versions
    where it answered nothing. Raises `InvalidData` where nothing was answered, and for a margin or
    a load that cannot be.
    """
    chosen = scope.project(project)
    serving = chosen.config().serving
    price = serving.machine_per_hour if per_hour is None else per_hour
    since = datetime.now(UTC) - timedelta(days=days)
    found = scope.store.ledger.usage(project=chosen.name, since=since, by=("model_version",))
    live = chosen.live()
    of_live = [row for row in found if live is not None and row.by["model_version"] == live.id]
    rows = [row for row in of_live or found if row.units.get("inputs", 0) > 0]
    inputs = sum(row.units["inputs"] for row in rows)
    if not inputs:
        raise InvalidData("plans.nothing_answered", project=chosen.name, days=days)
    served_at = _served_at(scope)
    seconds = sum(
        busy_seconds(row, served_at.get(str(row.by["model_version"]), price)) for row in rows
    )
    made = suggest(
        seconds / inputs, load=load, margin=margin, per_hour=price, busy_at_most=busy_at_most
    )
    currency = serving.currency
    return SuggestedPrice(
        project=chosen.name,
        price=exact_text(made.price, currency),
        current=exact_text(round(serving.price_per_1000 * MICRO), currency),
        currency=currency,
        margin=margin,
        load=load,
        cost=exact_text(made.cost, currency),
        idle=exact_text(made.idle, currency),
        seconds=made.seconds,
        measured=inputs,
        machines=made.machines,
        busy=made.busy,
        per_hour=price,
    )


def margin(
    scope: WorkspaceScope,
    *,
    by: By = "customer",
    month: str | None = None,
    per_hour: float | None = None,
    machines: int = 1,
    exchange: Mapping[str, str] | None = None,
) -> Margins:
    """Margins of `month` (default: this one) by customer, endpoint or model version.

    `machines` machines at `per_hour` (default: the dearest ``serving.machine_per_hour`` of the
    projects) are paid for from the month's beginning, or since a server first began or anything was
    charged, until its end or now. `exchange` says what one unit of another currency is worth in the
    machine's. Raises `InvalidData` for a month that is none and for a currency that is missing
    there.
    """
    now = datetime.now(UTC)
    name = parse_month(month) if month else f"{now:%Y-%m}"
    begin = datetime.fromisoformat(f"{name}-01").replace(tzinfo=UTC)
    end = (begin + timedelta(days=32)).replace(day=1)
    store = scope.store
    begun = [one for one in (store.ledger.first_event(), store.catalog.first_served()) if one]
    started = min(begun, default=now)
    hours = max(0.0, (min(end, now) - max(begin, started)).total_seconds() / 3600) * machines
    configs = [project.config().serving for project in scope.projects()]
    dearest = max(configs, key=lambda serving: serving.machine_per_hour, default=None)
    price = per_hour if per_hour is not None else dearest.machine_per_hour if dearest else 0.0
    currency = dearest.currency if dearest else "USD"
    dimension: Any = "model_version" if by == "model" else by
    rows = store.ledger.usage(
        since=begin, until=end, by=tuple(dict.fromkeys((dimension, "model_version")))
    )
    found, unborne = margins(
        rows,
        by,
        per_hour=_served_at(scope),
        machine=(price, currency),
        paid_hours=hours,
        exchange=_rates(exchange or {}),
    )
    names = {c.id: c.name for c in store.catalog.customers()} if by == "customer" else {}
    return Margins(
        month=name,
        by=by,
        currency=currency,
        hours=hours,
        idle_share=idle_share(found, unborne),
        rows=[_row(one, names, by) for one in found],
    )


def _row(one: Margin, names: Mapping[str, str], by: By) -> dict[str, Any]:
    def shown(amount: int) -> str:
        # Of cents too small to see, the sum still tells.
        small = 0 < abs(amount) < MICRO
        return (exact_text if small else amount_text)(amount, one.currency)

    name = names.get(one.name, one.name)
    return {
        "name": name,
        "inputs": one.inputs,
        "revenue": shown(one.revenue),
        "cost": shown(one.cost),
        "idle": shown(one.idle),
        "margin": shown(one.margin),
        "share": one.share,
        "verdict": one.verdict,
        "words": _words(one, name, by),
    }


def _words(one: Margin, name: str, by: By) -> str:
    """What a person should know of it; empty where it earns."""
    if one.verdict == "earns" or not name:
        return ""
    less = amount_text(-one.margin, one.currency)
    if abs(one.margin) < MICRO:
        less = exact_text(-one.margin, one.currency)
    who = t(f"plans.this_{by}", name=name)
    return t(f"plans.{one.verdict}", who=who, amount=less, currency=one.currency)


def _served_at(scope: WorkspaceScope) -> dict[str, float]:
    """What an hour of the machine cost when each version was served."""
    found: dict[str, float] = {}
    unsaid = ServingConfig().machine_per_hour
    for project in scope.store.catalog.projects():
        for version in scope.store.catalog.model_versions(project.name):
            serving = (version.config.get("project") or {}).get("serving") or {}
            found[version.id] = float(serving.get("machine_per_hour", unsaid))
    return found


def _rates(exchange: Mapping[str, str]) -> dict[str, Decimal]:
    found = {}
    for code, text in exchange.items():
        try:
            rate = Decimal(text)
        except InvalidOperation:
            rate = Decimal(0)
        if not rate.is_finite() or rate <= 0:
            raise InvalidData("plans.exchange", given=f"{code}={text}")
        found[code.upper()] = rate
    return found
