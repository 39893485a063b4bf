"""Commands in sentences, with the options that they need where the user stands."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Callable, Collection
from functools import cache
from pathlib import Path

from feilun import messages
from feilun.cli.found import command_functions

__all__ = ["advise_for", "completion", "of_project"]

_REST = r"""(?:"[^"\n]*"|(?!feilun )[^\n,;，；。、（）()`])*"""
"""What may belong to a command behind its verb."""


def advise_for(folder: Path | None, project: str | None, several: bool = False) -> None:
    """From now on commands are advised for the workspace `folder` (None: where the user stands) and
    for `project` (None: whichever is meant, where there are `several`)."""
    messages.advise(completion(command_functions(), of_project(), folder, project, several))


@cache
def of_project() -> frozenset[str]:
    """The commands that work on one project: those that ask their shell for it, or take its name
    as an argument that may be left out where there is only one."""
    found = command_functions().items()
    return frozenset(name for name, function in found if _of_project(function))


def _of_project(function: Callable[..., None]) -> bool:
    taken = inspect.signature(function).parameters.get("project")
    return "project" in function.__code__.co_names or (taken is not None and taken.default is None)


def completion(
    commands: Collection[str],
    of_project: Collection[str],
    folder: Path | None = None,
    project: str | None = None,
    several: bool = False,
) -> Callable[[str, str | None, messages.Language], str]:
    """What makes ``feilun review --workspace W --project shop`` of ``feilun review`` in a sentence
    that is still to be filled. `commands` are the words of all, `of_project` of those that work on
    one project. `folder` is the workspace where it was typed; `project` is named where the sentence
    speaks of no other. Where there are `several` and none is spoken of, a word in capitals asks for
    one. An option that a sentence names already is left."""
    names = sorted(commands, key=len, reverse=True)
    rule = re.compile(rf"feilun ({'|'.join(map(re.escape, names))})(?![\w-])(?={_REST})")
    rest = re.compile(_REST)

    def complete(sentence: str, spoken_of: str | None, lang: messages.Language) -> str:
        named = spoken_of or project
        asked = messages.t("cli.some_project", lang) if several and not named else ""
        name = shlex.quote(named) if named else asked

        def add(found: re.Match[str]) -> str:
            behind = rest.match(sentence, found.end())
            given = behind.group() if behind else ""
            words = found.group()
            if folder is not None and "--workspace" not in given:
                words += f" --workspace {shlex.quote(str(folder))}"
            if name and found[1] in of_project and "--project" not in given:
                words += f" --project {name}"
            return words.replace("{", "{{").replace("}", "}}")

        return rule.sub(add, sentence)

    return complete
