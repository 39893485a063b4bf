"""Routes for the workspace's own processes: golden requests to a candidate that is not live.

They need the internal token, cost nothing, write neither ledger nor log, and take no feedback.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict

from feilun.api.context import Api
from feilun.api.encoding import encode
from feilun.api.json_route import JsonRoute
from feilun.api.predict import answer_golden
from feilun.api.routes import current_api

__all__ = ["router"]

router = APIRouter(route_class=JsonRoute, prefix="/internal/v1", tags=["internal"])


async def internal_api(request: Request, api: Annotated[Api, Depends(current_api)]) -> Api:
    """The app's state, for callers with the internal token. Raises `Unauthorized`."""
    api.authorise_internal(dict(request.scope["headers"]))
    return api


ApiOf = Annotated[Api, Depends(internal_api)]


class Candidate(BaseModel):
    """A version, and the variant of it that is meant (default: the chosen one)."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    version: str
    variant: str | None = None


@router.post("/load")
async def load_candidate(body: Candidate, api: ApiOf) -> Response:
    """Loads a candidate beside what answers now."""
    served = await api.models.candidate(body.version, body.variant)
    answer = {"version": served.id, "variant": served.variant, "artifact": served.ref}
    return Response(encode(answer), media_type="application/json")


@router.post("/unload")
async def unload_candidate(body: Candidate, api: ApiOf) -> Response:
    """Lets a candidate go that is not needed any more; what is live stays."""
    served = await api.models.candidate(body.version, body.variant)
    api.models.release(served)
    return Response(encode({"version": served.id}), media_type="application/json")


@router.post("/refresh")
async def refresh(api: ApiOf) -> Response:
    """Looks at the catalog at once, so that a promotion is in force when this returns."""
    await api.service.look_now()
    live = {route.endpoint: route.live.id for route in api.models.routes.values()}
    return Response(encode({"models": live}), media_type="application/json")


@router.post("/predict")
async def ask_candidate(
    request: Request, api: ApiOf, version: str, variant: str | None = None
) -> Response:
    """Answers golden requests of a candidate; the body is that of ``/v1/predict``."""
    served = await api.models.candidate(version, variant)
    return Response(
        await answer_golden(served, await request.body()), media_type="application/json"
    )
