"""The playground: ask what answers now, see what it costs, correct it right here. Words come as
they are written, and a conversation goes on; without the page's script an answer comes whole.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from markupsafe import Markup
from starlette.responses import Response, StreamingResponse

from feilun import messages
from feilun.client import ApiError, Client
from feilun.errors import FeilunError, InvalidData, NotFound, Refused
from feilun.project import Project
from feilun.project.access import NewApiKey
from feilun.store.records import ApiKey
from feilun.web.access import CUSTOMERS, STAFF
from feilun.web.paths import path
from feilun.web.pictures import overlaid
from feilun.web.targets import editor, given
from feilun.web.view import Page, View

__all__ = ["PAGES"]

CUSTOMER = "console"
"""The customer whose calls those of the playground are."""

_COUNTED = ("tokens_in", "tokens_out")


def _ask(view: View) -> Response:
    return _shown(view)


def _asked(view: View) -> Response:
    project = _project(view)
    item, shown, _ = _item(view, project)
    client, staff = _client(view), _is_staff(view)
    beside = view.field("beside") if staff else ""
    other = _here(project, item, beside) if beside else None
    if client is None:
        if not staff:
            raise NotFound("console.no_server")
        # Nothing answers: the version itself does, and keeps nothing that could be corrected.
        here = _here(project, item, None)
        return _shown(view, **here, asked=shown, other=other, item=item)
    begun = time.perf_counter()
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
        took=time.perf_counter() - begun,
        price=_price(view, answer.id),
        other=other,
        item=item,
    )


def _streamed(view: View) -> Response:
    """The answer as it is written, as server-sent events; the last one is the page's part that
    shows it. The page's script asks so."""
    project = _project(view)
    asked = _item(view, project)
    client = _client(view)
    if client is None or not project.task.family.streams:
        raise NotFound("console.no_server")
    return StreamingResponse(_pieces(view, project, client, asked), media_type="text/event-stream")


def _pieces(view: View, project: Project, client: Client, asked: _Asked) -> Iterator[str]:
    """Closing it ends the writing, and what was delivered is charged."""
    item, shown, said = asked
    messages.use(view.lang, here_only=True)
    text, id, usage, begun = "", "", dict[str, Any](), time.perf_counter()
    with client:
        pieces = (
            client.chat_stream(said, model=project.name)
            if said is not None
            else client.predict_stream(item, model=project.name)
        )
        try:
            for piece in pieces:
                id, usage, text = piece.id, piece.usage or usage, text + piece.text
                if piece.text:
                    yield _event(text=piece.text)
        except ApiError as error:
            view.problem = Refused("console.api_refused", reason=str(error))
            yield _event(html=view.html("try_talk.html", **{**_page(view), "alone": True}))
            return
    live, counted = project.live, {"prompt_tokens": "tokens_in", "completion_tokens": "tokens_out"}
    named = {counted.get(name, name): value for name, value in usage.items()}
    found = {
        "text": text,
        "model": live.id if live else project.name,
        "asked": shown,
        "id": id,
        "usage": {name: value for name, value in named.items() if name in _COUNTED},
        "took": time.perf_counter() - begun,
        "price": _price(view, id),
        "other": None,
        "item": item if said is None else project.task.conversation(said),
    }
    yield _event(html=view.html("try_talk.html", **_page(view, **found)))


def _event(**told: str) -> str:
    return f"data: {json.dumps(told)}\n\n"


def _here(project: Project, item: Any, version: str | None) -> dict[str, Any]:
    """What a version answers in this process, unmetered."""
    found = project.predict([item], model=version, explain=True)
    return {"output": found.outputs[0], "model": found.model}


def _price(view: View, call: str) -> str | None:
    """What the call came to, as soon as the ledger says."""
    try:
        last = view.workspace.call(call).events[-1]
    except NotFound:
        return None
    return f"{last['amount']} {last['currency']}"


def _correct(view: View) -> Response:
    project = _project(view)
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
    return view.go(_path(view, project), said)


def _shown(view: View, **answer: Any) -> Response:
    return view.render("try.html", **_page(view, **answer))


def _page(view: View, **answer: Any) -> dict[str, Any]:
    """What the page shows, after an `answer` or before."""
    project, staff = _project(view), _is_staff(view)
    model = project.live_or_newest
    if model is None:
        return {"project": project.name, "fields": None, "answer": {}}
    servers = view.workspace.store.catalog.servers()
    address = servers[0].address if servers else "http://127.0.0.1:8000"
    example = answer.get("asked")
    others = [one.id for one in reversed(project.models()) if one.record.artifact()]
    said = answer.get("text")
    if said is None and "output" in answer:
        said = project.task.family.said(answer["output"])
    turns, talks = _turns(view), _talks(project)
    said_before = _messages(view, project, example)
    if said is not None and talks:
        asked = {"role": "user", "content": str(example)}
        turns = [*turns, asked, {"role": "assistant", "content": said}]
    return {
        "project": project.name,
        "alone": False,  # whether it is a part of the page that comes later than the rest
        "model": model.id,
        "fields": model.inputs(),
        "action": _path(view, project),
        "beside": [("", "–"), *((one, one) for one in others if one != model.id)] if staff else [],
        "how": editor(project),
        "answered": said,
        "answer": answer,
        "streams": bool(servers) and project.task.family.streams,
        "pictures": _pictures(project, answer),
        "turns": turns if talks else [],
        "prompt": _prompt(project, answer) if staff else None,
        "snippets": _snippets(address, project.name, example, said=said_before)
        if example is not None
        else {},
    }


def _prompt(project: Project, answer: Mapping[str, Any]) -> str | None:
    """What the version read, for whoever may see how it is instructed."""
    if answer.get("item") is None:
        return None
    try:
        return project.prompt(answer["item"])
    except FeilunError:
        return None  # such as a version that was put away meanwhile


def _messages(view: View, project: Project, text: Any) -> list[dict[str, str]] | None:
    """The conversation that `text` goes on with; None for a task that answers none in words."""
    if not project.task.family.streams or not isinstance(text, str):
        return None
    said = [*(_turns(view) if _talks(project) else []), {"role": "user", "content": text}]
    return said if project.task.conversation(said[-1:]) is not None else None


def _talks(project: Project) -> bool:
    """Whether the task reads what was said before a question."""
    said = [{"role": role, "content": role} for role in ("user", "assistant", "user")]
    found = project.task.conversation(said) if project.task.family.streams else None
    return found is not None and found != project.task.conversation(said[-1:])


def _turns(view: View) -> list[dict[str, str]]:
    """What was said before, as the form brings it. Raises `InvalidData`."""
    text = view.field("turns") or "[]"
    try:
        return [{"role": one["role"], "content": one["content"]} for one in json.loads(text)]
    except (ValueError, TypeError, KeyError):
        raise InvalidData("console.not_json", given=text[:80]) from None


def _is_staff(view: View) -> bool:
    return view.who.role in STAFF


def _path(view: View, project: Project) -> str:
    return path("p", project.name, "try") if _is_staff(view) else path("mine", "try", project.name)


def _project(view: View) -> Project:
    """The project; for a customer one that is live and that their key opens, others as if there
    were none."""
    project = view.project
    if _is_staff(view):
        return project
    key = _key(view)
    if project.live is None or key.project not in (None, project.name):
        raise NotFound("console.no_page", path=view.request.url.path[:200])
    return project


def _key(view: View) -> ApiKey:
    """The key that a customer came in with."""
    who = view.who
    found = view.workspace.working_key(who.customer or "", who.key or "")
    if found is None:
        raise NotFound("console.no_page", path=view.request.url.path[:200])
    return found


def _pictures(project: Project, answer: Mapping[str, Any]) -> list[Markup | None]:
    """The picture that was asked about with what explains the answer, and with its boxes, drawn
    over; then the same of the other version's answer. Nothing for other inputs."""
    item = answer.get("item")
    outputs = [answer.get("output"), (answer.get("other") or {}).get("output")]
    if not isinstance(item, bytes):
        return [None for _ in outputs]
    family = project.task.family
    said = messages.t("console.role_as_image")
    return [
        overlaid(item, (output.get("explanation") or {}).get("grid", ()),
                 family.regions(output), f"{said}: {family.worded(output)}")
        if output is not None
        else None
        for output in outputs
    ]  # fmt: skip


_Asked = tuple[Any, Any, list[dict[str, str]] | None]


def _item(view: View, project: Project) -> _Asked:
    """The input as it is asked, and as the snippets show it; the conversation that it is, if it is
    one."""
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
    said = _messages(view, project, item)
    if said is not None and len(said) > 1:
        item = project.task.conversation(said)
    return item, next(iter(shown.values())) if len(shown) == 1 else shown, said


def _explains(view: View) -> bool:
    return view.field("explain") == "yes"


def _client(view: View) -> Client | None:
    """A client of the server that answers, with the key of this console, or for a customer with one
    of theirs that opens what the key opens that they came in with; None without a server."""
    servers = view.workspace.store.catalog.servers()
    if not servers:
        return None
    state = view.request.app.state
    if not hasattr(state, "keys"):
        state.keys = {}
    held = None if _is_staff(view) else _key(view)
    name = held.id if held is not None else ""
    if name not in state.keys:
        state.keys[name] = _new_key(view, held).secret
    return Client(servers[0].address, state.keys[name], lang=view.lang)


def _new_key(view: View, held: ApiKey | None) -> NewApiKey:
    if held is None:
        return view.workspace.create_key(CUSTOMER, name=CUSTOMER, days=1)
    customer = view.workspace.store.catalog.customer(held.customer).name
    scopes = [scope for scope in held.scopes if scope in ("predict", "feedback")]
    return view.workspace.create_key(
        customer, name=CUSTOMER, project=held.project, days=1, scopes=scopes, limits=held.limits
    )


def _snippets(
    address: str, model: str, item: Any, said: list[dict[str, str]] | None
) -> Mapping[str, str]:
    """The call in three languages; of a conversation `said` in the way of OpenAI's clients."""
    where, ask = "predict", f"client.predict({[item]!r}, model={model!r})"
    if said is not None:
        where, ask = "chat/completions", f"client.chat({said!r}, model={model!r}).text"
    sent: dict[str, Any] = (
        {"model": model, "inputs": [item]} if said is None else {"model": model, "messages": said}
    )
    body = json.dumps(sent, ensure_ascii=False)
    quoted = body.replace("'", "'\\''")
    return {
        "curl": f"curl {address}/v1/{where} -H 'Authorization: Bearer '$FEILUN_KEY \\\n"
        f"  -H 'Content-Type: application/json' -d '{quoted}'",
        "Python": f'from feilun import Client\n\nclient = Client("{address}", KEY)\nprint({ask})',
        "JavaScript": f'const answer = await fetch("{address}/v1/{where}", {{\n  method: "POST",\n'
        '  headers: {"Authorization": `Bearer ${KEY}`, "Content-Type": "application/json"},\n'
        f"  body: JSON.stringify({body}),\n}});\nconsole.log(await answer.json());",
    }


PAGES = (
    Page("GET", "/p/{project}/try", _ask, STAFF),
    Page("POST", "/p/{project}/try", _asked, STAFF, again=_ask),
    Page("POST", "/p/{project}/try/stream", _streamed, STAFF),
    Page("POST", "/p/{project}/try/correct", _correct, STAFF, again=_ask),
    Page("GET", "/mine/try/{project}", _ask, CUSTOMERS),
    Page("POST", "/mine/try/{project}", _asked, CUSTOMERS, again=_ask),
    Page("POST", "/mine/try/{project}/stream", _streamed, CUSTOMERS),
    Page("POST", "/mine/try/{project}/correct", _correct, CUSTOMERS, again=_ask),
)
