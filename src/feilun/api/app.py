"""Puts the app together: FastAPI with its routes, behind the middleware."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

import feilun
from feilun import messages
from feilun.api.admin import router as admin
from feilun.api.billing import router as billing
from feilun.api.chat import router as chat
from feilun.api.completions import router as completions
from feilun.api.context import Api
from feilun.api.errors import BadRequest, MethodNotAllowed, RouteNotFound, error_body, error_headers
from feilun.api.inference_routes import router as inference_protocol
from feilun.api.internal import router as internal
from feilun.api.middleware import Middleware
from feilun.api.openai import router as openai
from feilun.api.openapi import describe
from feilun.api.pages import router as pages
from feilun.api.responses import router as responses
from feilun.api.routes import router as customers
from feilun.api.search import router as searching
from feilun.api.security import Security
from feilun.errors import FeilunError, InvalidData
from feilun.serving.service import Service

__all__ = ["create_admin_app", "create_app"]


def create_app(service: Service, security: Security | None = None) -> Middleware:
    """The ASGI app of one server over `service`, within what `security` says.

    It starts and stops the service itself, by ASGI's lifespan or, where that is off, by ``async
    with app.api.running()``.
    """
    api = Api(service, security)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with api.running():
            yield

    texts = [chat, completions, responses]
    routers = [customers, billing, openai, *texts, searching, inference_protocol, internal, pages]
    if api.security.admin and api.security.admin_address is None:
        routers.append(admin)
    return Middleware(api, _routed(api, routers, lifespan))


def create_admin_app(api: Api) -> Middleware:
    """The administration alone, over the `api` of a server that runs."""
    return Middleware(api, _routed(api, [admin, pages]), charges=False)


def _routed(api: Api, routers: Sequence[APIRouter], lifespan: Any = None) -> FastAPI:
    # FastAPI's own pages load scripts from a CDN; ours (pages.py) work offline.
    inner = FastAPI(
        title="feilun",
        version=feilun.__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
        exception_handlers={
            FeilunError: _failed,
            HTTPException: _http_failed,
            RequestValidationError: _misfit,
            Exception: _failed,
        },
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    inner.state.api = api
    for router in routers:
        inner.include_router(router)
    inner.state.document = describe(inner)
    return inner


async def _failed(request: Request, error: Exception) -> Response:
    state = request.state
    status, body = error_body(error, state.request_id, state.language, request.url.path)
    headers = {name.decode(): value.decode() for name, value in error_headers(error)}
    return Response(body, status, headers, "application/json")


async def _http_failed(request: Request, error: Exception) -> Response:
    """What the router refuses: no such path, not this method."""
    assert isinstance(error, HTTPException)
    path = request.url.path[:200]
    if error.status_code == 404:
        return await _failed(request, RouteNotFound("api.no_route", path=path))
    if error.status_code == 405:
        allowed = _allowed(error)
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"allow": allowed})
        told = MethodNotAllowed(
            "api.wrong_method", path=path, method=request.method, allowed=allowed
        )
        response = await _failed(request, told)
        response.headers["allow"] = allowed
        return response
    return await _failed(request, BadRequest("api.http_error", status=error.status_code))


def _allowed(error: HTTPException) -> str:
    """The methods of a path: what is read can also be asked for by HEAD."""
    named = {name.strip() for name in (error.headers or {}).get("Allow", "").split(",")} - {""}
    return ", ".join(sorted(named | ({"HEAD"} if "GET" in named else set()) | {"OPTIONS"}))


async def _misfit(request: Request, error: Exception) -> Response:
    """The first fault that pydantic found, in our words."""
    assert isinstance(error, RequestValidationError)
    fault: dict[str, Any] = error.errors()[0]
    *outer, name = [str(part) for part in fault["loc"][1:]] or ["body"]
    where = ".".join([*outer, name])
    kind = fault["type"]
    told: FeilunError
    if kind == "json_invalid":
        reason = str((fault.get("ctx") or {}).get("error", ""))
        told = BadRequest("api.not_json", reason=reason)
    elif kind == "missing":
        told = InvalidData("api.missing_field", name=name, param=where)
    elif kind == "extra_forbidden":
        told = InvalidData("api.unknown_field", name=name[:80], param=where[:200])
    else:
        where = where if where != "body" else messages.t("api.body", request.state.language)
        told = InvalidData("api.wrong_value", param=where)
    return await _failed(request, told)
