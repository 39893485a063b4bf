"""The OpenAPI document: every route, the inputs of every task, and the one error shape."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from feilun import messages
from feilun.serving.limits import MAX_EXPLAINED
from feilun.tasks import base as tasks

__all__ = ["describe", "example_input"]

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
        "embeddings": {"type": "boolean"},
    },
}
_BODIES = {"/v1/predict": "PredictBody", "/v1/embeddings": "EmbeddingsBody"}
"""The bodies that the door reads itself, by path."""
_ANSWERS: dict[tuple[str, str], dict[str, Any]] = {
    ("/v1/predict", "post"): {"$ref": "#/components/schemas/Answer"},
    ("/v1/embeddings", "post"): {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "object": {"const": "list"},
            "model": {"type": "string", "examples": ["reviews@3"]},
            "data": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "object": {"const": "embedding"},
                        "index": {"type": "integer"},
                        "embedding": {
                            "anyOf": [
                                {"type": "array", "items": {"type": "number"}},
                                {"type": "string", "contentEncoding": "base64"},
                            ]
                        },
                    },
                },
            },
            "usage": {
                "type": "object",
                "properties": {
                    "prompt_tokens": {"type": "integer"},
                    "total_tokens": {"type": "integer"},
                },
            },
        },
    },
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
_FAILURES = (400, 401, 404, 405, 410, 413, 422, 500, 503)
_PUBLIC = ("/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/")


def describe(app: FastAPI) -> Callable[[messages.Language], dict[str, Any]]:
    """Gives `app` its document, and returns the same for each language; made when first asked."""

    @cache
    def document(lang: messages.Language) -> dict[str, Any]:
        made = get_openapi(
            title=messages.t("api.docs_title", lang), version=app.version, routes=app.routes
        )
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        schemas |= _schemas(lang)
        said = schemas["FeedbackBody"]["properties"]
        said["prediction_id"]["description"] = messages.t("api.schema_id", lang)
        said["label"]["description"] = messages.t("api.schema_label", lang)
        said["index"]["description"] = messages.t("api.schema_index", lang)
        for path, operations in made["paths"].items():
            for method, operation in operations.items():
                _complete(path, method, operation, lang)
        return made

    app.openapi = lambda: document("en")  # type: ignore[method-assign]
    return document


def _complete(path: str, method: str, operation: dict[str, Any], lang: messages.Language) -> None:
    """What FastAPI cannot know: the hot path's body, the answers, the failures, the language."""
    operation["description"] = messages.t(f"api.route_{operation['operationId']}", lang)
    if name := _BODIES.get(path):
        schema = {"$ref": f"#/components/schemas/{name}"}
        content = {"application/json": {"schema": schema}}
        operation["requestBody"] = {"required": True, "content": content}
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
    for code in (405, 413, 500) if path in _PUBLIC else _FAILURES:
        description = messages.t(f"api.failure_{code}", lang)
        responses[str(code)] = {"description": description, "content": content}
    if path == "/readyz":
        responses["503"] = {"description": messages.t("api.failure_503", lang)}


def _schemas(lang: messages.Language) -> dict[str, Any]:
    inputs = {_title(name, "Input"): tasks.get(name).input_schema() for name in tasks.names()}
    outputs = {_title(name, "Output"): tasks.get(name).output_schema() for name in tasks.names()}
    one = [{"$ref": f"#/components/schemas/{name}"} for name in inputs]
    several = {"type": "array", "minItems": 1, "items": {"anyOf": one}}
    output = {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in outputs]}

    def text(key: str, **more: Any) -> dict[str, Any]:
        return {"type": "string", "description": messages.t(key, lang), **more}

    return {
        **inputs,
        **outputs,
        "Error": {
            "type": "object",
            "required": ["error"],
            "properties": {
                "error": {
                    "type": "object",
                    "required": ["message", "type", "code", "param", "request_id"],
                    "properties": {
                        "message": text("api.schema_message"),
                        "type": {"type": "string"},
                        "code": text("api.schema_code"),
                        "param": text("api.schema_param") | {"type": ["string", "null"]},
                        "request_id": {"type": "string"},
                    },
                }
            },
        },
        "PredictBody": {
            "type": "object",
            "required": ["inputs"],
            "additionalProperties": False,
            "properties": {
                "model": text("api.schema_model") | {"type": ["string", "null"]},
                "inputs": {"anyOf": [*one, several]},
                "all_scores": {
                    "type": "boolean",
                    "default": False,
                    "description": messages.t("api.schema_all_scores", lang),
                },
                "explain": {
                    "type": "boolean",
                    "default": False,
                    "description": messages.t("api.schema_explain", lang, limit=MAX_EXPLAINED),
                },
            },
            "examples": [{"model": "reviews", "inputs": [example_input()]}],
        },
        "EmbeddingsBody": {
            "type": "object",
            "required": ["input"],
            "additionalProperties": False,
            "properties": {
                "input": {
                    "anyOf": [
                        {"type": "string"},
                        {"type": "array", "minItems": 1, "items": {"type": "string"}},
                    ]
                },
                "model": text("api.schema_model") | {"type": ["string", "null"]},
                "encoding_format": {"enum": ["float", "base64"], "default": "float"},
                "dimensions": {"type": ["integer", "null"], "minimum": 1},
                "user": {"type": ["string", "null"]},
            },
            "examples": [{"model": "reviews", "input": [example_input()]}],
        },
        "Answer": {
            "type": "object",
            "required": ["id", "model", "outputs", "usage"],
            "properties": {
                "id": text("api.schema_id"),
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
