"""The pages of ``--help`` in the language in force: the library's own words are English alone."""

from __future__ import annotations

import re
from collections.abc import Sequence

from typer._click.core import Command, Context
from typer._click.formatting import HelpFormatter

from feilun.messages import t

__all__ = ["translated"]


class _Formatter(HelpFormatter):
    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
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
        super().write_dl([(name, _words(text)) for name, text in rows], col_max, col_spacing)


class _Context(Context):
    formatter_class = _Formatter


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
