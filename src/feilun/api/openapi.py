"""The OpenAPI document: every route, the inputs of every task, and the one error shape."""

from __future__ import annotations

from functools import cache
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from feilun import messages
from feilun.tasks import base as tasks

__all__ = ["describe", "example_input"]

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "code", "param", "request_id"],
            "properties": {
                "message": {"type": "string", "description": "in the language of Accept-Language"},
                "type": {"type": "string"},
                "code": {"type": "string", "description": "stable; tells failures apart"},
                "param": {"type": ["string", "null"], "description": "the part at fault"},
                "request_id": {"type": "string"},
            },
        }
    },
}
_MODEL = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "model"},
        "created": {"type": "integer"},
        "owned_by": {"type": "string"},
        "version": {"type": "string", "examples": ["reviews@3"]},
        "task": {"type": "string"},
        "labels": {"type": "array", "items": {"type": "string"}},
        "max_inputs": {"type": "integer"},
    },
}
_ANSWERS: dict[tuple[str, str], dict[str, Any]] = {
    ("/v1/predict", "post"): {"$ref": "#/components/schemas/Answer"},
    ("/v1/feedback", "post"): {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "prediction_id": {"type": "string"},
            "index": {"type": "integer"},
            "label": {"type": "string"},
        },
    },
    ("/v1/models", "get"): {
        "type": "object",
        "properties": {"object": {"const": "list"}, "data": {"type": "array", "items": _MODEL}},
    },
    ("/v1/models/{model}", "get"): _MODEL,
    ("/v1/usage", "get"): {
        "type": "object",
        "properties": {
            "object": {"const": "usage"},
            "data": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "day": {"type": "string", "format": "date"},
                        "model": {"type": ["string", "null"]},
                        "calls": {"type": "integer"},
                        "inputs": {"type": "integer"},
                        "amount": {"type": "string", "examples": ["1.23"]},
                        "currency": {"type": "string", "examples": ["USD"]},
                    },
                },
            },
            "total": {"type": "array", "items": {"type": "object"}},
        },
    },
}
_FAILURES = {
    "400": "the request cannot be read",
    "401": "no key, or one that does not work",
    "404": "there is no such thing",
    "405": "not with this method",
    "410": "the input is no longer kept",
    "413": "more than one call may carry",
    "422": "the body does not fit, or an input cannot be answered",
    "500": "a failure of ours; quote the request_id",
    "503": "not now; nothing was charged",
}
_PUBLIC = ("/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/")


def describe(app: FastAPI) -> None:
    """Gives `app` its document, made when it is first asked for."""

    @cache
    def document() -> dict[str, Any]:
        made = get_openapi(
            title=messages.t("api.docs_title", "en"), version=app.version, routes=app.routes
        )
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        schemas |= _schemas()
        for path, operations in made["paths"].items():
            for method, operation in operations.items():
                _complete(path, method, operation)
        return made

    app.openapi = document  # type: ignore[method-assign]


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    """What FastAPI cannot know: the hot path's body, the answers, the failures."""
    if path == "/v1/predict":
        operation["requestBody"] = {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/PredictBody"}}
            },
        }
    if path.startswith("/internal/"):
        operation["security"] = [{"HTTPBearer": []}]
    responses = operation["responses"]
    if schema := _ANSWERS.get((path, method)):
        responses["200"]["content"] = {"application/json": {"schema": schema}}
    elif path in ("/docs", "/"):
        responses["200"]["content"] = {"text/html": {"schema": {"type": "string"}}}
    elif path == "/metrics":
        responses["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    codes = ("405", "413", "500") if path in _PUBLIC else tuple(_FAILURES)
    for code in codes:
        responses[code] = {"description": _FAILURES[code], "content": content}
    if path == "/readyz":
        responses["503"] = {"description": "not every endpoint can answer"}


def _schemas() -> dict[str, Any]:
    inputs = {_title(name, "Input"): tasks.get(name).input_schema() for name in tasks.names()}
    outputs = {_title(name, "Output"): tasks.get(name).output_schema() for name in tasks.names()}
    one = {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in inputs]}
    output = {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in outputs]}
    return {
        **inputs,
        **outputs,
        "Error": _ERROR,
        "PredictBody": {
            "type": "object",
            "required": ["inputs"],
            "additionalProperties": False,
            "properties": {
                "model": {
                    "type": ["string", "null"],
                    "description": "an endpoint (reviews) or a version that is live (reviews@3); "
                    "may be left out where there is one endpoint",
                },
                "inputs": {
                    "anyOf": [*one["anyOf"], {"type": "array", "minItems": 1, "items": one}]
                },
                "all_scores": {
                    "type": "boolean",
                    "default": False,
                    "description": "answer with the score of every label",
                },
            },
            "examples": [{"model": "reviews", "inputs": [example_input()]}],
        },
        "Answer": {
            "type": "object",
            "required": ["id", "model", "outputs", "usage"],
            "properties": {
                "id": {"type": "string", "description": "what feedback refers to"},
                "model": {"type": "string", "examples": ["reviews@3"]},
                "outputs": {"type": "array", "items": output},
                "usage": {
                    "type": "object",
                    "properties": {
                        "inputs": {"type": "integer"},
                        "tokens": {"type": "integer"},
                        "pixels": {"type": "integer"},
                    },
                },
            },
        },
    }


def example_input() -> Any:
    """An input that can be shown: the first text among the tasks' inline examples."""
    for name in tasks.names():
        for item in tasks.get(name).example_items():
            if isinstance(item, str):
                return item
    return {}


def _title(name: str, what: str) -> str:
    return "".join(part.capitalize() for part in name.split("-")) + what
