"""Customers: plan, limits, keys, what they used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from feilun import messages
from feilun.billing.keys import SCOPES
from feilun.errors import FeilunError, InvalidData, NotFound
from feilun.project.customers import CustomerShown
from feilun.project.margins import Margins, margin
from feilun.store.records import DEFAULT_SCOPES
from feilun.web.access import STAFF
from feilun.web.paths import path
from feilun.web.view import Page, View

__all__ = ["PAGES"]

_SHOWN = 100
_LIMITS = ("rate", "monthly_inputs", "monthly_budget", "warn_at")


def _customers(view: View) -> Response:
    asked = view.query("text")
    offset = int(view.query("offset")) if view.query("offset").isdecimal() else 0
    listed = view.workspace.customers.all(asked, offset=offset, limit=_SHOWN)
    links = {
        shown[0]: path("customers", row["id"])
        for row, shown in zip(listed.rows, listed.tables()[0].rows, strict=True)
    }
    more = len(listed.rows) == _SHOWN
    return view.render(
        "customers.html",
        listed=listed,
        links=links,
        counts=[path("customers", row["id"]) for row in listed.rows],
        plans=_plans(view),
        asked=asked,
        following=urlencode({"text": asked, "offset": offset + _SHOWN}) if more else None,
    )


def _add(view: View) -> Response:
    if not view.field("name"):
        raise InvalidData("console.missing", field=messages.t("console.name", view.lang))
    made = view.workspace.customers.add(view.field("name"), plan=view.field("plan") or None)
    return view.go(path("customers", made.id))


def _customer(view: View, **more: Any) -> Response:
    customer = view.workspace.customers.show(view.part("customer"))
    keys = view.workspace.store.catalog.keys(customer.id)
    usage = view.workspace.customers.usage(customer.id)
    calls = f"/calls?{urlencode({'customer': customer.id, 'period': customer.month})}"
    earned = _margin(view, customer)
    return view.render(
        "customer.html",
        customer=customer,
        leads=_leads(view, customer, calls),
        margin=earned,
        margin_counts=[calls] * len(earned.rows) if earned else [],
        keys=keys,
        plans=_plans(view),
        usage=usage,
        counts=[
            f"/calls?{urlencode({'customer': customer.id, 'period': row['day']})}"
            for row in usage.rows
        ],
        scopes=SCOPES,
        usual=DEFAULT_SCOPES,
        projects_now=[("", messages.t("console.every_project", view.lang))]
        + [(p.name, p.name) for p in view.workspace.projects()],
        opens=[key.id for key in keys if _opens(view, customer.id, key.id)],
        **{"secret": None, "curl": None, "link": None, **more},
    )


def _leads(view: View, customer: CustomerShown, calls: str) -> Callable[[str, str], str | None]:
    """Where cells lead: what was used to its calls, what is left to the payments."""
    others = view.leads()
    used = {messages.t(f"plans.{name}", month=customer.month) for name in ("used", "spent")}
    to = {**dict.fromkeys(used, calls), messages.t("plans.keys"): "#keys"}
    to[messages.t("plans.balance")] = path("money", customer.id)

    def leads(cell: str, column: str) -> str | None:
        return to.get(column) or others(cell, column)

    return leads


def _margin(view: View, customer: CustomerShown) -> Margins | None:
    """What the customer brought this month and cost; None where that cannot be told, such as
    without a rate between two currencies."""
    try:
        found = margin(view.workspace.scope, by="customer", month=customer.month)
    except FeilunError:
        return None
    rows = [row for row in found.rows if row["name"] == customer.name]
    return replace(found, idle_share=None, rows=rows) if rows else None


def _set(view: View) -> Response:
    plan = view.field("plan")
    limits: dict[str, Any] = {
        name: view.field(name) or None for name in _LIMITS if name in view.typed
    }
    if limits.get("monthly_inputs") is not None:
        limits["monthly_inputs"] = int(view.number("monthly_inputs") or 0)
    if limits.get("rate") is not None:
        limits["rate"] = view.number("rate")
    known = view.workspace.customers.show(view.part("customer"))
    changes = plan != (known.plan or "")
    view.workspace.customers.set(
        known.id,
        plan=plan if changes and plan else None,
        no_plan=changes and not plan,
        limits=limits or None,
    )
    return view.go(path("customers", view.part("customer")), messages.t("console.saved", view.lang))


def _create_key(view: View) -> Response:
    customer = view.workspace.customers.show(view.part("customer"))
    days = view.number("days")
    made = view.workspace.create_key(
        customer.name,
        name=view.field("name"),
        project=view.field("project") or None,
        days=None if days is None else int(days),
        scopes=view.many.get("scope") or DEFAULT_SCOPES,
    )
    # Shown on the answer to the form and nowhere else: a page that is loaded again has it not.
    return _customer(view, secret=made.secret, curl=made.curl)


def _revoke(view: View) -> Response:
    view.workspace.revoke_key(view.part("key"))
    said = messages.t("console.revoked", view.lang)
    return view.go(path("customers", view.part("customer")), said)


def _rotate(view: View) -> Response:
    made = view.workspace.rotate_key(view.part("key"))
    return _customer(view, secret=made.secret)


def _link(view: View) -> Response:
    """A link by which the customer comes in as with this key, without typing it."""
    known = view.workspace.customers.show(view.part("customer"))
    key = view.part("key")
    if not _opens(view, known.id, key):
        raise NotFound("console.no_working_key")
    secret = view.access.invite_customer(known.id, known.name, key)
    view.workspace.store.catalog.note("console.link", known.id, {"key": key})
    return _customer(view, link=f"{view.request.base_url}enter?link={secret}")


def _opens(view: View, customer: str, key: str) -> bool:
    """Whether the customer may come in with this key."""
    found = view.workspace.working_key(customer, key)
    return found is not None and "usage" in found.scopes


def _plans(view: View) -> list[tuple[str, str]]:
    names = [row["name"] for row in view.workspace.plans.all().rows]
    return [("", messages.t("console.list_prices", view.lang)), *((n, n) for n in names)]


PAGES = (
    Page("GET", "/customers", _customers, STAFF),
    Page("POST", "/customers", _add, STAFF, again=_customers),
    Page("GET", "/customers/{customer}", _customer, STAFF),
    Page("POST", "/customers/{customer}", _set, STAFF, again=_customer),
    Page("POST", "/customers/{customer}/keys", _create_key, STAFF, again=_customer),
    Page("POST", "/customers/{customer}/keys/{key}/revoke", _revoke, STAFF, again=_customer),
    Page("POST", "/customers/{customer}/keys/{key}/rotate", _rotate, STAFF, again=_customer),
    Page("POST", "/customers/{customer}/keys/{key}/link", _link, STAFF, again=_customer),
)
