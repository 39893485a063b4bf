"""The little Markdown that the pages need."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from feilun.messages import Language

__all__ = ["anchor", "cell", "code", "fence", "kind_of", "page", "prose", "shown", "table", "words"]

_FROM = "<!-- Written by scripts/reference.py from the code: make docs. Do not edit. -->"


def page(title: str, introduction: str, *parts: str) -> str:
    """A whole page; `introduction` is the paragraph below the title."""
    return "\n\n".join([_FROM, f"# {title}", introduction, *(p for p in parts if p)]) + "\n"


def words(name: str, lang: Language) -> str:
    """The prose of a page that no code knows, from the folder ``words``."""
    return (Path(__file__).parent / "words" / f"{name}.{lang}.md").read_text("utf-8").strip()


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; empty when it has no rows."""
    lines = [" | ".join(cell(value) for value in row) for row in rows]
    if not lines:
        return ""
    head = " | ".join(columns)
    rule = " | ".join("---" for _ in columns)
    return "\n".join(f"| {line} |" for line in (head, rule, *lines))


def cell(text: str) -> str:
    """Text that may stand in a table."""
    return text.strip().replace("|", "\\|").replace("\n", "<br>")


def code(text: str) -> str:
    """Text as inline code, also when it holds a backtick."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def fence(text: str, language: str = "") -> str:
    """A block of code."""
    return f"```{language}\n{text.strip()}\n```"


def prose(docstring: str | None) -> str:
    """A docstring as Markdown: double backticks become single ones, lines of a paragraph join."""
    text = re.sub(r"``([^`]+)``", r"`\1`", docstring or "")
    paragraphs = [" ".join(p.split()) for p in re.split(r"\n\s*\n", text.strip())]
    return "\n\n".join(paragraphs)


def anchor(heading: str) -> str:
    """The fragment by which a heading is linked to, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def shown(value: Any) -> str:
    """A default as the project file would have it."""
    if value is None:
        return "–"
    return code(json.dumps(value, ensure_ascii=False))


def kind_of(schema: Mapping[str, Any], words: Mapping[str, str]) -> str:
    """A JSON schema in words: ``number, 0 to 1``. `words` translates the names of kinds."""
    if "anyOf" in schema:
        kinds = [kind_of(one, words) for one in schema["anyOf"] if one.get("type") != "null"]
        return words["or"].join(dict.fromkeys(kinds))
    if "enum" in schema:
        return words["or"].join(shown(value) for value in schema["enum"])
    if "const" in schema:
        return shown(schema["const"])
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    kind = schema.get("type", "any")
    if isinstance(kind, list):
        kind = next(one for one in kind if one != "null")
    if kind == "array":
        of = schema.get("items") or next(iter(schema.get("prefixItems", ())), {})
        return words["array"].format(of=kind_of(of, words) if of else words["any"])
    text = words.get(kind, kind)
    return f"{text}{_bounds(schema)}"


def _bounds(schema: Mapping[str, Any]) -> str:
    signs = (
        ("minimum", "≥"),
        ("exclusiveMinimum", ">"),
        ("maximum", "≤"),
        ("exclusiveMaximum", "<"),
    )
    found = [f"{sign} {schema[name]:,.15g}" for name, sign in signs if name in schema]
    if "pattern" in schema:
        found.append(code(schema["pattern"]))
    if "maxLength" in schema:
        found.append(f"≤ {schema['maxLength']} characters")
    return f" {', '.join(found)}" if found else ""
