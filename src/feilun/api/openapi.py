"""The OpenAPI document: every route, the inputs of every task, and the one error shape."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from feilun import messages
from feilun.api.openapi_shapes import ANSWERS, BODIES, bodies
from feilun.tasks import base as tasks

__all__ = ["describe", "example_input"]

_FAILURES = (400, 401, 402, 403, 404, 405, 408, 409, 410, 413, 415, 422, 429, 431, 500, 503)
_FORMED = ("/v1/chat/completions", "/v1/completions", "/v1/responses")
"""Where a form of the answer may be asked for."""
_FAILURES_OF_ALL = (400, 405, 408, 413, 415, 431, 500)
_PUBLIC = (
    *("/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/"),
    *("/v2", "/v2/health/live", "/v2/health/ready"),
)


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
        if "FeedbackBody" in schemas:
            said = schemas["FeedbackBody"]["properties"]
            said["prediction_id"]["description"] = messages.t("api.schema_id", lang)
            said["label"] = _target(messages.t("api.schema_label", lang))
            said["index"]["description"] = messages.t("api.schema_index", lang)
            said["rejected"]["description"] = messages.t("api.schema_rejected", lang)
            said["note"]["description"] = messages.t("api.schema_note", lang)
        for path, operations in made["paths"].items():
            for method, operation in operations.items():
                _complete(path, method, operation, lang)
        return made

    app.openapi = lambda: document("en")  # type: ignore[method-assign]
    return document


def _complete(path: str, method: str, operation: dict[str, Any], lang: messages.Language) -> None:
    """What FastAPI cannot know: the hot path's body, the answers, the failures, the language."""
    operation["description"] = messages.t(f"api.route_{operation['operationId']}", lang)
    if name := BODIES.get(path):
        taken = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
        operation["requestBody"] = {"required": True, "content": taken}
    if path.startswith("/internal/"):
        operation["security"] = [{"HTTPBearer": []}]
    responses = operation["responses"]
    if schema := ANSWERS.get((path, method)):
        responses["200"]["content"] = {"application/json": {"schema": schema}}
        if path == "/v1/invoices/{number}":
            for form in ("text/html", "text/csv"):
                responses["200"]["content"][form] = {"schema": {"type": "string"}}
    elif path in ("/docs", "/"):
        responses["200"]["content"] = {"text/html": {"schema": {"type": "string"}}}
    elif path == "/metrics":
        responses["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    shape = "ProtocolError" if path.startswith("/v2") else "Error"
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{shape}"}}}
    failures = _FAILURES_OF_ALL if path in _PUBLIC else _FAILURES
    for code in (*failures, 502) if path in _FORMED else failures:
        description = messages.t(f"api.failure_{code}", lang)
        responses[str(code)] = {"description": description, "content": content}
    if path in ("/readyz", "/v2/health/ready"):
        responses["503"] = {"description": messages.t("api.failure_503", lang)}


def _schemas(lang: messages.Language) -> dict[str, Any]:
    inputs = {_title(name, "Input"): tasks.get(name).input_schema() for name in tasks.names()}
    outputs = {
        _title(name, "Output"): tasks.get(name).family.output_schema() for name in tasks.names()
    }
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
        "ProtocolError": {
            "type": "object",
            "required": ["error"],
            "properties": {"error": text("api.schema_message")},
        },
        **bodies(lang, [*one, several], example_input(lang)),
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


def example_input(lang: messages.Language) -> Any:
    """An input that can be shown to readers of `lang`: the first text among the tasks' own."""
    for name in tasks.names():
        item = tasks.get(name).shown_example(lang)
        if isinstance(item, str):
            return item
    return {}


def _target(description: str) -> dict[str, Any]:
    """What is right, in the form of any family of answers: plain values by their types first."""
    plain: list[str] = ["string", "integer", "number", "boolean"]
    others: list[dict[str, Any]] = []
    for name in tasks.names():
        schema = tasks.get(name).family.target_schema()
        if set(schema) == {"type"}:
            types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
            plain += [one for one in types if one not in plain]
        elif schema not in others:
            others.append(schema)
    found = [{"type": one} for one in plain] + others
    return {"title": "Label", "description": description, "anyOf": found}


def _title(name: str, what: str) -> str:
    return "".join(part.capitalize() for part in name.split("-")) + what
