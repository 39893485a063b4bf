"""The catalog's customers, keys and settings."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from feilun.errors import Conflict, NotFound, UsageError
from feilun.store import tables_catalog as t
from feilun.store.catalog_audit import note
from feilun.store.catalog_base import CatalogPart, as_dict, one, put_setting, touch
from feilun.store.catalog_projects import find_project
from feilun.store.columns import now
from feilun.store.ids import new_id
from feilun.store.records import DEFAULT_SCOPES, ApiKey, Customer

__all__ = ["Access", "plain_name"]


class Access(CatalogPart):
    """Who may call."""

    def add_customer(self, name: str, id: str | None = None, *, unique: bool = False) -> Customer:
        """A new customer; `name` is kept in its `plain_name`. Raises `Conflict` if `id` is taken
        and, when `unique`, if the name is, `UsageError` for a name that shows nothing."""
        name = plain_name(name)
        if not name:
            raise UsageError("store.customer_unnamed")
        row: dict[str, Any] = {"id": id or new_id("cus_"), "name": name, "created": now()}
        try:
            with self._db.write() as connection:
                if unique and _named(connection, name) is not None:
                    raise Conflict("plans.customer_exists", name=name)
                connection.execute(insert(t.customers).values(row))
                note(connection, "customer.create", row["id"], {"name": name})
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
        """The oldest customer of exactly this name, else of this name written otherwise (see
        `plain_name`)."""
        with self._db.read() as connection:
            row = _named(connection, name)
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
        scopes: Sequence[str] = DEFAULT_SCOPES,
        limits: Mapping[str, Any] | None = None,
    ) -> ApiKey:
        """Notes a key by its visible `prefix` and the sha256 `hash` of the whole. Raises
        `NotFound` for an unknown customer or project, `Conflict` for a hash that is there."""
        self.customer(customer)
        if project is not None:
            with self._db.read() as connection:
                project = find_project(connection, project).name
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
            "scopes": list(scopes),
            "limits": dict(limits or {}),
            "successor": None,
        }
        try:
            with self._db.write() as connection:
                touch(connection)
                connection.execute(insert(t.api_keys).values(row))
                note(connection, "key.create", row["id"], _told(row))
        except IntegrityError:
            raise Conflict("store.key_exists", prefix=prefix) from None
        return _key(row)

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
            keys = [_key(as_dict(row)) for row in connection.execute(query)]
        before = {key.successor: key for key in keys if key.successor is not None}
        return [replace(key, earlier=_earlier(key, before)) for key in keys]

    def revoke_key(self, which: str) -> ApiKey:
        """Revokes the key of this id, or the only one of this prefix; again does nothing.

        Raises `NotFound`, and `Conflict` when several keys have the prefix.
        """
        with self._db.write() as connection:
            touch(connection)
            row = _find_key(connection, which)
            if row["revoked"] is None:
                row["revoked"] = now()
                _change_key(connection, row["id"], revoked=row["revoked"])
                note(connection, "key.revoke", row["id"], {"prefix": row["prefix"]})
        return _key(row)

    def rotate_key(
        self,
        which: str,
        prefix: str,
        hash: str,
        *,
        overlap: timedelta,
    ) -> tuple[ApiKey, ApiKey]:
        """A new key (`prefix`, `hash`) in place of the one that `revoke_key` would find, which
        works for another `overlap` at most: the old one and the new.

        The new key opens what the old one opens; where that would have expired, it lives as long
        from now as the old one was made for. Raises `NotFound`, and `Conflict` when several keys
        have the prefix or the key no longer works or has been rotated already.
        """
        with self._db.write() as connection:
            touch(connection)
            old = _find_key(connection, which)
            moment = now()
            expired = old["expires"] is not None and old["expires"] <= moment
            if old["revoked"] is not None or expired or old["successor"] is not None:
                successor = old["successor"] or "-"
                raise Conflict("store.key_not_rotated", key=old["prefix"], successor=successor)
            life = None if old["expires"] is None else old["expires"] - old["created"]
            new = old | {
                "id": new_id("key_"),
                "prefix": prefix,
                "hash": hash,
                "created": moment,
                "expires": None if life is None else moment + life,
            }
            connection.execute(insert(t.api_keys).values(new))
            ends = moment + overlap
            old["expires"] = ends if old["expires"] is None else min(ends, old["expires"])
            old["successor"] = new["id"]
            _change_key(connection, old["id"], expires=old["expires"], successor=new["id"])
            detail = {"old": old["id"], "old_expires": old["expires"].isoformat(), **_told(new)}
            note(connection, "key.rotate", new["id"], detail)
        return _key(old), _key(new)

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

    def corpora(self, project: str) -> list[dict[str, Any]]:
        """What is kept of each corpus of `project`, oldest first."""
        found = self.settings(f"corpus:{project}:")
        return [found[key] for key in sorted(found)]

    def set_setting(self, key: str, value: Any) -> None:
        """Keeps a JSON value under `key`, in place of what was there."""
        with self._db.write() as connection:
            put_setting(connection, key, value)


def plain_name(name: str) -> str:
    """A name as it is compared: Unicode form NFC, no space around it, single ones within."""
    return " ".join(unicodedata.normalize("NFC", name).split())


def _named(connection: Connection, name: str) -> dict[str, Any] | None:
    table = t.customers
    exact = select(table).where(table.c.name == name).order_by(table.c.created)
    row = one(connection, exact)
    if row is not None:
        return row
    # Names of earlier workspaces stand as they were given.
    wanted = plain_name(name)
    for id, known in connection.execute(select(table.c.id, table.c.name).order_by(table.c.created)):
        if plain_name(known) == wanted:
            return one(connection, select(table).where(table.c.id == id))
    return None


def _earlier(key: ApiKey, before: Mapping[str, ApiKey]) -> tuple[str, ...]:
    """The ids of the keys whose place `key` took, oldest first."""
    found: list[str] = []
    while (replaced := before.get(key.id)) is not None:
        found.insert(0, replaced.id)
        key = replaced
    return tuple(found)


def _key(row: dict[str, Any]) -> ApiKey:
    return ApiKey(**row | {"scopes": tuple(row["scopes"])})


def _find_key(connection: Connection, which: str) -> dict[str, Any]:
    """The row of the key of this id, or of the only one of this prefix, held against others."""
    table = t.api_keys
    query = select(table).where((table.c.id == which) | (table.c.prefix == which))
    found = [as_dict(row) for row in connection.execute(query)]
    if not found:
        raise NotFound("store.no_key", key=which)
    if len(found) > 1:
        raise Conflict("store.key_ambiguous", key=which, options=[row["id"] for row in found])
    return found[0]


def _change_key(connection: Connection, id: str, **values: Any) -> None:
    connection.execute(update(t.api_keys).where(t.api_keys.c.id == id).values(**values))


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the audit log says of a new key: never its hash."""
    names = ("prefix", "customer", "name", "project", "scopes", "limits", "store_inputs")
    told = {name: row[name] for name in names}
    return told | {"expires": row["expires"].isoformat() if row["expires"] else None}
