"""What a customer sees: their own use, what it costs, their invoices, how to call."""

from __future__ import annotations

import json

from starlette.responses import Response

from feilun.client import encode_item
from feilun.errors import FeilunError
from feilun.project import Project
from feilun.web.access import CUSTOMERS
from feilun.web.screens.money import LINES, invoice_links
from feilun.web.view import Page, View

__all__ = ["PAGES"]


def _mine(view: View) -> Response:
    customer = _id(view)
    servers = view.workspace.store.catalog.servers()
    key = view.workspace.working_key(customer, view.who.key or "")
    opens = key.project if key is not None else None
    live = [
        (p.name, _example(p))
        for p in view.workspace.projects()
        if p.live is not None and opens in (None, p.name)
    ]
    usage = view.workspace.customers.usage(customer)
    return view.render(
        "mine.html",
        customer=view.workspace.customers.show(customer),
        usage=usage,
        counts=[f"/mine/calls?period={row['day']}" for row in usage.rows],
        topups=view.workspace.customers.topups(customer),
        address=servers[0].address if servers else None,
        live=live,
    )


def _example(project: Project) -> str:
    """An input of the project's task, as JSON."""
    examples = project.task.examples
    item = examples[0].item if examples else "…"
    return json.dumps({"inputs": [encode_item(item)]}, ensure_ascii=False)


def _invoices(view: View) -> Response:
    customer = _id(view)
    invoices = view.workspace.invoices
    try:
        preview = invoices.preview(customer)
    except FeilunError:
        preview = None
    return view.render(
        "my_invoices.html",
        preview=preview,
        counts=[f"/mine/calls?period={preview.month}"] * LINES if preview else [],
        **invoice_links(view, invoices.list(customer=customer)),
    )


def _id(view: View) -> str:
    customer = view.who.customer
    assert customer is not None
    return customer


PAGES = (
    Page("GET", "/mine", _mine, CUSTOMERS),
    Page("GET", "/mine/invoices", _invoices, CUSTOMERS),
)
