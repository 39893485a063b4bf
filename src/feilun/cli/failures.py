"""How a command that failed says so: words on stderr, or with ``--json`` one object."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any

from feilun.messages import t
from feilun.messages.sentences import params_to_kept

__all__ = ["INTERRUPTED", "PRINTED", "fail", "goes_on", "interrupted"]

INTERRUPTED = 130
"""The exit code of a command that was interrupted."""
PRINTED = threading.Event()
"""Set once the one JSON object was printed: what fails later (a server that is stopped, say) must
not print another."""
_GO_ON = (("run",), ("train",), ("update",), ("tune",), ("compare",), ("data", "fetch"))
_BEFORE = ("--workspace", "--project")
"""Options with a value that may stand before a command."""


def fail(
    code: str,
    message: str,
    hint: str,
    exit_code: int,
    as_json: bool,
    params: Mapping[str, Any] | None = None,
) -> int:
    """Says what went wrong and what to do about it, to programs also the `params` that fill the
    sentence `code`. Returns the exit code."""
    if as_json and not PRINTED.is_set():
        made_of = {"params": params_to_kept(params)} if params is not None else {}
        body = {"error": {"code": code, "message": message, "hint": hint, **made_of}}
        print(json.dumps(body, ensure_ascii=False), flush=True)
        return exit_code
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text(t("cli.error"), "bold red"), Text(message))
    if hint:
        console.print(Text("→ " + hint, "cyan"))
    return exit_code


def interrupted(arguments: list[str], as_json: bool) -> int:
    """Says that the command was interrupted and what becomes of what it had begun. Returns its
    exit code."""
    hint = "cli.interrupted_hint" if goes_on(arguments) else "cli.interrupted_again"
    return fail("interrupted", t("cli.interrupted"), t(hint), INTERRUPTED, as_json)


def goes_on(arguments: list[str]) -> bool:
    """Whether the command takes up what it finished when it is called again."""
    values = {place + 1 for place, word in enumerate(arguments) if word in _BEFORE}
    words = [
        word
        for place, word in enumerate(arguments)
        if place not in values and not word.startswith("-")
    ]
    return any(tuple(words[: len(one)]) == one for one in _GO_ON)
