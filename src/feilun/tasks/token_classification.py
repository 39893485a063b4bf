"""Which pieces of a text are names, amounts, dates, or whatever else was marked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from feilun.errors import InvalidData
from feilun.families.spans import SPANS, spans_of
from feilun.modalities import recognise
from feilun.modalities.noise import Disturbance
from feilun.modalities.text import networks, tokens, words
from feilun.modalities.text.span_checks import SpanChecks
from feilun.modalities.text.task import TextInput
from feilun.tasks.base import Processor, TaskSettings
from feilun.types import ColumnSample, Example, Item, Roles, Schema

if TYPE_CHECKING:
    import torch

__all__ = ["Settings", "Task"]

_NAMES = (
    "entities", "spans", "label", "labels", "ner", "tags", "annotations",
    "实体", "命名实体", "标注", "标签",
)  # fmt: skip


class Settings(TaskSettings):
    """The ``[task]`` table of a project that finds entities."""

    max_length: int = Field(
        256,
        ge=8,
        le=8192,
        description="tokens that an encoder reads at once; longer texts are read in windows",
    )
    feature_bits: int = Field(
        18,
        ge=10,
        le=24,
        description="drift and review hash n-grams into 2 to this power columns",
    )


class Task(TextInput):
    """Which pieces of a text are persons, places, amounts, article numbers: whatever kinds were
    marked in the rows.

    The input is one text of any language; the answer lists the entities with their first character
    and the one after their last, counted in Unicode code points.
    """

    summary = "tasks.token_classification"
    Settings = Settings
    family = SPANS
    label_aliases = _NAMES
    default_base = "minilm"
    examples = (
        Example("1", "Maria Silva moved to Lisbon.",
                '[{"start":0,"end":11,"label":"PER"},{"start":21,"end":27,"label":"LOC"}]'),
        Example("2", "The parcel has not arrived.", "[]"),
        Example("3", "王小明住在上海。",
                '[{"start":0,"end":3,"label":"PER"},{"start":5,"end":7,"label":"LOC"}]'),
    )  # fmt: skip

    def recognise(self, columns: Sequence[ColumnSample]) -> Roles:
        """The label is the column that holds lists of spans, or has a usual name; the input has a
        usual name or the longest texts."""
        able = [column for column in columns if any(map(_holds_spans, column.values))]
        label = recognise.named(able, _NAMES) or (able[0].name if able else None)
        label = label or recognise.named(columns, _NAMES)
        rest = [column for column in columns if column.name != label]
        return replace(recognise.roles(rest, self.columns[0], ()), label=label)

    def check(self, item: Item) -> Item:
        """The text of `item`; see `tokens.check`. Nothing is left out of it, because what stands
        behind would move: NUL becomes U+FFFD."""
        name = self.columns[0].name
        value = item[name] if isinstance(item, Mapping) and set(item) == {name} else item
        if isinstance(value, str) and "\0" in value:
            item = value.replace("\0", "\ufffd")
        return tokens.check(item, name)

    def agree(self, item: Item, target: str) -> None:
        """Every span lies inside the text, and on more than space."""
        text = str(self.check(item))
        for start, end, label in spans_of(target):
            span = f"{label} {start}–{end}"
            if end > len(text):
                raise InvalidData("spans.outside", span=span, length=len(text))
            if text[start:end].isspace():
                raise InvalidData("spans.blank", span=span)

    def inspection(self) -> SpanChecks:
        """See `SpanChecks`."""
        return SpanChecks()

    def processor(self, folder: Path | str | None, settings: Mapping[str, Any]) -> Processor:
        """The tokenizer of `folder`, reading windows of ``max_length`` tokens."""
        return words.WordProcessor.read(folder, Settings(**settings).max_length)

    def disturbances(self) -> Mapping[str, Disturbance]:
        """None: a slip would move what stands behind it."""
        return {}

    def load(self, base: Path | str | None, schema: Schema) -> torch.nn.Module:
        """A transformer that gives the logits of all tags for each token."""
        outputs = self.family.outputs(schema.labels)
        return networks.tagger(base, outputs, self.family.problem_type)

    def encoder(self, base: Path) -> torch.nn.Module:
        """The last layer's vector of each token."""
        return networks.states(base)


def _holds_spans(value: Any) -> bool:
    if isinstance(value, str):
        if not value.startswith("["):
            return False
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return False
    return isinstance(value, list) and all(isinstance(one, dict | list) for one in value)
