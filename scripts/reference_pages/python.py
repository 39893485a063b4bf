"""The public classes and their methods, from signatures and docstrings."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

from feilun.messages import Language
from reference_pages.markdown import fence, page, prose, table, words

__all__ = ["classes", "render"]


def classes() -> dict[str, list[type]]:
    """The classes of each part of the page."""
    from feilun import client
    from feilun.project import Model, Project, Workspace, health, looks, results, review, status
    from feilun.table import Result, Table

    found = [
        *(getattr(results, name) for name in results.__all__),
        health.Health,
        status.Status,
        looks.AuditView,
        review.ReviewItem,
    ]
    named = [one for one in found if inspect.isclass(one)]
    return {
        "The verbs": [Workspace, Project, Model],
        "The HTTP client": [
            client.Client,
            client.AsyncClient,
            client.Answer,
            client.ApiError,
            client.Unreachable,
        ],
        "Results": [Result, Table, *named],
    }


def _signature(name: str, value: Any) -> str:
    """How it is called, a parameter a line where it is long."""
    signature = inspect.signature(value)
    parts: list[str] = []
    for one in signature.parameters.values():
        if one.name == "self":
            continue
        if one.kind is one.KEYWORD_ONLY and not any(p.startswith("*") for p in parts):
            parts.append("*")
        parts.append(_parameter(one))
    returns = signature.return_annotation
    after = "" if returns in (inspect.Signature.empty, None, "None") else f" -> {_type(returns)}"
    whole = f"{name}({', '.join(parts)}){after}"
    if len(whole) <= 84:
        return whole
    return f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){after}"


def _parameter(one: inspect.Parameter) -> str:
    stars = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "")
    text = f"{stars}{one.name}"
    if one.annotation is not one.empty:
        text += f": {_type(one.annotation)}"
    if one.default is not one.empty:
        named = getattr(one.default, "__name__", None)
        text += f" = {named or repr(one.default)}"
    return text


def _type(annotation: Any) -> str:
    """An annotation as it stands in the source, without the modules before its names."""
    text = annotation if isinstance(annotation, str) else annotation.__name__
    return re.sub(r"\b[a-z_]+\.(?=[A-Z])", "", text)


def _made(cls: type) -> Any:
    """The `__init__` that says what it takes: one that only passes on leaves that to its base."""
    for base in cls.__mro__:
        made = base.__dict__.get("__init__")
        if made is not None and "args" not in inspect.signature(made).parameters:
            return made
    return cls.__init__


def _methods(cls: type) -> list[str]:
    made = []
    for name, value in inspect.getmembers_static(cls):
        if name.startswith("_") or not _ours(cls, name):
            continue
        if isinstance(value, property):
            returns = inspect.signature(value.fget).return_annotation  # type: ignore[arg-type]
            block = fence(f"{name}: {_type(returns)}", "python")
            made.append((name, block, value.fget.__doc__))
            continue
        plain = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
        if inspect.isfunction(plain):
            shown = getattr(cls, name)
            word = "await " if inspect.iscoroutinefunction(plain) else ""
            made.append((name, fence(word + _signature(name, shown), "python"), plain.__doc__))
    order = [name for base in reversed(cls.__mro__) for name in base.__dict__]
    made.sort(key=lambda one: order.index(one[0]) if one[0] in order else len(order))
    return [f"{block}\n\n{prose(doc)}".strip() for _, block, doc in made if doc]


def _ours(cls: type, name: str) -> bool:
    return any(
        name in base.__dict__ for base in cls.__mro__ if base.__module__.startswith("feilun")
    )


def _section(cls: type) -> str:
    parts = [f"### {cls.__name__}", f"`{cls.__module__}.{cls.__name__}`", prose(cls.__doc__)]
    if dataclasses.is_dataclass(cls):
        fields = [
            (f"`{f.name}`", f"`{f.type}`")
            for f in dataclasses.fields(cls)
            if not f.name.startswith("_")
        ]
        parts.append(table(("field", "type"), fields))
    else:
        made = _made(cls)
        parts.append(fence(_signature(cls.__name__, made), "python"))
        parts.append(prose(made.__doc__))
    return "\n\n".join([*(p for p in parts if p), *_methods(cls)])


def render(lang: Language) -> str:
    """The page of Python."""
    parts = []
    for title, found in classes().items():
        parts.append(f"## {title}")
        parts += [_section(cls) for cls in found]
    return page("Python", words("python", lang), *parts)
