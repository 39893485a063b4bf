"""Prompts with variables: ``{question}`` stands for the question. Braces around anything else are
text, so that JSON may stand in a prompt."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

__all__ = ["fill", "lacking", "variables"]

_VARIABLE = re.compile(r"\{([a-z_]+)\}")


def variables(prompt: str) -> set[str]:
    """The names that stand in single braces."""
    return set(_VARIABLE.findall(prompt))


def lacking(prompt: str, wanted: Collection[str], allowed: Collection[str]) -> str | None:
    """What is wrong with a prompt that must have the variables `wanted` and may have those
    `allowed`: their names, each with + (missing) or - (unknown) before it; None where it is
    sound."""
    found = variables(prompt)
    faults = [f"+{{{one}}}" for one in wanted if one not in found]
    faults += [f"-{{{one}}}" for one in sorted(found - set(wanted) - set(allowed))]
    return ", ".join(faults) or None


def fill(prompt: str, values: Mapping[str, str]) -> str:
    """The prompt with its variables' values. What stands in a value is text, never a variable."""
    return _VARIABLE.sub(lambda found: values.get(found[1], found[0]), prompt)
