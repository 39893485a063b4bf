"""Pages for people: a landing page, and the documentation of the API. Both work offline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from fastapi import APIRouter, Request, Response
from jinja2 import Environment, PackageLoader

from feilun import messages
from feilun.api.openapi import example_input
from feilun.api.routes import ApiOf

__all__ = ["router"]

router = APIRouter(tags=["documentation"])

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


@router.get("/", response_class=Response)
async def get_home(request: Request, api: ApiOf) -> Response:
    """What answers here, and where the documentation is."""
    live = {route.endpoint: route.live.id for route in api.models.routes.values()}
    return _page(request, "home.html", live=live)


@router.get("/docs", response_class=Response)
async def get_docs(request: Request, api: ApiOf) -> Response:
    """Every route with its body, its answers and an example; `?lang=zh` for Chinese."""
    lang = _language(request)
    document = request.app.state.document(lang)
    model = next(iter(sorted(api.models.routes)), "reviews")
    address = str(request.base_url).rstrip("/")
    return _page(
        request,
        "docs.html",
        document=document,
        operations=_operations(document, address, model, lang),
        errors=json.dumps(document["components"]["schemas"]["Error"], indent=2),
    )


@router.get("/openapi.json")
async def get_openapi(request: Request) -> Response:
    """This document."""
    document = request.app.state.document(_language(request))
    text = json.dumps(document, ensure_ascii=False)
    return Response(text, media_type="application/json")


def _language(request: Request) -> messages.Language:
    """The one in the query, else the one that the browser prefers, else the process's."""
    wanted = request.query_params.get("lang") or request.state.language
    return wanted if wanted in messages.LANGUAGES else messages.language()


def _page(request: Request, name: str, **values: Any) -> Response:
    lang = _language(request)
    template = _templates().get_template(name)
    text = template.render(lang=lang, t=lambda key: messages.t(key, lang), **values)
    return Response(text, headers={"content-security-policy": _POLICY}, media_type="text/html")


@cache
def _templates() -> Environment:
    return Environment(loader=PackageLoader("feilun.api", "html"), autoescape=True)


def _operations(
    document: Mapping[str, Any], address: str, model: str, lang: messages.Language
) -> list[dict[str, Any]]:
    """What the page shows of each route, those for customers first."""
    shown = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            answer = operation["responses"].get("200", {}).get("content", {})
            schema = answer.get("application/json", {}).get("schema")
            shown.append(
                {
                    "path": path,
                    "method": method.upper(),
                    "text": operation.get("description", ""),
                    "public": not operation.get("security"),
                    "parameters": operation.get("parameters", []),
                    "body": _resolved(document, body.get("schema")),
                    "answer": _resolved(document, schema),
                    "failures": {
                        c: r["description"] for c, r in operation["responses"].items() if c != "200"
                    },
                    "curl": _curl(method.upper(), path, address, model, bool(body), lang),
                    "internal": path.startswith("/internal/"),
                }
            )
    return sorted(shown, key=lambda one: (one["internal"], not one["path"].startswith("/v1")))


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any] | None) -> str:
    """A schema as text, its own reference followed once."""
    if not schema:
        return ""
    if ref := schema.get("$ref"):
        schema = document["components"]["schemas"][ref.rpartition("/")[2]]
    return json.dumps(schema, indent=2, ensure_ascii=False)


def _curl(
    method: str, path: str, address: str, model: str, has_body: bool, lang: messages.Language
) -> str:
    filled = path.replace("{model}", model).replace("{version}", "1")
    parts = [f"curl {address}{filled}"]
    if path.startswith(("/v1", "/v2/models", "/internal")):
        parts.append('-H "Authorization: Bearer $FEILUN_KEY"')
    if has_body:
        body: dict[str, Any] = {"version": f"{model}@1"}
        if path == "/v1/predict" or path.endswith("/predict"):
            body = {"model": model, "inputs": [example_input(lang)]}
        elif path == "/v1/embeddings":
            body = {"model": model, "input": [example_input(lang)]}
        elif path == "/v1/search":
            body = {"model": model, "query": example_input(lang), "k": 3}
        elif path == "/v1/rerank":
            text = example_input(lang)
            body = {"model": model, "query": text, "documents": [text]}
        elif path.endswith("/infer"):
            tensor = {
                "name": "text",
                "datatype": "BYTES",
                "shape": [1],
                "data": [example_input(lang)],
            }
            body = {"inputs": [tensor]}
        elif path == "/v1/feedback":
            body = {"prediction_id": "pred_...", "index": 0, "label": "..."}
        text = json.dumps(body, ensure_ascii=False).replace("'", "'\\''")
        parts += ['-H "Content-Type: application/json"', f"-d '{text}'"]
    elif method != "GET":
        parts.append(f"-X {method}")
    return " \\\n  ".join(parts)
