"""The pages of ``--help`` in the language in force: the library's own words are English alone."""

from __future__ import annotations

import re
from collections.abc import Sequence

from typer._click.core import Command, Context
from typer._click.formatting import HelpFormatter

from feilun.messages import t

__all__ = ["translated"]


# What Typer writes for the kinds of values: <str>, <list[str]>, <int range>, ...
_TYPE = re.compile(r"<(?:list\[)?(str|path|int|float)(?: range)?\]?>")


class _Formatter(HelpFormatter):
    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        for word in ("OPTIONS", "COMMAND", "ARGS"):
            args = re.sub(rf"\b{word}\b", t(f"help.{word.lower()}_word"), args)
        super().write_usage(prog, args, t("help.usage") if prefix is None else prefix)

    def write_heading(self, heading: str) -> None:
        words = {
            "Options": t("help.options"),
            "Arguments": t("help.arguments"),
            "Commands": t("help.commands"),
        }
        self.write(f"{'':>{self.current_indent}}{words.get(heading, heading + ':')}\n")

    def write_dl(
        self, rows: Sequence[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """Two columns, by the places that letters take in a terminal: Chinese ones take two."""
        from rich.cells import cell_len
        from rich.console import Console
        from rich.text import Text

        shown = [(_TYPE.sub(_kind, name), _words(text)) for name, text in rows]
        first = min(max(cell_len(name) for name, _ in shown), col_max) + col_spacing
        width = max(self.width - self.current_indent - first, 10)
        console, margin = Console(width=width), " " * self.current_indent
        for name, text in shown:
            lines = [line.plain.rstrip() for line in Text(text).wrap(console, width)]
            beside = cell_len(name) <= first - col_spacing and lines
            head = name + " " * (first - cell_len(name)) + lines.pop(0) if beside else name
            self.write(f"{margin}{head}\n")
            for line in lines:
                self.write(f"{margin}{'':{first}}{line}\n")


class _Context(Context):
    formatter_class = _Formatter


def _kind(found: re.Match[str]) -> str:
    return f"<{t(f'help.kind_{found[1]}')}>"


def _words(text: str) -> str:
    text = text.replace("Show this message and exit.", t("help.help"))
    text = re.sub(r"\brequired\]$", f"{t('help.required')}]", text)
    return re.sub(r"\[default: ", f"[{t('help.default')}", text)


def translated(command: Command) -> Command:
    """`command`, and all below it, with pages in the language in force."""
    command.context_class = _Context
    for below in getattr(command, "commands", {}).values():
        translated(below)
    return command
