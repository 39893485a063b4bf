"""The catalog's customers, keys, prices and settings."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from feilun.errors import Conflict, NotFound
from feilun.store import tables_catalog as t
from feilun.store.catalog_base import CatalogPart, as_dict, one, put_setting, touch
from feilun.store.columns import now
from feilun.store.ids import new_id
from feilun.store.records import ApiKey, Customer, Price

__all__ = ["Access"]


class Access(CatalogPart):
    """Who may call, at what price."""

    def add_customer(self, name: str, id: str | None = None) -> Customer:
        """A new customer. Raises `Conflict` if `id` is taken."""
        row: dict[str, Any] = {"id": id or new_id("cus_"), "name": name, "created": now()}
        try:
            with self._db.write() as connection:
                connection.execute(insert(t.customers).values(row))
        except IntegrityError:
            raise Conflict("store.customer_exists", id=row["id"]) from None
        return Customer(**row)

    def customer(self, id: str) -> Customer:
        """The customer of this id. Raises `NotFound`."""
        with self._db.read() as connection:
            row = one(connection, select(t.customers).where(t.customers.c.id == id))
        if row is None:
            raise NotFound("store.no_customer", id=id)
        return Customer(**row)

    def customer_named(self, name: str) -> Customer | None:
        """The oldest customer of this name."""
        query = (
            select(t.customers).where(t.customers.c.name == name).order_by(t.customers.c.created)
        )
        with self._db.read() as connection:
            row = one(connection, query)
        return None if row is None else Customer(**row)

    def customers(self) -> list[Customer]:
        """All customers, oldest first."""
        with self._db.read() as connection:
            rows = connection.execute(select(t.customers).order_by(t.customers.c.created))
            return [Customer(**as_dict(row)) for row in rows]

    def add_key(
        self,
        customer: str,
        prefix: str,
        hash: str,
        *,
        name: str = "",
        project: str | None = None,
        store_inputs: int | None = None,
        expires: datetime | None = None,
    ) -> ApiKey:
        """Notes a key by its visible `prefix` and the sha256 `hash` of the whole. Raises
        `NotFound` for an unknown customer or project, `Conflict` for a hash that is there."""
        self.customer(customer)
        if project is not None:
            with self._db.read() as connection:
                known = connection.scalar(
                    select(t.projects.c.name).where(t.projects.c.name == project)
                )
                options = list(connection.scalars(select(t.projects.c.name))) or "-"
            if known is None:
                raise NotFound("store.no_project", project=project, options=options)
        row: dict[str, Any] = {
            "id": new_id("key_"),
            "prefix": prefix,
            "hash": hash,
            "customer": customer,
            "name": name,
            "project": project,
            "store_inputs": store_inputs,
            "created": now(),
            "expires": expires,
            "revoked": None,
        }
        try:
            with self._db.write() as connection:
                touch(connection)
                connection.execute(insert(t.api_keys).values(row))
        except IntegrityError:
            raise Conflict("store.key_exists", prefix=prefix) from None
        return ApiKey(**row)

    def key_by_hash(self, hash: str) -> ApiKey | None:
        """The key of this sha256, revoked and expired ones too."""
        with self._db.read() as connection:
            row = one(connection, select(t.api_keys).where(t.api_keys.c.hash == hash))
        return None if row is None else _key(row)

    def keys(self, customer: str | None = None, project: str | None = None) -> list[ApiKey]:
        """Keys, oldest first; those of `project` include the keys that open every project."""
        query = select(t.api_keys).order_by(t.api_keys.c.created)
        if customer is not None:
            query = query.where(t.api_keys.c.customer == customer)
        if project is not None:
            opens = (t.api_keys.c.project == project) | t.api_keys.c.project.is_(None)
            query = query.where(opens)
        with self._db.read() as connection:
            return [_key(as_dict(row)) for row in connection.execute(query)]

    def revoke_key(self, which: str) -> ApiKey:
        """Revokes the key of this id, or the only one of this prefix; again does nothing.

        Raises `NotFound`, and `Conflict` when several keys have the prefix.
        """
        table = t.api_keys
        with self._db.write() as connection:
            touch(connection)
            query = select(table).where((table.c.id == which) | (table.c.prefix == which))
            found = [as_dict(row) for row in connection.execute(query)]
            if not found:
                raise NotFound("store.no_key", key=which)
            if len(found) > 1:
                options = [row["id"] for row in found]
                raise Conflict("store.key_ambiguous", key=which, options=options)
            row = found[0]
            row["revoked"] = row["revoked"] or now()
            connection.execute(
                update(table).where(table.c.id == row["id"]).values(revoked=row["revoked"])
            )
        return _key(row)

    def add_price(
        self, project: str, amount: int, currency: str, effective: datetime | None = None
    ) -> Price:
        """What 1,000 inputs of `project` cost from `effective` (default: now) on, in micro-units.

        The price in force is returned when it is the same.
        """
        with self._db.write() as connection:
            touch(connection)
            current = one(connection, _price_at(project, effective or now()))
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
        return Price(id=key[0], **row)

    def price(self, project: str, at: datetime | None = None) -> Price | None:
        """The price of `project` in force at `at` (default: now), None where none is set."""
        with self._db.read() as connection:
            row = one(connection, _price_at(project, at or now()))
        return None if row is None else Price(**row)

    def prices(self, project: str) -> list[Price]:
        """All prices of `project` by the time they take effect."""
        query = (
            select(t.prices)
            .where(t.prices.c.project == project)
            .order_by(t.prices.c.effective, t.prices.c.id)
        )
        with self._db.read() as connection:
            return [Price(**as_dict(row)) for row in connection.execute(query)]

    def setting(self, key: str, default: Any = None) -> Any:
        """The JSON value kept under `key`."""
        query = select(t.settings).where(t.settings.c.key == key)
        with self._db.read() as connection:
            row = connection.execute(query).first()
        return default if row is None else row.value

    def settings(self, prefix: str) -> dict[str, Any]:
        """The JSON values under all keys that begin with `prefix`."""
        key = t.settings.c.key
        with self._db.read() as connection:
            query = select(t.settings).where(key.startswith(prefix, autoescape=True))
            return {row.key: row.value for row in connection.execute(query)}

    def set_setting(self, key: str, value: Any) -> None:
        """Keeps a JSON value under `key`, in place of what was there."""
        with self._db.write() as connection:
            put_setting(connection, key, value)


def _key(row: dict[str, Any]) -> ApiKey:
    return ApiKey(**row | {"scopes": tuple(row["scopes"])})


def _price_at(project: str, moment: datetime) -> Any:
    return (
        select(t.prices)
        .where(t.prices.c.project == project, t.prices.c.effective <= moment)
        .order_by(t.prices.c.effective.desc(), t.prices.c.id.desc())
        .limit(1)
    )
