"""The playground: ask what answers now, see what it costs, correct it right here."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from feilun import messages
from feilun.client import ApiError, Client
from feilun.errors import InvalidData, NotFound, Refused
from feilun.project import Project
from feilun.web.access import STAFF
from feilun.web.paths import path
from feilun.web.targets import editor, given
from feilun.web.view import Page, View

__all__ = ["PAGES"]

CUSTOMER = "console"
"""The customer whose calls those of the playground are."""


def _ask(view: View) -> Response:
    return _shown(view)


def _asked(view: View) -> Response:
    project = view.project
    item, shown = _item(view, project)
    client = _client(view)
    if client is None:
        # Nothing answers: the version itself does, and keeps nothing that could be corrected.
        found = project.predict([item], explain=True)
        return _shown(view, output=found.outputs[0], model=found.model, asked=shown)
    with client:
        try:
            answer = client.predict([item], model=project.name, explain=_explains(view))
        except ApiError as error:
            raise Refused("console.api_refused", reason=str(error)) from None
    return _shown(
        view,
        output=answer.outputs[0],
        model=answer.model,
        asked=shown,
        id=answer.id,
        usage=answer.usage,
    )


def _correct(view: View) -> Response:
    project = view.project
    label = given(view, editor(project))
    client = _client(view)
    if client is None:
        raise NotFound("console.no_server")
    with client:
        try:
            client.feedback(view.field("id"), label)
        except ApiError as error:
            raise Refused("console.api_refused", reason=str(error)) from None
    said = messages.t("console.corrected", view.lang)
    return view.go(path("p", project.name, "try"), said)


def _shown(view: View, **answer: Any) -> Response:
    project = view.project
    model = project.live_or_newest
    if model is None:
        return view.render("try.html", project=project.name, fields=None, answer={})
    servers = view.workspace.store.catalog.servers()
    address = servers[0].address if servers else "http://127.0.0.1:8000"
    example = answer.get("asked")
    return view.render(
        "try.html",
        project=project.name,
        model=model.id,
        fields=model.inputs(),
        how=editor(project),
        answered=project.task.family.said(answer["output"]) if "output" in answer else None,
        answer=answer,
        snippets=_snippets(address, project.name, example) if example is not None else {},
    )


def _item(view: View, project: Project) -> tuple[Any, Any]:
    """The input as it is asked, and as the snippets show it."""
    fields = project.model("live" if project.live else None).inputs()
    found: dict[str, Any] = {}
    for name, kind in fields:
        if kind == "image":
            if not view.files:
                raise InvalidData("console.no_file")
            found[name] = view.files[0].file.read_bytes()
            continue
        text = view.typed.get(f"in:{name}", "")
        found[name] = None if not text and kind != "text" else text
    item = next(iter(found.values())) if len(found) == 1 else found
    shown = {n: {"$base64": "..."} if isinstance(v, bytes) else v for n, v in found.items()}
    return item, next(iter(shown.values())) if len(shown) == 1 else shown


def _explains(view: View) -> bool:
    return view.field("explain") == "yes"


def _client(view: View) -> Client | None:
    """A client of the server that answers, with the key of this console; None without a server."""
    servers = view.workspace.store.catalog.servers()
    if not servers:
        return None
    state = view.request.app.state
    if not hasattr(state, "key"):
        state.key = view.workspace.create_key(CUSTOMER, name=CUSTOMER, days=1).secret
    return Client(servers[0].address, state.key, lang=view.lang)


def _snippets(address: str, model: str, item: Any) -> Mapping[str, str]:
    body = json.dumps({"model": model, "inputs": [item]}, ensure_ascii=False)
    quoted = body.replace("'", "'\\''")
    return {
        "curl": f"curl {address}/v1/predict -H 'Authorization: Bearer '$FEILUN_KEY \\\n"
        f"  -H 'Content-Type: application/json' -d '{quoted}'",
        "Python": f'from feilun import Client\n\nclient = Client("{address}", KEY)\n'
        f"print(client.predict({[item]!r}, model={model!r}))",
        "JavaScript": f'const answer = await fetch("{address}/v1/predict", {{\n  method: "POST",\n'
        '  headers: {"Authorization": `Bearer ${KEY}`, "Content-Type": "application/json"},\n'
        f"  body: JSON.stringify({body}),\n}});\nconsole.log(await answer.json());",
    }


def data_uri(content: bytes) -> str:
    """A picture as an address that carries it."""
    kind = "jpeg" if content[:2] == b"\xff\xd8" else "gif" if content[:3] == b"GIF" else "png"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


PAGES = (
    Page("GET", "/p/{project}/try", _ask, STAFF),
    Page("POST", "/p/{project}/try", _asked, STAFF, again=_ask),
    Page("POST", "/p/{project}/try/correct", _correct, STAFF, again=_ask),
)
