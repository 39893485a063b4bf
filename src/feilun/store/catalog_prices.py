"""What customers pay: list prices, plans with their versions, and who is on which plan.

A row in `prices` is never changed: a new price is a new row, in force from its date on.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update

from feilun.errors import NotFound, UsageError
from feilun.store import tables_catalog as t
from feilun.store.catalog_access import plain_name
from feilun.store.catalog_audit import note
from feilun.store.catalog_base import CatalogPart, as_dict, one, touch
from feilun.store.columns import now
from feilun.store.records import Customer, Price, Subscription

__all__ = ["Prices"]


class Prices(CatalogPart):
    """List prices, plans and subscriptions, and what a customer may use at most."""

    def add_price(
        self, project: str, amount: int, currency: str, effective: datetime | None = None
    ) -> Price:
        """What 1,000 inputs of `project` cost from `effective` (default: now) on, in micro-units.

        The price in force is returned when it is the same.
        """
        with self._db.write() as connection:
            touch(connection)
            current = one(connection, _price_at(t.prices.c.project == project, effective or now()))
            if current and (current["amount"], current["currency"]) == (amount, currency):
                return Price(**current)
            row: dict[str, Any] = {
                "project": project,
                "amount": amount,
                "currency": currency,
                "effective": effective or now(),
                "created": now(),
            }
            key = connection.execute(insert(t.prices).values(row)).inserted_primary_key
            assert key is not None
            said = {
                "amount": amount,
                "currency": currency,
                "effective": row["effective"].isoformat(),
            }
            note(connection, "price.set", project, said)
        return Price(id=key[0], **row)

    def price(self, project: str, at: datetime | None = None) -> Price | None:
        """The price of `project` in force at `at` (default: now), None where none is set."""
        with self._db.read() as connection:
            row = one(connection, _price_at(t.prices.c.project == project, at or now()))
        return None if row is None else Price(**row)

    def prices(self, project: str | None = None) -> list[Price]:
        """All prices of `project` by the time they take effect; without one all list prices and
        all versions of plans."""
        query = select(t.prices).order_by(t.prices.c.effective, t.prices.c.id)
        if project is not None:
            query = query.where(t.prices.c.project == project)
        with self._db.read() as connection:
            return [Price(**as_dict(row)) for row in connection.execute(query)]

    def add_plan(
        self,
        plan: str,
        document: Mapping[str, Any],
        currency: str,
        effective: datetime | None = None,
    ) -> Price:
        """A version of `plan`, in force from `effective` (default: now) on. The version in force
        then is returned when it says the same. Whether the date may lie in the past is for the
        caller to judge: `feilun.billing.plans.set_plan` does."""
        with self._db.write() as connection:
            touch(connection)
            moment = now()
            current = one(connection, _price_at(t.prices.c.plan == plan, effective or moment))
            if current and current["document"] == document:
                return Price(**current)
            row: dict[str, Any] = {
                "plan": plan,
                "document": dict(document),
                "currency": currency,
                "effective": effective or moment,
                "created": moment,
            }
            key = connection.execute(insert(t.prices).values(row)).inserted_primary_key
            assert key is not None
            said = {"version": key[0], "effective": row["effective"].isoformat(), **document}
            note(connection, "plan.set", plan, said)
        return Price(id=key[0], project=None, amount=None, **row)

    def plan_versions(self, plan: str | None = None) -> list[Price]:
        """The versions of `plan`, or of all plans, by the time they take effect."""
        query = (
            select(t.prices)
            .where(t.prices.c.plan.is_not(None) if plan is None else t.prices.c.plan == plan)
            .order_by(t.prices.c.effective, t.prices.c.id)
        )
        with self._db.read() as connection:
            return [Price(**as_dict(row)) for row in connection.execute(query)]

    def subscribe(
        self, customer: str, plan: str | None, effective: datetime | None = None
    ) -> Subscription:
        """Puts `customer` (an id) on `plan` from `effective` (default: now) on; None ends its plan,
        so that list prices hold. Raises `NotFound` for an unknown customer or plan."""
        with self._db.write() as connection:
            touch(connection)
            c = t.customers.c
            if connection.scalar(select(c.id).where(c.id == customer)) is None:
                raise NotFound("store.no_customer", id=customer)
            known = set(
                connection.scalars(select(t.prices.c.plan).where(t.prices.c.plan.is_not(None)))
            )
            if plan is not None and plan not in known:
                raise NotFound("store.no_plan", plan=plan, options=sorted(known) or "-")
            moment = now()
            row: dict[str, Any] = {
                "customer": customer,
                "plan": plan or "",
                "effective": effective or moment,
                "created": moment,
            }
            key = connection.execute(insert(t.subscriptions).values(row)).inserted_primary_key
            assert key is not None
            said = {"plan": plan, "effective": row["effective"].isoformat()}
            note(connection, "customer.plan", customer, said)
        return Subscription(id=key[0], **row | {"plan": plan})

    def subscriptions(self, customer: str | None = None) -> list[Subscription]:
        """Who is on which plan from when, by the time it takes effect."""
        query = select(t.subscriptions).order_by(t.subscriptions.c.effective, t.subscriptions.c.id)
        if customer is not None:
            query = query.where(t.subscriptions.c.customer == customer)
        with self._db.read() as connection:
            rows = [as_dict(row) for row in connection.execute(query)]
        return [Subscription(**row | {"plan": row["plan"] or None}) for row in rows]

    def set_customer(
        self,
        customer: str,
        *,
        name: str | None = None,
        details: Mapping[str, Any] | None = None,
        limits: Mapping[str, Any] | None = None,
    ) -> Customer:
        """Changes what is not None of a customer (an id): its name, what stands on its invoices,
        what it may use at most. Raises `NotFound`."""
        given = {"name": name, "details": details, "limits": limits}
        values = {key: value for key, value in given.items() if value is not None}
        if name is not None:
            values["name"] = plain_name(name)
            if not values["name"]:
                raise UsageError("store.customer_unnamed")
        table = t.customers
        with self._db.write() as connection:
            touch(connection)
            if values:
                connection.execute(update(table).where(table.c.id == customer).values(values))
            row = one(connection, select(table).where(table.c.id == customer))
            if row is None:
                raise NotFound("store.no_customer", id=customer)
            if values:
                note(connection, "customer.set", customer, values)
        return Customer(**row)


def _price_at(which: Any, moment: datetime) -> Any:
    return (
        select(t.prices)
        .where(which, t.prices.c.effective <= moment)
        .order_by(t.prices.c.effective.desc(), t.prices.c.id.desc())
        .limit(1)
    )
