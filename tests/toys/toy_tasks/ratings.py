"""How many stars a text gives: a text in, a number out. Everything but the names is feilun's."""

from __future__ import annotations

from typing import ClassVar

from feilun.families.numbers import NUMBERS
from feilun.modalities.text.task import TextSettings, TextTask
from feilun.types import Example

__all__ = ["Settings", "Task"]


class Settings(TextSettings):
    """The ``[task]`` table of a project that rates texts."""


class Task(TextTask):
    """How many stars a text gives, read from its words alone."""

    summary: ClassVar = {"en": "says how many stars a text gives", "zh": "判断文本给出几颗星"}
    family = NUMBERS
    Settings = Settings
    label_aliases = ("stars", "rating", "星级")
    examples = (
        Example("1", "The coffee is excellent.", "5"),
        Example("2", "Stale biscuits, and the box was open.", "1.5"),
        Example("3", "质量很好。", "4"),
    )
