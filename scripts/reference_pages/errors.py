"""Every error: the families with their statuses and exit codes, and every sentence raised."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import feilun
from feilun import messages
from feilun.errors import FeilunError
from feilun.messages import Language
from reference_pages.markdown import code, page, prose, table, words

__all__ = ["families", "raised", "render"]

_SOURCE = Path(feilun.__file__).parent


def families() -> dict[str, type[FeilunError]]:
    """Every class of errors that feilun raises on purpose, those of the API's door too."""
    import feilun.api.errors  # noqa: F401  (makes its classes known)

    found: dict[str, type[FeilunError]] = {}
    waiting: list[type[FeilunError]] = [FeilunError]
    while waiting:
        one = waiting.pop(0)
        if one.__module__.startswith("feilun."):
            found[one.__name__] = one
            waiting += sorted(one.__subclasses__(), key=lambda cls: cls.__name__)
    return found


@cache
def raised() -> dict[str, set[str]]:
    """The families that each sentence is raised with, read out of the source."""
    known = families()
    found: dict[str, set[str]] = defaultdict(set)
    for file in sorted(_SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            name = node.func.id if isinstance(node.func, ast.Name) else name
            if name in known:
                for key in _keys(node.args[0]):
                    found[key].add(name)
    return dict(found)


def _keys(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(key)) if messages.has(key):
            yield key
        case ast.IfExp(body=first, orelse=second):
            yield from _keys(first)
            yield from _keys(second)


def _sentence(key: str, lang: Language) -> str:
    """The sentence with its placeholders, and its hint."""
    entry = messages._sentence(key)
    text = str(entry[lang])
    hint = str(entry.get("hint", {}).get(lang, ""))
    return f"{text}\n→ {hint}" if hint else text


def _escaped(text: str) -> str:
    return text.replace("{{", "{").replace("}}", "}").replace("<", "&lt;").replace("*", "\\*")


def render(lang: Language) -> str:
    """The page of errors."""
    known = families()
    rows = [
        (
            code(name),
            ", ".join(code(b.__name__) for b in cls.__bases__ if b is not Exception) or "–",
            str(cls.status),
            str(cls.exit_code),
            code(cls.type),
            prose(cls.__doc__).split("\n\n")[0],
        )
        for name, cls in known.items()
    ]
    spoken = raised()
    parts = []
    for room in sorted({key.partition(".")[0] for key in spoken}):
        keys = sorted(key for key in spoken if key.partition(".")[0] == room)
        parts.append(f"## {room}")
        parts.append(
            table(
                ("code", "family", "English", "中文"),
                (
                    (
                        code(key),
                        ", ".join(code(name) for name in sorted(spoken[key])),
                        _escaped(_sentence(key, "en")),
                        _escaped(_sentence(key, "zh")),
                    )
                    for key in keys
                ),
            )
        )
    return page(
        "Errors",
        words("errors", lang),
        "## Families",
        table(("family", "kind of", "HTTP", "exit", "type", "meaning"), rows),
        words("errors-outside", lang),
        *parts,
    )
