"""Puts the console together: finds the screens, lets in whom each is for, answers what fails."""

from __future__ import annotations

import asyncio
import importlib
import json
import pkgutil
import secrets
import shutil
import unicodedata
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

from feilun import messages
from feilun.errors import FeilunError, Forbidden, InvalidData, NotFound, PayloadTooLarge
from feilun.project import Workspace
from feilun.store.catalog_audit import acting
from feilun.web import screens
from feilun.web.access import Access, Session
from feilun.web.guard import COOKIE, Guard
from feilun.web.view import Page, Upload, View

__all__ = ["create_console", "pages"]

_LIVE_EVERY = 0.7  # seconds
_MAX_FIELDS = 2000
_MAX_FIELD = 4 * 1024 * 1024
_MAX_UPLOAD = 4 * 1024**3
_NAME = 120  # characters of an uploaded file's name
_TOLD = ("kind", "do", "id", "index", "version", "finding")
"""Fields of a form that tell what was done, and nothing that somebody wrote."""


def pages() -> list[Page]:
    """Every page of every screen, in the order in which they are tried."""
    found: list[Page] = []
    for info in sorted(pkgutil.iter_modules(screens.__path__), key=lambda one: one.name):
        module = importlib.import_module(f"{screens.__name__}.{info.name}")
        found += module.PAGES
    return found


def create_console(
    workspace: Workspace, access: Access | None = None, *, hosts: Sequence[str] = ()
) -> Guard:
    """The ASGI app of the console over `workspace`. `hosts` are the names it may be called by
    beside those of loopback."""
    access = access or Access(workspace.store.folder)
    routes = [Route("/static/{file}", _static, methods=["GET"], name="static")]
    by_path: dict[str, list[Page]] = {}
    for page in pages():
        by_path.setdefault(page.path, []).append(page)
    for path, those in by_path.items():
        routes += [
            Route(path, _endpoint(page, workspace, access), methods=[page.method]) for page in those
        ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _no_such(workspace, access)})
    app.state.said = {}
    return Guard(app, hosts)


def _endpoint(page: Page, workspace: Workspace, access: Access) -> Any:
    async def answer(request: Request) -> Response:
        session = await run_in_threadpool(_session, request, workspace, access)
        lang = _language(request)
        messages.use(lang, here_only=True)
        view = View(request, workspace, access, session, lang)
        if page.roles and session is None:
            return RedirectResponse(f"/login?next={quote(_target(request))}", 303)
        try:
            if page.roles and session is not None and session.role not in page.roles:
                raise Forbidden("console.not_for_role", role=messages.t(f"console.{session.role}"))
            if page.method == "POST":
                await _read_form(view)
            if page.live:
                return StreamingResponse(_events(page, view), media_type="text/event-stream")
            response: Response = await run_in_threadpool(_act, page, view)
        except FeilunError as error:
            response = await run_in_threadpool(_failed, page, view, error)
        if request.query_params.get("lang"):
            response.set_cookie("lang", lang, max_age=365 * 86400, samesite="lax")
        return response

    return answer


def _session(request: Request, workspace: Workspace, access: Access) -> Session | None:
    """Who is signed in. A customer is while the key works that they came in with."""
    found = access.session(request.cookies.get(COOKIE))
    if found is None or found.key is None or found.customer is None:
        return found
    return found if workspace.working_key(found.customer, found.key) else None


def _act(page: Page, view: View) -> Any:
    who = f"{view.session.role}:{view.session.who}" if view.session else "console"
    with acting(who) as acts:
        answer = page.act(view)
        if page.method == "POST" and page.roles and not acts.noted and _acted(answer):
            _note(page, view)
        return answer


def _acted(answer: Any) -> bool:
    """Whether a form was an act: one that only asks for something is answered with a page."""
    return isinstance(answer, RedirectResponse | JSONResponse)


def _note(page: Page, view: View) -> None:
    """Writes an act into the audit log of which no verb has written more."""
    parts = [part for part in page.path.split("/") if part and part[0] != "{" and part != "p"]
    told = {name: view.field(name)[:100] for name in _TOLD if view.field(name)}
    where = view.request.url.path
    view.workspace.store.catalog.note(".".join(["console", *parts]), where, told)


def _failed(page: Page, view: View, error: FeilunError) -> Response:
    view.problem = error
    if page.again is not None and not isinstance(error, Forbidden):
        try:
            return page.again(view)
        except FeilunError:
            pass  # such as a project that is gone meanwhile: the plain page says the first fault
    return view.render("failed.html")


async def _events(page: Page, view: View) -> AsyncIterator[str]:
    """What a live page shows, whenever it changes, until it says that it was the last."""
    before = None
    while not await view.request.is_disconnected():
        html, last = await run_in_threadpool(_act, page, view)
        if html != before:
            yield f"data: {json.dumps({'html': html})}\n\n"
            before = html
        if last:
            yield "event: done\ndata: {}\n\n"
            return
        await asyncio.sleep(_LIVE_EVERY)


async def _read_form(view: View) -> None:
    """The fields of the form, and its files moved into a folder of their own."""
    length = int(view.request.headers.get("content-length") or 0)
    if length > _MAX_UPLOAD:
        raise PayloadTooLarge("console.too_large", limit=f"{_MAX_UPLOAD >> 30} GiB")
    try:
        form = await view.request.form(max_fields=_MAX_FIELDS, max_part_size=_MAX_FIELD)
    except HTTPException as error:
        raise InvalidData("console.bad_form", reason=str(error.detail)) from None
    many: dict[str, list[str]] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            if value.filename:
                view.files.append(await run_in_threadpool(_keep, view, value))
        else:
            many.setdefault(name, []).append(value)
    view.many = many
    view.typed = {name: values[-1] for name, values in many.items()}
    await form.close()


def _keep(view: View, upload: UploadFile) -> Upload:
    """The file in a folder that nobody can guess, under its own name."""
    name = unicodedata.normalize("NFC", str(upload.filename)).replace("\\", "/").rpartition("/")[2]
    name = "".join(c for c in name if c.isprintable()).strip(". ")[-_NAME:] or "file"
    folder = view.workspace.store.folder / "uploads" / secrets.token_hex(8)
    folder.mkdir(parents=True)
    file = folder / name
    with file.open("wb") as out:
        shutil.copyfileobj(upload.file, out, 1 << 20)
    return Upload(name, file)


def _no_such(workspace: Workspace, access: Access) -> Any:
    async def answer(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        lang = _language(request)
        messages.use(lang, here_only=True)
        session = access.session(request.cookies.get(COOKIE))
        view = View(request, workspace, access, session, lang)
        view.problem = NotFound("console.no_page", path=request.url.path[:200])
        response = view.render("failed.html")
        response.status_code = error.status_code
        return response

    return answer


def _language(request: Request) -> messages.Language:
    """The one in the query, else the one chosen before, else the one that the browser prefers."""
    for wanted in (request.query_params.get("lang"), request.cookies.get("lang")):
        if wanted in messages.LANGUAGES:
            return wanted
    accepted = request.headers.get("accept-language", "")
    for part in accepted.lower().split(","):
        for lang in messages.LANGUAGES:
            if part.strip().startswith(lang):
                return lang
    return messages.language()


def _target(request: Request) -> str:
    return request.url.path if request.method == "GET" else "/"


async def _static(request: Request) -> Response:
    folder = Path(__file__).parent / "static"
    file = folder / str(request.path_params["file"])
    if file.parent != folder or not file.is_file():
        raise HTTPException(404)
    return FileResponse(file, headers={"cache-control": "public, max-age=3600"})
