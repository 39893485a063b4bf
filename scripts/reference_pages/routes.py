"""Every HTTP route, from the document that the server itself gives out."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from feilun import registry
from feilun.messages import Language
from reference_pages.commands import examples
from reference_pages.markdown import anchor, code, fence, kind_of, page, prose, table, words

__all__ = ["document", "render"]

_WORDS = {
    "or": " or ",
    "array": "list of {of}",
    "any": "anything",
    "number": "number",
    "integer": "whole number",
    "string": "text",
    "boolean": "true or false",
    "object": "object",
}


def document() -> dict[str, Any]:
    """The OpenAPI document that a server of this installation gives out."""
    from feilun.api.app import create_app
    from feilun.api.security import Security
    from feilun.project import Workspace
    from feilun.serving.service import Service

    async def ask(app: Any) -> dict[str, Any]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            made: dict[str, Any] = (await client.get("/openapi.json")).json()
        return made

    with tempfile.TemporaryDirectory() as folder, Workspace(folder, lang="en") as workspace:
        security = Security(admin=True)
        return asyncio.run(ask(create_app(Service(workspace.store), security)))


def _resolved(made: Mapping[str, Any], schema: Mapping[str, Any] | None) -> Mapping[str, Any]:
    while schema and "$ref" in schema:
        schema = made["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema or {}


def _fields(
    made: Mapping[str, Any], schema: Mapping[str, Any], before: str = ""
) -> Iterator[tuple[str, str, str]]:
    """The fields of an object, those of objects and lists within it below them."""
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        kind = _linked(kind_of(field, _WORDS))
        text = field.get("description", "")
        if name in required and not before and "additionalProperties" in schema:
            text = f"{text}; needed".removeprefix("; ")
        if "examples" in field:
            text = f"{text}; such as {code(str(field['examples'][0]))}".removeprefix("; ")
        if "default" in field:
            text = f"{text}; default {code(json.dumps(field['default']))}".removeprefix("; ")
        yield code(before + name), kind, text
        inner = _resolved(made, field.get("items") or field)
        if inner is not field and inner.get("properties"):
            yield from _fields(made, inner, f"{before}{name}[].")
        elif field.get("properties"):
            yield from _fields(made, field, f"{before}{name}.")


def _linked(kind: str) -> str:
    """The inputs and outputs of tasks, as links to their tasks' pages."""
    for task in registry.names("tasks"):
        title = "".join(part.capitalize() for part in task.split("-"))
        for what in ("Input", "Output"):
            kind = kind.replace(title + what, f"[{what.lower()} of {task}](tasks.md#{task})")
    return kind


def _parameters(operation: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    for one in operation.get("parameters", ()):
        needed = "yes" if one.get("required") else "no"
        yield code(one["name"]), one["in"], kind_of(one["schema"], _WORDS), needed


def _auth(path: str, operation: Mapping[str, Any]) -> str:
    if path.startswith("/internal/"):
        return "the workspace's internal token"
    return "an API key" if operation.get("security") else "nobody needs a key"


def _section(made: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]) -> str:
    title = f"{method.upper()} {path}"
    known = examples()["routes"].get(title, {})
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    answer = operation["responses"].get("200", {}).get("content", {})
    request = _resolved(made, body.get("schema"))
    response = _resolved(made, answer.get("application/json", {}).get("schema"))
    failures = ", ".join(sorted(operation["responses"].keys() - {"200"}))
    head = ("field", "type", "meaning")
    other = next((kind for kind in answer if kind != "application/json"), None)
    parts = [
        f"## {title}",
        prose(operation.get("description")),
        f"Who may call it: {_auth(path, operation)}.",
        table(("parameter", "in", "type", "needed"), _parameters(operation)),
        _titled("Body:", table(head, _fields(made, request))),
        _titled("Answer:", table(head, _fields(made, response)))
        or (f"Answer: {code(other)}." if other else ""),
        fence(known["curl"], "bash") if "curl" in known else "",
        fence(known["answer"], "json") if "answer" in known else "",
        f"Failures: {failures}." if failures else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _failures(made: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What each status means, where a route says so."""
    found = {
        status: response["description"]
        for operations in made["paths"].values()
        for operation in operations.values()
        for status, response in operation["responses"].items()
        if status != "200" and response.get("description")
    }
    return sorted(found.items())


def _titled(title: str, body: str) -> str:
    return f"{title}\n\n{body}" if body else ""


def _order(path: str) -> tuple[int, int, str]:
    first = ("/v1/predict", "/v1/feedback", "/v1/models", "/v1/usage")
    place = next((n for n, name in enumerate(first) if path.startswith(name)), len(first))
    return path.startswith("/internal"), place, path


def render(lang: Language) -> str:
    """The page of routes."""
    made = document()
    found = [
        (path, method, operation)
        for path in sorted(made["paths"], key=_order)
        for method, operation in made["paths"][path].items()
    ]
    listed = [
        (
            f"[`{method.upper()} {path}`](#{anchor(f'{method.upper()} {path}')})",
            _auth(path, operation),
            prose(operation.get("description")).split("\n")[0],
        )
        for path, method, operation in found
    ]
    return page(
        "Routes",
        words("routes", lang),
        table(("route", "who may call it", "what it does"), listed),
        "What the statuses of failures mean:",
        table(("status", "meaning"), _failures(made)),
        *(_section(made, *one) for one in found),
    )
