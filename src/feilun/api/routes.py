"""Routes for customers, and for whoever watches the server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ConfigDict, Field

from feilun.api.answer import whole
from feilun.api.context import Api
from feilun.api.encoding import encode
from feilun.api.idempotency import Handler
from feilun.api.json_route import JsonRoute
from feilun.api.metrics import CONTENT_TYPE
from feilun.api.predict import predict
from feilun.api.trace import Trace
from feilun.feedback.collect import LONGEST_NOTE, take
from feilun.serving.models import Models
from feilun.serving.served import Served
from feilun.store.records import ApiKey

__all__ = [
    "ApiOf",
    "FeedbackKey",
    "KeyOf",
    "UsageKey",
    "bearer_scheme",
    "current_api",
    "in_full",
    "key_with",
    "router",
]

router = APIRouter(route_class=JsonRoute)
bearer_scheme = HTTPBearer(auto_error=False, description="An API key: `fl_…`")


def current_api(request: Request) -> Api:
    """The app's shared state."""
    api: Api = request.app.state.api
    return api


def key_with(scope: str | None) -> Callable[..., Awaitable[ApiKey]]:
    """A dependency: the caller's key, which has `scope` (None: any key that works)."""

    async def current_key(
        request: Request,
        api: Annotated[Api, Depends(current_api)],
        _: Annotated[Any, Depends(bearer_scheme)],
    ) -> ApiKey:
        return await api.authorise(dict(request.scope["headers"]), scope)

    return current_key


ApiOf = Annotated[Api, Depends(current_api)]
KeyOf = Annotated[ApiKey, Depends(key_with(None))]
FeedbackKey = Annotated[ApiKey, Depends(key_with("feedback"))]
UsageKey = Annotated[ApiKey, Depends(key_with("usage"))]


async def in_full(request: Request, api: Api, handler: Handler) -> Response:
    """What `handler` answers, streams in one piece. The middleware answers the paths of such
    handlers before the router sees them; this is for tests and documentation."""
    headers = dict(request.scope["headers"])
    made = await whole(await handler(api, headers, request.receive, Trace()))
    more = {name.decode(): value.decode() for name, value in made.headers}
    kind = more.get("content-type", "application/json")
    return Response(made.body, headers=more, media_type=kind)


def _json(value: Any, status: int = 200) -> Response:
    return Response(encode(value), status, media_type="application/json")


class FeedbackBody(BaseModel):
    """Which label an earlier answer should have had (of entities, which ones there are), or for
    what it is rejected; and a note."""

    model_config = ConfigDict(extra="forbid")

    prediction_id: str = Field(max_length=100)
    label: str | int | float | bool | list[Any] | dict[str, Any] | None = None
    index: int = Field(0, ge=0, lt=2**31)
    rejected: str | None = Field(None, max_length=40)
    note: str = Field("", max_length=LONGEST_NOTE)


@router.post("/v1/predict", tags=["models"])
async def post_predict(
    request: Request, api: ApiOf, _: Annotated[Any, Depends(bearer_scheme)]
) -> Response:
    """Answers one input or several.

    The answer's `id` is what feedback refers to. It is charged once it has been written down; a
    call that fails costs nothing.
    """
    # The middleware answers this path before the router sees it; here it is for tests and
    # documentation.
    headers = dict(request.scope["headers"])
    answer = await whole(await predict(api, headers, request.receive, Trace()))
    return Response(answer.body, media_type="application/json")


@router.post("/v1/feedback", tags=["feedback"])
def post_feedback(body: FeedbackBody, api: ApiOf, key: FeedbackKey) -> Response:
    """Says which label an earlier answer should have had, so that the next version learns it, or
    why a written answer is rejected.

    Only the customer who got the answer may label it, and only while its input is kept.
    """
    store = api.service.store
    said, remarked = take(
        store.catalog,
        store.ledger,
        body.prediction_id,
        body.index,
        body.label,
        rejected=body.rejected,
        note=body.note,
        customer=key.customer,
        key_id=key.id,
    )
    kept = said or remarked
    assert kept is not None
    told: dict[str, Any] = {
        "id": kept.id,
        "prediction_id": kept.prediction_id,
        "index": kept.index,
        "label": said.label if said else None,
    }
    if remarked is not None:
        told |= {"rejected": remarked.reason, "note": remarked.note}
    return _json(told)


@router.get("/v1/models", tags=["models"])
def get_models(api: ApiOf, key: KeyOf) -> Response:
    """The models that this key opens, in the shape of OpenAI's list, with what they answer."""
    routes = api.models.routes.values()
    opened = [route for route in routes if key.project in (None, route.project)]
    data = [_model(route.endpoint, route.live) for route in opened]
    return _json({"object": "list", "data": data})


@router.get("/v1/models/{model}", tags=["models"])
def get_model(model: str, api: ApiOf, key: KeyOf) -> Response:
    """One model, by its endpoint's name or its version."""
    endpoint, served = api.models.find(model, key.project)
    return _json(_model(endpoint, served))


def _model(endpoint: str, served: Served) -> dict[str, Any]:
    return {
        "id": endpoint,
        "object": "model",
        "created": int(served.version.created.timestamp()),
        "owned_by": served.project,
        "version": served.id,
        "task": served.schema.task,
        "labels": list(served.schema.labels),
        "max_inputs": served.serving.max_inputs,
        "embeddings": served.gives_vectors,
        "search": served.searches,
    }


@router.get("/healthz", tags=["operation"])
async def get_healthz() -> Response:
    """Whether the process answers at all."""
    return _json({"status": "ok"})


@router.get("/readyz", tags=["operation"])
async def get_readyz(api: ApiOf) -> Response:
    """Whether every endpoint has a loaded model (200) or not (503), and which version answers.

    `failures` are versions that should answer and could not be loaded; where an earlier version
    goes on answering in their place, the server is ready all the same.
    """
    models = api.models
    return _json(_readiness(models), 200 if models.ready else 503)


def _readiness(models: Models) -> dict[str, Any]:
    return {
        "status": "ready" if models.ready else "not ready",
        "models": {route.endpoint: route.live.id for route in models.routes.values()},
        "failures": [
            {
                "endpoint": failure.endpoint,
                "version": failure.version,
                "code": failure.error.code if failure.error else "internal",
            }
            for failure in models.failures
        ],
    }


@router.get("/metrics", tags=["operation"])
async def get_metrics(api: ApiOf) -> Response:
    """Counts and times for Prometheus."""
    api.metrics.models({r.endpoint: r.live.id for r in api.models.routes.values()})
    return Response(api.metrics.text(), media_type=CONTENT_TYPE.decode())
