"""Every setting: the project file, what methods and tasks declare, and the environment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from feilun import registry
from feilun.config import ProjectConfig, Settings
from feilun.messages import Language
from feilun.project.housekeeping import meaning
from feilun.training.settings import methods
from reference_pages.markdown import code, kind_of, page, prose, shown, table, words

__all__ = ["all_settings", "render"]

_WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "or": " or ",
        "array": "list of {of}",
        "any": "anything",
        "number": "number",
        "integer": "whole number",
        "string": "text",
        "boolean": "true or false",
        "object": "table",
        "null": "–",
    },
    "zh": {
        "or": " 或 ",
        "array": "列表：{of}",
        "any": "任意值",
        "number": "数",
        "integer": "整数",
        "string": "文本",
        "boolean": "true 或 false",
        "object": "表",
        "null": "–",
    },
}
_HEAD: dict[Language, tuple[str, ...]] = {
    "en": ("setting", "type", "default", "meaning"),
    "zh": ("设置", "类型", "默认", "含义"),
}


def _sections() -> Iterator[tuple[str, str, type[BaseModel]]]:
    """The tables of the project file: name, what it is for, the model that checks it."""
    for name, field in ProjectConfig.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield name, field.annotation.__doc__ or "", field.annotation
            yield from _nested(name, field.annotation)
        if name == "training":
            for method in methods():
                module = registry.load("methods", method)
                yield f"training.{method}", module.__doc__ or "", module.Settings


def _nested(name: str, model: type[BaseModel]) -> Iterator[tuple[str, str, type[BaseModel]]]:
    """The tables within a table."""
    for inner, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield f"{name}.{inner}", field.annotation.__doc__ or "", field.annotation


def _tasks() -> Iterator[tuple[str, type[BaseModel]]]:
    for name in registry.names("tasks"):
        yield name, registry.load("tasks", name).Task.Settings


def all_settings() -> dict[str, str]:
    """The meaning of every setting by its dotted name; ``task.NAME.x`` for a task's own."""
    found = {
        f"{section}.{name}": field.description or ""
        for section, _, model in _sections()
        for name, field in model.model_fields.items()
    }
    for task, model in _tasks():
        for name, field in model.model_fields.items():
            found[f"task.{task}.{name}"] = field.description or ""
    for name, field in Settings.model_fields.items():
        found[f"FEILUN_{name.upper()}"] = field.description or ""
    return found


def _rows(model: type[BaseModel], lang: Language) -> Iterator[tuple[str, str, str, str]]:
    schema: dict[str, Any] = model.model_json_schema()
    required = schema.get("required", ())
    for name, field in schema["properties"].items():
        default = _needed(lang) if name in required else shown(field.get("default"))
        told = meaning(field.get("description", ""), lang)
        kind = kind_of(field, _WORDS[lang])
        if "$ref" in field:  # a table of its own below
            kind, default = _WORDS[lang]["object"], "–"
        yield code(name), kind, default, told


def _needed(lang: Language) -> str:
    return "*needed*" if lang == "en" else "*必填*"


def _first(docstring: str) -> str:
    """The first sentence, without the name of the table that opens it."""
    words = prose(docstring).split("\n\n")[0]
    head, colon, rest = words.partition(": ")
    words = rest if colon and head.startswith("`[") else words
    return words[:1].upper() + words[1:]


def render(lang: Language) -> str:
    """The page of settings."""
    parts: list[str] = []
    for name, docstring, model in _sections():
        parts.append(f"## `[{name}]`")
        if lang == "en":
            parts.append(_first(docstring))
        parts.append(table(_HEAD[lang], _rows(model, lang)))
        if name == "project":
            for task, own in _tasks():
                parts.append(f"## `[task]` · {task}")
                parts.append(table(_HEAD[lang], _rows(own, lang)))
    parts.append(_environment(lang))
    return page(_TITLE[lang], words("settings", lang), *parts)


def _environment(lang: Language) -> str:
    rows = (
        (code(f"FEILUN_{name.strip('`').upper()}"), kind, default, meaning)
        for name, kind, default, meaning in _rows(Settings, lang)
    )
    head = ("variable", *_HEAD[lang][1:]) if lang == "en" else ("变量", *_HEAD[lang][1:])
    return "\n\n".join(
        [words("settings-environment", lang), table(head, rows), words("settings-others", lang)]
    )


_TITLE: dict[Language, str] = {"en": "Settings", "zh": "设置"}
