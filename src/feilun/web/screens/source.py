"""Data that is named rather than brought: a file, a folder or a database that this machine reads.

Only an owner may: whoever names a path reads with the rights of this process.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from feilun import messages
from feilun.errors import InvalidData
from feilun.web.access import OWNERS
from feilun.web.screens.data import chosen_columns, kept, reading, show_data
from feilun.web.view import Page, View

__all__ = ["PAGES"]


def _named(view: View) -> Response:
    """How the source is understood; with ``keep`` its rows are kept."""
    project, source = view.project, view.field("where")
    if not source:
        raise InvalidData("console.missing", field=messages.t("console.source_named", view.lang))
    query, columns = view.field("query") or None, chosen_columns(view)
    if view.field("do") == "keep":
        wanted: dict[str, Any] = {one: view.field(one) == "yes" for one in ("relabel", "append")}
        return kept(
            view, project.add(source, query=query, columns=columns, **wanted, **reading(view))
        )
    found = project.preview(source, query=query, columns=columns, **reading(view))
    return view.render(
        "check.html", project=project.name, file=source, found=found, source=source, query=query
    )


PAGES = (Page("POST", "/p/{project}/data/source", _named, OWNERS, again=show_data),)
