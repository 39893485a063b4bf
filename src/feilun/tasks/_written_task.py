"""Texts that are answered with texts: what tasks that write have in common."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from feilun.errors import InvalidData
from feilun.tasks._text_task import TextSettings, TextTask
from feilun.tasks.base import TaskSettings
from feilun.types import Item, Schema

if TYPE_CHECKING:
    import torch

__all__ = ["WrittenTask"]


class WrittenTask(TextTask):
    """A text that is answered with a text. A task that extends it names its family, its columns,
    examples and summary."""

    Settings: ClassVar[type[TaskSettings]] = TextSettings
    encodes = False

    def check(self, item: Item) -> Item:
        """The text of `item`; see `_text.check`. Raises `InvalidData` for one without a word."""
        text = super().check(item)
        if not str(text).strip():
            raise InvalidData("tasks.nothing_to_answer", param=self.columns[0].name)
        return text

    def load(self, base: Path | str | None, schema: Schema) -> torch.nn.Module:
        """No network gives a row of numbers for it. Raises `InvalidData`."""
        raise InvalidData("tasks.no_language_model", task=self.name)
