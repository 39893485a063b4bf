"""What it costs to pass calls on to another server, and what answering them here saves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from feilun.billing.currency import exact_text
from feilun.billing.prices import UpstreamPrice
from feilun.billing.rating import UPSTREAM, UPSTREAM_COST
from feilun.engines.card import read_card
from feilun.errors import NotFound
from feilun.messages import t
from feilun.money import MICRO
from feilun.pipeline.steps.upstream import new_calls, upstream_of
from feilun.project.scope import Scope
from feilun.render.wording import share, signed
from feilun.store.ledger_records import UsageRow
from feilun.store.records import ModelVersion
from feilun.table import Result, Table

__all__ = ["Savings", "next_step", "savings", "sentence", "view"]


@dataclass(frozen=True)
class Savings(Result):
    """What passing calls on costs and what answering them here saves, measured on the calls of the
    live `version` in the last `days`.

    `here` is the share of its `inputs` that it answered itself. `cost` and `before` are what 1,000
    inputs cost now and what they cost when all were passed on, in units of `currency`; None where
    nothing was measured. `quality` is the difference of the primary `metric` with its interval as
    the gate found it. `kept` are different questions that wait to be learnt from, of `need`;
    `learn` tells whether they may be.
    """

    project: str
    version: str
    address: str
    days: int
    inputs: int
    here: float | None
    cost: float | None
    before: float | None
    currency: str
    metric: str
    quality: Mapping[str, float] | None
    kept: int
    need: int
    learn: bool
    priced: bool

    def tables(self) -> Sequence[Table]:
        rows = [
            [t("upstream.passes_to"), self.address],
            [t("upstream.live"), self.version],
            [t("upstream.inputs"), f"{self.inputs:,}"],
            [t("upstream.here"), "–" if self.here is None else share(self.here)],
            [t("upstream.quality"), _quality(self.metric, self.quality) or "–"],
            [t("upstream.cost"), _per_1000(self.cost, self.currency)],
            [t("upstream.before"), _per_1000(self.before, self.currency)],
            [t("upstream.kept"), t("upstream.kept_of", kept=self.kept, need=self.need)],
        ]
        notes = [said for said in (self.line(), *self._next()) if said]
        title = t("upstream.title", project=self.project, days=self.days)
        return (Table(title, ["", ""], rows, notes),)

    def line(self) -> str:
        """The whole in one sentence; "" while all calls are passed on."""
        if not self.here:
            return ""
        found: dict[str, Any] = {"here": f"{100 * self.here:.0f}", "project": self.project}
        quality = _quality(self.metric, self.quality)
        if self.cost is None or self.before is None or not self.priced:
            return t("upstream.line_unpriced", **found)
        money: dict[str, Any] = {
            "cost": _amount(self.cost, self.currency),
            "before": _amount(self.before, self.currency),
            "currency": self.currency,
        }
        key = "upstream.line" if quality else "upstream.line_unjudged"
        return t(key, quality=quality, **found, **money)

    def _next(self) -> Sequence[str]:
        notes = []
        if not self.priced:
            notes.append(t("upstream.no_price"))
        if not self.learn:
            notes.append(t("upstream.terms", project=self.project))
        elif self.kept >= self.need:
            notes.append(t("upstream.update_now", project=self.project))
        return notes


def view(scope: Scope, days: int = 30) -> Savings:
    """See `Savings`. Raises `NotFound` for a project whose calls are not passed on."""
    found = savings(scope, days)
    if found is None:
        raise NotFound("upstream.none", project=scope.called)
    return found


def savings(scope: Scope, days: int = 30, *, waiting: bool = True) -> Savings | None:
    """See `Savings`; None for a project whose calls are not passed on now. Without `waiting` the
    kept calls are not counted, which takes a look at each."""
    live = scope.live()
    context = scope.context()
    folder = upstream_of(context, live)
    if live is None or folder is None:
        return None
    config = scope.config()
    settings = config.upstream
    price = UpstreamPrice(settings.price_in, settings.price_out)
    since = datetime.now(UTC) - timedelta(days=days)
    ledger = scope.store.ledger
    recent = ledger.usage(project=scope.name, since=since, by=("model_version",))
    mine = [row for row in recent if row.by["model_version"] == live.id and _inputs(row) > 0]
    ever = ledger.usage(project=scope.name, by=("model_version",))
    inputs = sum(map(_inputs, mine))
    passed = sum(row.units.get(f"{UPSTREAM}inputs", 0) for row in mine)
    data = scope.store.catalog.latest_data(scope.name) if waiting else None
    return Savings(
        project=scope.called,
        version=live.id,
        address=urlsplit(str(read_card(folder).extra.get("address", ""))).netloc,
        days=days,
        inputs=inputs,
        here=1 - passed / inputs if inputs else None,
        cost=_mean(mine, price),
        before=_mean([row for row in ever if _is_all_passed(row)], price),
        currency=config.serving.currency,
        metric=str(live.metrics.get("primary", "")),
        quality=_judged(live),
        kept=len(new_calls(context, data)) if waiting else 0,
        need=settings.min_calls,
        learn=settings.learn,
        priced=bool(settings.price_in or settings.price_out),
    )


def sentence(scope: Scope) -> str:
    """The savings in one sentence, for ``feilun status``; "" where there is nothing to say."""
    found = savings(scope, waiting=False) if scope.file.exists() else None
    return found.line() if found is not None else ""


def _inputs(row: UsageRow) -> int:
    return row.units.get("inputs", 0)


def _is_all_passed(row: UsageRow) -> bool:
    return 0 < _inputs(row) == row.units.get(f"{UPSTREAM}inputs", 0)


def _mean(rows: Sequence[UsageRow], price: UpstreamPrice) -> float | None:
    """What 1,000 inputs cost. Calls from before the other server's price was set count by the price
    of now."""
    inputs = sum(map(_inputs, rows))
    if not inputs:
        return None
    whole = 0.0
    for row in rows:
        whole += row.cost
        if UPSTREAM_COST not in row.units:
            units = ("tokens_in", "tokens_out")
            whole += price.of({name: row.units.get(f"{UPSTREAM}{name}", 0) for name in units})
    return whole / MICRO / inputs * 1000


def _judged(version: ModelVersion) -> Mapping[str, float] | None:
    found: Any = version.metrics.get("upstream")
    return found if isinstance(found, Mapping) else None


def _quality(metric: str, found: Mapping[str, float] | None) -> str:
    if not found:
        return ""
    low, high = signed(metric, found["low"]), signed(metric, found["high"])
    key = "upstream.points_equal" if found["low"] >= -found["margin"] else "upstream.points"
    return t(key, low=low, high=high)


def _amount(value: float, currency: str) -> str:
    """With as many decimals as tell something."""
    micro = round(value * MICRO)
    return exact_text(round(micro, -4) if micro >= 50_000 else micro, currency)


def _per_1000(value: float | None, currency: str) -> str:
    return "–" if value is None else f"{_amount(value, currency)} {currency}"


def next_step(scope: Scope) -> tuple[str, float | None]:
    """The version that stands beside the other server now, and the percent of the calls that it
    gets next; None for the live place. Raises `NotFound` where there is none."""
    catalog = scope.store.catalog
    standing = [
        one
        for one in catalog.active(catalog.project(scope.name).endpoint)
        if one.role != "live"
        and upstream_of(scope.context(), catalog.model_version(one.version)) is not None
    ]
    if not standing:
        raise NotFound("upstream.no_step", project=scope.called)
    now = standing[-1]
    reached = 0 if now.role == "shadow" else round(100 * now.weight)
    following = next(step for step in scope.config().upstream.steps if step > reached)
    return now.version, None if following == 100 else float(following)
