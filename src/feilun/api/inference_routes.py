"""Routes of the Open Inference Protocol v2: what is there, and whether it is ready."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

import feilun
from feilun.api.context import Api
from feilun.api.encoding import encode
from feilun.api.inference_protocol import infer, name_of, number_of
from feilun.api.opening import find_model
from feilun.api.routes import ApiOf, bearer_scheme, key_with
from feilun.api.tensors import datatype_of
from feilun.api.trace import Trace
from feilun.store.records import ApiKey

__all__ = ["router"]

router = APIRouter(prefix="/v2", tags=["open inference protocol"])

KeyOf = Annotated[ApiKey, Depends(key_with("predict"))]


def _json(value: Any, status: int = 200) -> Response:
    return Response(encode(value), status, media_type="application/json")


@router.get("")
async def get_protocol() -> Response:
    """The server's name, its version and the extensions of the protocol that it speaks."""
    extensions = ["binary_tensor_data"]
    return _json({"name": "feilun", "version": feilun.__version__, "extensions": extensions})


@router.get("/health/live")
async def get_live() -> Response:
    """Whether the process answers at all."""
    return _json({"live": True})


@router.get("/health/ready")
async def get_ready(api: ApiOf) -> Response:
    """Whether every endpoint has a loaded model (200) or not (503)."""
    ready = api.models.ready
    return _json({"ready": ready}, 200 if ready else 503)


@router.get("/models/{model}")
async def get_model_metadata(model: str, api: ApiOf, key: KeyOf) -> Response:
    """A model's tensors and its versions."""
    return _metadata(api, key, model, None)


@router.get("/models/{model}/versions/{version}")
async def get_version_metadata(model: str, version: str, api: ApiOf, key: KeyOf) -> Response:
    """A version's tensors."""
    return _metadata(api, key, model, version)


@router.get("/models/{model}/ready")
async def get_model_ready(model: str, api: ApiOf, key: KeyOf) -> Response:
    """Whether a model answers (200) or not (404)."""
    return _ready(api, key, model, None)


@router.get("/models/{model}/versions/{version}/ready")
async def get_version_ready(model: str, version: str, api: ApiOf, key: KeyOf) -> Response:
    """Whether a version answers (200) or not (404)."""
    return _ready(api, key, model, version)


def _ready(api: Api, key: ApiKey, model: str, version: str | None) -> Response:
    endpoint, served = find_model(api, key, name_of(api, model, version), Trace())
    return _json({"name": endpoint, "version": number_of(served), "ready": True})


def _metadata(api: Api, key: ApiKey, model: str, version: str | None) -> Response:
    endpoint, served = find_model(api, key, name_of(api, model, version), Trace())
    route = api.models.routes[endpoint]
    versions = {number_of(one) for one in (route.live, *(canary for _, canary in route.canaries))}
    outputs = [(one.name, one.datatype, list(one.shape)) for one in served.tensors]
    inputs = [(column.name, datatype_of(column), [-1]) for column in served.task.columns]
    return _json(
        {
            "name": endpoint,
            "versions": sorted(versions, key=int),
            "platform": f"feilun_{served.schema.task}",
            "inputs": [_tensor(*one) for one in inputs],
            "outputs": [_tensor(*one) for one in outputs],
        }
    )


def _tensor(name: str, datatype: str, shape: list[int]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape}


# The middleware answers these two before the router sees them; here they are for tests and
# documentation.


@router.post("/models/{model}/infer")
async def post_infer(
    model: str, request: Request, api: ApiOf, _: Annotated[Any, Depends(bearer_scheme)]
) -> Response:
    """Answers the inputs of a request's tensors."""
    return await _through_router(api, request, model, None)


@router.post("/models/{model}/versions/{version}/infer")
async def post_infer_version(
    model: str,
    version: str,
    request: Request,
    api: ApiOf,
    _: Annotated[Any, Depends(bearer_scheme)],
) -> Response:
    """Answers by one version."""
    return await _through_router(api, request, model, version)


async def _through_router(api: Api, request: Request, model: str, version: str | None) -> Response:
    headers = dict(request.scope["headers"])
    made = await infer(api, headers, request.receive, Trace(), model=model, version=version)
    more = {name.decode(): value.decode() for name, value in made.headers}
    return Response(
        made.body, headers=more, media_type=more.get("content-type", "application/json")
    )
