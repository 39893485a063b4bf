"""The keys of a workspace, as they are made, changed and shown."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from feilun.billing import keys as billing
from feilun.billing.limits import parse_limits
from feilun.client import encode_item
from feilun.messages import language, t
from feilun.project.results import Listing
from feilun.store import Store
from feilun.store.dataset import Dataset
from feilun.store.records import DEFAULT_SCOPES, ApiKey, Customer
from feilun.store.records import Project as ProjectRow
from feilun.table import Result, Table
from feilun.tasks.base import get as get_task

__all__ = [
    "NewApiKey",
    "RotatedKey",
    "create_key",
    "held",
    "holder",
    "list_keys",
    "rotate_key",
    "working",
]


@dataclass(frozen=True)
class NewApiKey(Result):
    """A key just made; `secret` is shown this once and kept nowhere."""

    secret: str
    prefix: str
    customer: str
    project: str | None
    curl: str
    id: str = ""
    scopes: tuple[str, ...] = ()
    limits: Mapping[str, Any] = field(default_factory=dict)
    expires: datetime | None = None

    def tables(self) -> Sequence[Table]:
        notes = [self.secret, t("project.key_once"), "", t("project.key_try"), self.curl]
        return (Table(t("project.key_made", customer=self.customer), (), (), notes),)


@dataclass(frozen=True)
class RotatedKey(Result):
    """A key that takes another's place; `secret` is shown this once. The old one works until
    `old_expires`."""

    secret: str
    id: str
    prefix: str
    expires: datetime | None
    old_id: str
    old_prefix: str
    old_expires: datetime

    def tables(self) -> Sequence[Table]:
        until = f"{self.old_expires:%Y-%m-%d %H:%M:%S} UTC"
        notes = [
            self.secret,
            t("project.key_once"),
            t("project.key_until", prefix=self.old_prefix, until=until),
        ]
        return (Table(t("project.key_rotated_to", prefix=self.prefix), (), (), notes),)


def create_key(
    store: Store,
    customer: str,
    *,
    name: str = "",
    project: str | None = None,
    days: int | None = None,
    store_inputs: int | None = None,
    scopes: Sequence[str] = DEFAULT_SCOPES,
    limits: Mapping[str, Any] | None = None,
) -> NewApiKey:
    """See `Workspace.create_key`."""
    catalog = store.catalog
    checked = parse_limits(limits or {}).stored()
    chosen = billing.check_scopes(scopes)
    known = catalog.customer_named(customer) or catalog.add_customer(customer)
    expires = datetime.now(UTC) + timedelta(days=days) if days else None
    project = catalog.project(project).name if project is not None else None
    made = billing.create_key(
        catalog,
        known.id,
        name=name,
        project=project,
        store_inputs=store_inputs,
        expires=expires,
        scopes=chosen,
        limits=checked,
    )
    return NewApiKey(
        secret=made.secret,
        prefix=made.record.prefix,
        customer=known.name,
        project=project,
        curl=_curl(store, made.secret, project),
        id=made.record.id,
        scopes=made.record.scopes,
        limits=made.record.limits,
        expires=expires,
    )


def holder(store: Store, secret: str) -> Customer:
    """See `Workspace.holder`."""
    return store.catalog.customer(held(store, secret).customer)


def held(store: Store, secret: str) -> ApiKey:
    """See `Workspace.held`."""
    ring = billing.KeyRing(store.catalog)
    ring.reload()
    key = ring.find(secret.encode("utf-8", "replace"))
    billing.require(key, "usage")
    return key


def working(store: Store, customer: str, key: str) -> ApiKey | None:
    """See `Workspace.working_key`."""
    found = next((one for one in store.catalog.keys(customer) if one.id == key), None)
    if found is None or found.revoked is not None:
        return None
    ended = found.expires is not None and found.expires <= datetime.now(UTC)
    return None if ended else found


def rotate_key(store: Store, which: str, overlap: timedelta) -> RotatedKey:
    """See `Workspace.rotate_key`."""
    made = billing.rotate_key(store.catalog, which, overlap=overlap)
    old, new = made.old, made.record
    assert old is not None
    assert old.expires is not None
    return RotatedKey(
        secret=made.secret,
        id=new.id,
        prefix=new.prefix,
        expires=new.expires,
        old_id=old.id,
        old_prefix=old.prefix,
        old_expires=old.expires,
    )


def list_keys(store: Store) -> Listing:
    """See `Workspace.keys`."""
    catalog = store.catalog
    names = {c.id: c.name for c in catalog.customers()}
    now = datetime.now(UTC)
    rows: list[dict[str, Any]] = [
        {
            "id": key.id,
            "prefix": key.prefix,
            "customer": names[key.customer],
            "name": key.name,
            "project": key.project,
            "scopes": list(key.scopes),
            "limits": dict(key.limits),
            "created": key.created,
            "expires": key.expires,
            "state": _state(key, now),
            "successor": key.successor,
        }
        for key in catalog.keys(None)
    ]
    shown = [
        [
            r["prefix"] + "…",
            r["customer"],
            r["name"],
            r["project"] or t("project.all"),
            " ".join(r["scopes"]),
            f"{r['created']:%Y-%m-%d}",
            f"{r['expires']:%Y-%m-%d %H:%M}" if r["expires"] else "",
            t(f"project.key_{r['state']}"),
        ]
        for r in rows
    ]
    names_of = ("key", "customer", "name", "project", "scopes", "created", "expires", "state")
    return Listing(rows, Table(t("project.keys"), [t(f"project.{c}") for c in names_of], shown))


def _state(key: ApiKey, now: datetime) -> str:
    if key.revoked:
        return "revoked"
    if key.expires and key.expires <= now:
        return "expired"
    return "rotated" if key.successor else "active"


def _curl(store: Store, secret: str, project: str | None) -> str:
    projects = store.catalog.projects()
    servers = store.catalog.servers()
    chosen = next((p for p in projects if p.name == project), projects[0] if projects else None)
    endpoint, item = (chosen.endpoint, _sample(store, chosen)) if chosen else ("NAME", "…")
    address = servers[0].address if servers else "http://127.0.0.1:8000"
    body = json.dumps({"model": endpoint, "inputs": [item]}, ensure_ascii=False)
    return (
        f"curl -s {address}/v1/predict -H 'Authorization: Bearer {secret}' "
        f"-H 'Content-Type: application/json' -d {shlex.quote(body)}"
    )


def _sample(store: Store, project: ProjectRow) -> Any:
    """An input that answers, as it goes over the wire: the first of the task's own examples, of a
    task with open columns a made-up row of them."""
    task = get_task(project.task)
    data = store.catalog.latest_data(project.name) if task.open_columns else None
    if data is None:
        return encode_item(task.shown_example(language()))
    schema = Dataset(store.artifacts.path(data.artifact)).schema
    return encode_item(task.bound(schema.settings).example_items()[-1])
