"""Routes of the administration, ``/admin/v1``: customers, keys, deployments, usage, the audit log.

They are off unless ``feilun serve --admin`` turns them on, take a token of their own or a key with
the scope ``admin``, and write every act into the audit log with whoever did it.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from feilun.api.context import Api, bearer
from feilun.api.encoding import encode
from feilun.api.json_route import JsonRoute
from feilun.api.routes import bearer_scheme, current_api
from feilun.api.security import of_request
from feilun.billing.keys import SCOPES, NewKey, create_key, rotate_key
from feilun.billing.limits import parse_limits
from feilun.project import Workspace
from feilun.store.catalog_audit import acting
from feilun.store.records import DEFAULT_SCOPES, ApiKey, Customer
from feilun.table import to_jsonable

__all__ = ["router"]

router = APIRouter(route_class=JsonRoute, prefix="/admin/v1", tags=["administration"])


async def administrator(
    request: Request,
    api: Annotated[Api, Depends(current_api)],
    _: Annotated[Any, Depends(bearer_scheme)],
) -> str:
    """Who administers, as the audit log names them: a key's id, or the token and an address.

    Raises `Unauthorized`, `Forbidden` for a key without the scope, `RateLimited`.
    """
    headers = dict(request.scope["headers"])
    if _is_token(bearer(headers), api.security.admin_token):
        return f"admin-token@{of_request(api.security.proxies)}"
    key = await api.authorise(headers, "admin")
    return key.id


def _is_token(given: bytes, token: str) -> bool:
    """Compared by hash and in constant time, so that neither the token's length nor how much of it
    was right shows."""
    mine = sha256(token.encode()).digest()
    return bool(token) and hmac.compare_digest(sha256(given).digest(), mine)


ApiOf = Annotated[Api, Depends(current_api)]
Actor = Annotated[str, Depends(administrator)]
Id = Annotated[str, Path(max_length=100)]


class Body(BaseModel):
    """A body: unknown fields are faults."""

    model_config = ConfigDict(extra="forbid")


class CustomerBody(Body):
    """A new customer; `id` is made up when it is left out."""

    name: str = Field(min_length=1, max_length=200)
    id: str | None = Field(None, pattern=r"^[A-Za-z0-9_.-]{1,64}$")


class KeyBody(Body):
    """A new key for `customer` (an id)."""

    customer: str = Field(max_length=100)
    name: str = Field("", max_length=200)
    project: str | None = Field(None, max_length=100)
    days: int | None = Field(None, ge=1, le=36_500)
    store_inputs: int | None = Field(None, ge=0, le=36_500)
    scopes: list[str] = Field(list(DEFAULT_SCOPES), max_length=len(SCOPES))
    limits: dict[str, Any] = Field(default_factory=dict)


class TopupBody(Body):
    """What was paid beforehand: `amount` as text, such as ``"50.00"``. With a `reference` (the
    number of the payment) it is recorded once, however often it is sent."""

    amount: str = Field(max_length=40)
    currency: str | None = Field(None, pattern=r"^[A-Za-z]{3}$")
    note: str = Field("", max_length=500)
    reference: str | None = Field(None, min_length=1, max_length=200)


class ErasureBody(Body):
    """Whom to erase: texts that name the person, ids of rows, of subjects, of calls."""

    texts: list[str] = Field(default_factory=list, max_length=100)
    rows: list[str] = Field(default_factory=list, max_length=10_000)
    subjects: list[str] = Field(default_factory=list, max_length=1000)
    calls: list[str] = Field(default_factory=list, max_length=10_000)
    project: str | None = Field(None, max_length=100)
    dry_run: bool = False
    keep_out: bool = True


class RotateBody(Body):
    """How many seconds the old key goes on working; a day unless it is said."""

    overlap: int = Field(86_400, ge=0, le=366 * 86_400)


class RollbackBody(Body):
    """Nothing needs to be said; a reason is kept."""

    reason: str | None = Field(None, max_length=2000)


@router.get("/customers")
def get_customers(api: ApiOf, _: Actor) -> Response:
    """All customers, oldest first."""
    return _list([_customer(one) for one in api.service.store.catalog.customers()])


@router.post("/customers", status_code=201)
def post_customer(body: CustomerBody, api: ApiOf, actor: Actor) -> Response:
    """A new customer. Without an id of its own it needs a name of its own: 409 otherwise."""
    with acting(actor):
        made = api.service.store.catalog.add_customer(body.name, body.id, unique=body.id is None)
    return _json(_customer(made), 201)


@router.get("/customers/{customer}/invoice-preview")
def get_invoice_preview(
    customer: Id,
    api: ApiOf,
    _: Actor,
    month: Annotated[str | None, Query(pattern=r"^[0-9]{4}-[0-9]{2}$")] = None,
    tax: Annotated[str | None, Query(max_length=20)] = None,
) -> Response:
    """What the invoice of `customer` (an id or a name) for `month` (by default the one that runs)
    would say now: a document for each currency, as closing the month would freeze it but for the
    number. `tax` is a rate in percent. Nothing is charged, numbered or closed; 409 for a month that
    is closed."""
    invoices = Workspace.over(api.service.store).invoices
    found = invoices.preview(customer, month=month, tax=tax)
    return _json({"object": "list", "month": found.month, "data": list(found.documents)})


@router.get("/customers/{customer}/topups")
def get_topups(customer: Id, api: ApiOf, _: Actor) -> Response:
    """What `customer` (an id or a name) paid beforehand, the newest first, and what is left of it
    in each currency."""
    customers = Workspace.over(api.service.store).customers
    shown, found = customers.show(customer), customers.topups(customer)
    balance = [{"currency": code, "remaining": left} for code, left in shown.balance.items()]
    return _json({"object": "list", "balances": balance, "data": list(found.rows)})


@router.post("/customers/{customer}/topups", status_code=201)
def post_topup(body: TopupBody, customer: Id, api: ApiOf, actor: Actor) -> Response:
    """Records that `customer` (an id or a name) paid beforehand. From the first on its calls are
    answered while the balance lasts. 409 where `reference` stands for another top-up."""
    with acting(actor):
        shown = Workspace.over(api.service.store).customers.top_up(
            customer,
            body.amount,
            currency=body.currency,
            note=body.note,
            reference=body.reference,
        )
    balance = [{"currency": code, "remaining": left} for code, left in shown.balance.items()]
    return _json({"object": "list", "balances": balance}, 201)


@router.get("/keys")
def get_keys(
    api: ApiOf, _: Actor, customer: Annotated[str | None, Query(max_length=100)] = None
) -> Response:
    """All keys, or one customer's; never their secrets."""
    return _list([_key(one) for one in api.service.store.catalog.keys(customer)])


@router.post("/keys", status_code=201)
def post_key(body: KeyBody, api: ApiOf, actor: Actor) -> Response:
    """A new key. `secret` is shown in full this once."""
    expires = datetime.now(UTC) + timedelta(days=body.days) if body.days else None
    limits = parse_limits(body.limits).stored()
    with acting(actor):
        made = create_key(
            api.service.store.catalog,
            body.customer,
            name=body.name,
            project=body.project,
            store_inputs=body.store_inputs,
            expires=expires,
            scopes=body.scopes,
            limits=limits,
        )
    return _json(_new(made), 201)


@router.post("/keys/{key}/rotate", status_code=201)
def post_rotate(body: RotateBody, key: Id, api: ApiOf, actor: Actor) -> Response:
    """A new key in place of `key`, an id or a prefix. That works for another `overlap` seconds."""
    with acting(actor):
        made = rotate_key(api.service.store.catalog, key, overlap=timedelta(seconds=body.overlap))
    return _json(_new(made), 201)


@router.delete("/keys/{key}")
def delete_key(key: Id, api: ApiOf, actor: Actor) -> Response:
    """Revokes `key` (an id or a prefix), at once."""
    with acting(actor):
        revoked = api.service.store.catalog.revoke_key(key)
    return _json(_key(revoked))


@router.get("/deployments")
def get_deployments(api: ApiOf, _: Actor) -> Response:
    """What is deployed now: live, canary and shadow."""
    return _list([to_jsonable(one) for one in api.service.store.catalog.active()])


@router.post("/deployments/{endpoint}/rollback")
def post_rollback(body: RollbackBody, endpoint: Id, api: ApiOf, actor: Actor) -> Response:
    """The version that was live at `endpoint` before answers again."""
    catalog = api.service.store.catalog
    project = catalog.project_of_endpoint(endpoint)
    with acting(actor):
        Workspace.over(api.service.store).project(project.name).rollback(reason=body.reason)
    return _json(to_jsonable(catalog.live(endpoint)))


@router.post("/erasures", status_code=201)
def post_erasure(body: ErasureBody, api: ApiOf, actor: Actor) -> Response:
    """Erases a person from rows, kept calls and feedback, or with `dry_run` tells what would go,
    and which versions learnt from it. 409 while a project runs."""
    with acting(actor):
        done = Workspace.over(api.service.store).erase(
            *body.texts,
            rows=body.rows,
            subjects=body.subjects,
            calls=body.calls,
            project=body.project,
            dry_run=body.dry_run,
            keep_out=body.keep_out,
        )
    return _json(to_jsonable(done), 200 if body.dry_run else 201)


@router.get("/usage")
def get_all_usage(
    api: ApiOf, _: Actor, days: Annotated[int, Query(ge=1, le=36_500)] = 30
) -> Response:
    """What all customers used in the last `days`, by customer and project."""
    listing = Workspace.over(api.service.store).usage(days=days)
    return _list(listing.rows)


@router.get("/projects/{project}/savings")
def get_savings(
    project: Id, api: ApiOf, _: Actor, days: Annotated[int, Query(ge=1, le=36_500)] = 30
) -> Response:
    """What passing calls on to another server costs and what answering them here saves, in the
    last `days`. 404 for a project whose calls are not passed on."""
    found = Workspace.over(api.service.store).project(project).upstream(days=days)
    return _json({**to_jsonable(found), "line": found.line()})


@router.get("/audit")
def get_audit(
    api: ApiOf,
    _: Actor,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
) -> Response:
    """The newest acts of the audit log, newest first; `before` a number for the next page."""
    acts = api.service.store.catalog.acts(limit, before=before)
    return _list([to_jsonable(act) for act in acts])


def _json(value: Any, status: int = 200) -> Response:
    return Response(encode(value), status, media_type="application/json")


def _list(rows: Sequence[Any]) -> Response:
    return _json({"object": "list", "data": list(rows)})


def _customer(customer: Customer) -> dict[str, Any]:
    shown: dict[str, Any] = to_jsonable(customer)
    return shown


def _key(key: ApiKey) -> dict[str, Any]:
    """A key as it may be shown; its hash helps nobody."""
    shown: Mapping[str, Any] = to_jsonable(key)
    return {name: value for name, value in shown.items() if name != "hash"}


def _new(made: NewKey) -> dict[str, Any]:
    shown = {"secret": made.secret, **_key(made.record)}
    return shown | {"old": _key(made.old)} if made.old else shown
