"""What the reference holds."""

from __future__ import annotations

from feilun.messages import Language
from reference_pages.markdown import page, table, words

__all__ = ["render"]

_ROWS = (
    ("[Settings](settings.md) · [中文](zh/settings.md)", "the project file and the environment"),
    ("[Commands](commands.md) · [中文](zh/commands.md)", "the command line and its exit codes"),
    ("[Routes](routes.md)", "the HTTP API"),
    ("[Errors](errors.md)", "every failure that has a name, in both languages"),
    ("[Tasks](tasks.md)", "what can be learnt and answered"),
    (
        "[Methods](methods.md) · [中文](zh/methods.md)",
        "how it is learnt, and why not otherwise",
    ),
    ("[Python](python.md)", "the verbs as objects, and the HTTP client"),
)


def render(lang: Language) -> str:
    """The index of the reference."""
    return page(
        "Reference",
        words("index", lang),
        table(("page", "what it holds"), _ROWS),
    )
