"""How a right answer is given in a form: chosen, ticked, marked in the text, or typed.

Which of these it is follows from the schema of the family's targets, so that a new family needs
nothing here. Without the page's script what is marked is typed as JSON.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from feilun.errors import InvalidData
from feilun.project import Project
from feilun.web.view import View

__all__ = ["Editor", "editor", "editor_of", "given"]

_KEYS = "123456789abcdefghijklmoprtvwxyz"
"""``n``, ``q``, ``s`` and ``u`` are left to the page."""


_SPAN = {"start", "end", "label"}


@dataclass(frozen=True)
class Editor:
    """`kind` is ``one`` of the `names`, ``several`` of them, ``spans`` of the text that bear one
    each, or any ``text``. `keyed` are the names with the keys that stand for them."""

    kind: Literal["one", "several", "spans", "text"]
    names: tuple[str, ...] = ()

    @property
    def keyed(self) -> list[tuple[str, str]]:
        """Names beyond the keys that there are have none."""
        keys = [*_KEYS[: len(self.names)], *[""] * (len(self.names) - len(_KEYS))]
        return list(zip(keys, self.names, strict=True))


def editor(project: Project) -> Editor:
    """How answers of the project's live version are corrected."""
    model = project.live_or_newest
    return editor_of(project, tuple(model.labels()) if model is not None else ())


def editor_of(project: Project, names: tuple[str, ...]) -> Editor:
    """How one of the `names` is given, or what else the family's targets are."""
    schema = project.task.family.target_schema()
    if not names:
        return Editor("text")
    if schema.get("type") != "array":
        return Editor("one" if len(names) <= len(_KEYS) else "text", names)
    part = schema.get("items", {})
    if part.get("type") == "string":
        return Editor("several", names)
    return Editor("spans" if set(part.get("properties", ())) >= _SPAN else "text", names)


def given(view: View, how: Editor) -> Any:
    """The target that the form holds: a text, a number as text, or what JSON says. None for
    nothing typed. Raises `InvalidData` for what should be JSON and is not."""
    if how.kind == "several":
        return view.many.get("label", [])
    text = view.field("label").replace("\r\n", "\n")  # as forms send the ends of lines
    if text[:1] not in ("[", "{") or how.kind == "one":
        return text or None
    try:
        return json.loads(text)
    except ValueError:
        if how.kind == "text":
            return text  # such as an answer that begins with a bracket
        raise InvalidData("console.not_json", given=text[:80]) from None
