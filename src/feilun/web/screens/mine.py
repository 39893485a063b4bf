"""What a customer sees: their own use, what it costs, their invoices, how to call."""

from __future__ import annotations

from starlette.responses import Response

from feilun.errors import FeilunError
from feilun.web.access import Role
from feilun.web.paths import path
from feilun.web.view import Page, View

__all__ = ["PAGES"]

_CUSTOMERS: tuple[Role, ...] = ("customer",)


def _mine(view: View) -> Response:
    customer = _id(view)
    servers = view.workspace.store.catalog.servers()
    live = [p.name for p in view.workspace.projects() if p.live is not None]
    return view.render(
        "mine.html",
        customer=view.workspace.customers.show(customer),
        usage=view.workspace.customers.usage(customer),
        topups=view.workspace.customers.topups(customer),
        address=servers[0].address if servers else None,
        live=live,
    )


def _invoices(view: View) -> Response:
    customer = _id(view)
    invoices = view.workspace.invoices
    listed = invoices.list(customer=customer)
    try:
        preview = invoices.preview(customer)
    except FeilunError:
        preview = None
    return view.render(
        "my_invoices.html",
        invoices=listed,
        preview=preview,
        links={row["number"]: path("invoices", row["number"]) for row in listed.rows},
    )


def _id(view: View) -> str:
    customer = view.who.customer
    assert customer is not None
    return customer


PAGES = (
    Page("GET", "/mine", _mine, _CUSTOMERS),
    Page("GET", "/mine/invoices", _invoices, _CUSTOMERS),
)
