"""Texts: the input side of a task whose input is one text of any language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from feilun.modalities import pieces, recognise
from feilun.modalities.base import Column, Features, Processor, TaskBase, TaskSettings
from feilun.modalities.noise import Disturbance
from feilun.modalities.pieces import Pieces
from feilun.modalities.text import networks, ngrams, noise, tokens
from feilun.types import ColumnSample, Item, OneOf, Range, Roles, Schema

if TYPE_CHECKING:
    import torch

__all__ = ["TextInput", "TextSettings", "TextTask"]


class TextSettings(TaskSettings):
    """What the ``[task]`` tables of tasks on texts have in common."""

    max_length: int = Field(
        256, ge=8, le=8192, description="tokens of a text that the model reads; the rest is cut off"
    )
    feature_bits: int = Field(
        20,
        ge=10,
        le=24,
        description="n-grams are hashed into 2 to this power columns; fewer save memory",
    )


class TextInput(TaskBase):
    """What all tasks on one text have in common, whatever is answered. The settings of a task that
    extends it have ``max_length`` and ``feature_bits``."""

    Settings: ClassVar[type[TaskSettings]] = TextSettings
    columns = (Column("text", "text", recognise.TEXT),)
    encodes = True

    def _own(self, settings: Mapping[str, Any]) -> Any:
        return self.Settings(**settings)

    def check(self, item: Item) -> Item:
        """The text of `item`; see `tokens.check`."""
        return tokens.check(item, self.columns[0].name)

    def input_schema(self) -> dict[str, Any]:
        """A string, or an object with the one column."""
        return tokens.input_schema(self.columns[0].name)

    def processor(self, folder: Path | str | None, settings: Mapping[str, Any]) -> Processor:
        """The tokenizer of `folder`, cutting at ``max_length`` tokens."""
        return tokens.TextProcessor.read(folder, self._own(settings).max_length)

    def features(
        self, settings: Mapping[str, Any], state: Mapping[str, Any] | None = None
    ) -> Features:
        """Hashed counts of character and word n-grams."""
        return ngrams.NGrams(self._own(settings).feature_bits)

    def disturbances(self) -> Mapping[str, Disturbance]:
        """Slips of the keyboard, case, width, script, punctuation, spaces."""
        return noise.disturbances()

    def pieces(self, item: Item) -> Pieces | None:
        """Words."""
        return pieces.of_text(str(item))

    def encoder(self, base: Path) -> torch.nn.Module:
        """The mean over the tokens that are not padding."""
        return networks.encoder(base)


class TextTask(TextInput):
    """A task on one text as a whole. A task that extends it names its family, examples and
    summary."""

    label_aliases: ClassVar[tuple[str, ...]] = recognise.LABEL

    def recognise(self, columns: Sequence[ColumnSample]) -> Roles:
        """By usual names, else the longest texts are the input and the fewest values the label."""
        return recognise.roles(columns, self.columns[0], self.label_aliases)

    def space(self) -> Mapping[str, Range]:
        """How many tokens of a text are read."""
        return {"max_length": OneOf((64, 128, 256, 512))}

    def load(self, base: Path | str | None, schema: Schema) -> torch.nn.Module:
        """A transformer with one output for each number that the family wants of a row."""
        outputs = self.family.outputs(schema.labels)
        return networks.classifier(base, outputs, self.family.problem_type)
