"""The plans of a workspace: setting a version, listing, showing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feilun.billing.currency import exact_text, micro_of
from feilun.billing.plans import Plan, read_plan, set_plan
from feilun.errors import NotFound
from feilun.messages import t
from feilun.project.results import Listing
from feilun.store.records import Price
from feilun.table import Result, Table

if TYPE_CHECKING:
    from feilun.store.store import Store

__all__ = ["PlanShown", "Plans", "limit_words"]


@dataclass(frozen=True)
class PlanShown(Result):
    """One version of a plan. `version` is the number that events name as their price version;
    `state` is ``past``, ``now`` or ``later``."""

    name: str
    version: int
    state: str
    effective: datetime
    document: Mapping[str, Any]
    customers: Sequence[str]
    unknown: Sequence[str] = ()
    """Projects and endpoints that its rates name and this workspace has not: a slip, or to come."""

    def tables(self) -> Sequence[Table]:
        plan = Plan.model_validate(self.document)
        rows = [row for rate in plan.rates for row in _rate_rows(rate, plan.currency)]
        minimum = exact_text(plan.minimum, plan.currency)
        notes = [
            t("plans.holds", version=self.version, date=_date(self.effective), state=self._state),
            t("plans.minimum", amount=minimum, currency=plan.currency),
            t("plans.limits", limits=limit_words(self.document.get("limits", {}))),
            t("plans.customers_of", customers=self.customers or "–"),
        ]
        if plan.description:
            notes.insert(0, plan.description)
        if self.unknown:
            notes.append(t("plans.unknown", names=self.unknown))
        free = [f"{rate.project} {rate.unit}" for rate in plan.rates if _is_free(rate)]
        if free and not plan.minimum:
            notes.append(t("plans.free", names=free))
        columns = [
            t("plans.project"),
            t("plans.endpoint"),
            t("plans.unit"),
            t("plans.volume"),
            t("plans.per_1000", currency=plan.currency),
        ]
        return (Table(t("plans.plan", name=self.name), columns, rows, notes),)

    @property
    def _state(self) -> str:
        return t(f"plans.state_{self.state}")


class Plans:
    """The plans of one workspace."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def set(
        self, file: Path | str, *, name: str | None = None, effective: datetime | None = None
    ) -> PlanShown:
        """Makes the plan in `file` (TOML or JSON) a version of the plan `name` (default: what the
        file says, else the file's name), from `effective` (default: now) on.

        Raises `InvalidSettings` with every fault of the document, `Conflict` for a date in the past
        and for another currency.
        """
        found, plan = read_plan(Path(file))
        price = set_plan(self._store.catalog, name or found, plan, effective)
        return self._shown(price, datetime.now(UTC))

    def all(self) -> Listing:
        """Every plan with the version in force, or the first to come."""
        now = datetime.now(UTC)
        shown = [self._shown(versions, now) for versions in self._in_force(now).values()]
        rows = [
            {
                "name": one.name,
                "version": one.version,
                "state": one.state,
                "effective": one.effective.isoformat(),
                "currency": one.document["currency"],
                "customers": len(one.customers),
            }
            for one in shown
        ]
        words = [
            [
                one.name,
                str(one.version),
                f"{_date(one.effective)} ({one._state})",
                one.document["currency"],
                str(len(one.customers)),
            ]
            for one in shown
        ]
        names = ("name", "version", "since", "currency", "customers")
        return Listing(rows, Table(t("plans.plans"), [t(f"plans.{n}") for n in names], words))

    def show(self, name: str, version: int | None = None) -> PlanShown:
        """The version of the plan `name` that is in force (or the first to come), or the one of
        this number. Raises `NotFound`."""
        versions = self._store.catalog.plan_versions(name)
        if not versions:
            known = sorted({str(price.plan) for price in self._store.catalog.plan_versions()})
            raise NotFound("store.no_plan", plan=name, options=known or "-")
        now = datetime.now(UTC)
        if version is None:
            return self._shown(self._in_force(now)[name], now)
        for price in versions:
            if price.id == version:
                return self._shown(price, now)
        raise NotFound(
            "plans.no_version", plan=name, version=version, options=[p.id for p in versions]
        )

    def _in_force(self, now: datetime) -> dict[str, Price]:
        """Of each plan the version in force, else the first one to come; by name."""
        found: dict[str, Price] = {}
        for price in self._store.catalog.plan_versions():  # by the time they take effect
            name = str(price.plan)
            if name not in found or price.effective <= now:
                found[name] = price
        return dict(sorted(found.items()))

    def _shown(self, price: Price, now: datetime) -> PlanShown:
        name = str(price.plan)
        in_force = self._in_force(now).get(name)
        state = "later"
        if price.effective <= now:
            state = "now" if in_force is not None and in_force.id == price.id else "past"
        return PlanShown(
            name=name,
            version=price.id,
            state=state,
            effective=price.effective,
            document=dict(price.document or {}),
            customers=self._customers(name, now),
            unknown=self._unknown(Plan.model_validate(price.document)),
        )

    def _unknown(self, plan: Plan) -> list[str]:
        projects = self._store.catalog.projects()
        known = {"*"} | {p.name for p in projects} | {p.endpoint for p in projects}
        named = {name for rate in plan.rates for name in (rate.project, rate.endpoint)}
        return sorted(named - known)

    def _customers(self, plan: str, now: datetime) -> list[str]:
        current: dict[str, str | None] = {}
        for subscription in self._store.catalog.subscriptions():
            if subscription.effective <= now:
                current[subscription.customer] = subscription.plan
        names = {customer.id: customer.name for customer in self._store.catalog.customers()}
        return sorted(names[id_] for id_, held in current.items() if held == plan)


def limit_words(limits: Mapping[str, Any]) -> str:
    """Limits as a person reads them; a dash where there are none."""
    said = [
        t(f"plans.limit_{name}", value=_number(value))
        for name, value in limits.items()
        if value is not None and value is not False
    ]
    return t("plans.limits_list", said=said) if said else "–"


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _is_free(rate: Any) -> bool:
    return all(micro_of(tier.per_1000) == 0 for tier in rate.tiers)


def _rate_rows(rate: Any, currency: str) -> list[list[str]]:
    rows: list[list[str]] = []
    begin = 0
    tiers = [(tier.up_to, tier.per_1000) for tier in rate.tiers]
    if rate.included:
        tiers.insert(0, (rate.included, "0"))
    for end, per_1000 in tiers:
        first = not rows
        span = f"{begin + 1:,} – {end:,}" if end else f"{begin + 1:,} –"
        price = exact_text(micro_of(per_1000), currency)
        who = [rate.project, rate.endpoint, rate.unit] if first else ["", "", ""]
        rows.append([*who, span, price])
        begin = end or begin
    return rows


def _date(moment: datetime) -> str:
    """A date, with the time where it does not begin a day."""
    return f"{moment:%Y-%m-%d}" if f"{moment:%H%M%S}" == "000000" else f"{moment:%Y-%m-%d %H:%M}"
