"""Every command with its arguments, options and defaults, from the real command line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from feilun.cli.app import build
from feilun.messages import Language
from reference_pages.markdown import anchor, code, fence, page, shown, table, words

__all__ = ["commands", "examples", "render"]

_SHARED = ("--workspace", "--project", "--json", "--debug")


@cache
def examples() -> dict[str, dict[str, Any]]:
    """Examples of commands and routes, and what their exit codes mean beyond the usual."""
    text = (Path(__file__).parent / "examples.toml").read_text("utf-8")
    return tomllib.loads(text)


def commands() -> dict[str, Any]:
    """Every command by its words (``data add``), as the command line itself knows it."""
    import typer

    def walk(group: Any, before: str) -> Iterator[tuple[str, Any]]:
        for name, one in group.commands.items():
            words = f"{before} {name}".strip()
            if hasattr(one, "commands"):
                yield from walk(one, words)
            if not hasattr(one, "commands") or one.invoke_without_command:
                yield words, one

    return dict(sorted(walk(typer.main.get_command(build()), "")))


def _options(command: Any, lang: Language, shared: bool) -> Iterator[tuple[str, str, str, str]]:
    for param in command.params:
        names = [o for o in param.opts if o.startswith("-")]
        if not names or (names[0] in _SHARED) is not shared:
            continue
        kind = "–" if getattr(param, "is_flag", False) else _kind(param, lang)
        default = "–" if getattr(param, "is_flag", False) else shown(_default(param.default))
        yield ", ".join(code(name) for name in names), kind, default, param.help or ""


def _arguments(command: Any, lang: Language) -> Iterator[tuple[str, str, str]]:
    for param in command.params:
        if any(o.startswith("-") for o in param.opts):
            continue
        name = param.name.upper() + ("..." if param.nargs == -1 else "")
        needed = _WORDS[lang]["yes" if param.required else "no"]
        yield code(name), needed, param.help or ""


def _default(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _kind(param: Any, lang: Language) -> str:
    words = _WORDS[lang]
    of = param.type_descriptor.annotation
    kind = words.get(getattr(of, "__name__", ""), words["str"])
    if param.min is not None or param.max is not None:
        bounds = [f"≥ {param.min}" if param.min is not None else ""]
        bounds.append(f"≤ {param.max}" if param.max is not None else "")
        kind += " " + ", ".join(b for b in bounds if b)
    return kind + (words["many"] if param.multiple else "")


def _usage(words: str, command: Any) -> str:
    parts = ["feilun", words]
    for param in command.params:
        if not any(o.startswith("-") for o in param.opts):
            name = param.name.upper() + ("..." if param.nargs == -1 else "")
            parts.append(name if param.required else f"[{name}]")
    return " ".join([*parts, "[OPTIONS]"])


def _section(words: str, command: Any, lang: Language) -> str:
    known = examples()["commands"].get(words, {})
    text = _WORDS[lang]
    option_head = tuple(text[h] for h in ("option", "type", "default", "meaning"))
    argument_head = tuple(text[h] for h in ("argument", "needed", "meaning"))
    exits = known.get(f"exits_{lang}", "")
    parts = [
        f"## {words}",
        command.help or "",
        fence(_usage(words, command), "text"),
        table(argument_head, _arguments(command, lang)),
        table(option_head, _options(command, lang, shared=False)),
        f"{text['exits']} {exits}" if exits else "",
    ]
    if known.get("lines"):
        parts += [text["example"], fence("\n".join(known["lines"]), "bash")]
    return "\n\n".join(part for part in parts if part)


def render(lang: Language) -> str:
    """The page of commands."""
    known = commands()
    text = _WORDS[lang]
    head = tuple(text[h] for h in ("option", "type", "default", "meaning"))
    listed = [(f"[`{words}`](#{anchor(words)})", known[words].help or "") for words in known]
    some = next(iter(known.values()))
    return page(
        text["title"],
        words("commands", lang),
        table((text["command"], text["meaning"]), listed),
        text["shared"],
        table(head, _options(some, lang, shared=True)),
        words("commands-exits", lang),
        *(_section(words, command, lang) for words, command in known.items()),
    )


_WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "title": "Commands",
        "command": "command",
        "option": "option",
        "argument": "argument",
        "type": "type",
        "default": "default",
        "needed": "needed",
        "meaning": "meaning",
        "yes": "yes",
        "no": "no",
        "many": ", repeatable",
        "str": "text",
        "int": "whole number",
        "float": "number",
        "Path": "path",
        "exits": "Exit codes besides the usual:",
        "example": "For example:",
        "shared": "## Options of every command",
    },
    "zh": {
        "title": "命令",
        "command": "命令",
        "option": "选项",
        "argument": "参数",
        "type": "类型",
        "default": "默认",
        "needed": "必需",
        "meaning": "含义",
        "yes": "是",
        "no": "否",
        "many": "，可重复",
        "str": "文本",
        "int": "整数",
        "float": "数",
        "Path": "路径",
        "exits": "通用退出码之外：",
        "example": "例如：",
        "shared": "## 所有命令共有的选项",
    },
}
