"""Which of the labels fits a text."""

from __future__ import annotations

from feilun.families.classes import CLASSES
from feilun.modalities.text.task import TextSettings, TextTask
from feilun.types import Example

__all__ = ["Settings", "Task"]


class Settings(TextSettings):
    """The ``[task]`` table of a project that classifies texts."""


class Task(TextTask):
    """Which of the labels fits a text: a review's mood, a letter's department, a ticket's topic.

    The input is one text of any language. The linear baseline counts its character 1- to 4-grams
    and word 1- and 2-grams; above it stands any transformers encoder.
    """

    summary = "tasks.text_classification"
    family = CLASSES
    Settings = Settings
    examples = (
        Example("1", "The coffee is excellent and arrived in two days.", "good"),
        Example("2", "Stale biscuits, and the box was open.", "bad"),
        Example("3", "质量很好，下次还会再来。", "good"),
    )
    default_base = "minilm"
