"""Which of the labels fits two texts together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from pydantic import Field

from feilun.errors import InvalidData
from feilun.families.classes import CLASSES
from feilun.modalities import pieces, recognise
from feilun.modalities.noise import Disturbance, by_name
from feilun.modalities.pieces import Pieces
from feilun.modalities.text import networks, noise, pairs, tokens
from feilun.modalities.text.couple_checks import CoupleChecks
from feilun.modalities.text.pair_features import PairFeatures
from feilun.tasks.base import Column, Features, Processor, TaskBase, TaskSettings
from feilun.types import ColumnSample, Example, Item, Roles, Schema

if TYPE_CHECKING:
    import torch

__all__ = ["Settings", "Task"]

_SHORT = 16  # tokens that hold a pair of words
# What files call the two texts: the names of one line belong together.
_NAMES = (
    ("premise", "hypothesis"),
    ("question1", "question2"), ("question_1", "question_2"),
    ("sentence1", "sentence2"), ("sentence_1", "sentence_2"), ("sentence_a", "sentence_b"),
    ("text1", "text2"), ("text_1", "text_2"), ("text_a", "text_b"),
    ("query", "document"), ("query", "passage"), ("query", "title"),
    ("question", "answer"), ("left", "right"), ("a", "b"),
    ("前提", "假设"), ("问题1", "问题2"), ("句子1", "句子2"), ("文本1", "文本2"),
    ("问题一", "问题二"), ("句子一", "句子二"), ("文本一", "文本二"),
    ("文本", "对照文本"), ("查询", "文档"), ("问题", "答案"), ("问题", "回答"),
)  # fmt: skip


def _side(place: int) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names[place] for names in _NAMES))


class Settings(TaskSettings):
    """The ``[task]`` table of a project that classifies pairs of texts."""

    max_length: int = Field(
        256, ge=8, le=8192, description="tokens of both texts together; the rest is cut off"
    )
    feature_bits: int = Field(
        20,
        ge=10,
        le=24,
        description="n-grams are hashed into 2 to this power columns; fewer save memory",
    )


class Task(TaskBase):
    """Which of the labels fits two texts together: does one follow from the other, do both ask the
    same, does an entry match a query, are two descriptions of one product.

    The inputs are two texts of any language, `text` and `other`; their order counts. The linear
    baseline counts the n-grams of each, of what they share and of where they differ, with a few
    figures of their overlap; above it stands any transformers encoder that reads both together.
    """

    summary = "tasks.text_pair_classification"
    family = CLASSES
    Settings = Settings
    columns = (Column("text", "text", _side(0)), Column("other", "text", _side(1)))
    label_aliases = (
        *recognise.LABEL,
        "gold_label", "is_duplicate", "duplicate", "is_match", "match", "relation", "entailment",
        "similar", "same", "是否重复", "是否匹配", "是否相同", "匹配", "关系", "重复", "相同",
    )  # fmt: skip
    encodes = True
    default_base = "minilm"
    examples = (
        Example(
            "1",
            {"text": "How do I change my address?", "other": "Where can I enter my new address?"},
            "same",
        ),
        Example(
            "2",
            {"text": "How do I change my address?", "other": "When will my parcel arrive?"},
            "different",
        ),
        Example("3", {"text": "怎么申请退款？", "other": "退款要在哪里申请？"}, "same"),
    )

    @property
    def modality(self) -> str:
        """``pair``: what reads one text cannot read two."""
        return "pair"

    def recognise(self, columns: Sequence[ColumnSample]) -> Roles:
        """By usual names, those that belong together first, else the two columns of the longest
        texts in the file's order; the label as for one text."""
        left, right = self.columns
        return recognise.pair_roles(columns, (left, right), _NAMES, self.label_aliases)

    def check(self, item: Item) -> Item:
        """Both texts, each as `tokens.check` gives it. The same text twice is a pair like any
        other.

        Raises `InvalidData` naming the text that is missing or blank.
        """
        names = [column.name for column in self.columns]
        if not isinstance(item, Mapping):
            raise InvalidData("tasks.not_a_pair", given=type(item).__name__)
        if not set(item) <= set(names):
            raise InvalidData("tasks.wrong_columns", given=sorted(item), expected=names)
        missing = [name for name in names if _blank(item.get(name))]
        if missing:
            raise InvalidData("tasks.text_missing", missing=missing)
        return {name: tokens.check(item[name], name) for name in names}

    def inspection(self) -> CoupleChecks:
        """See `CoupleChecks`."""
        return CoupleChecks([column.name for column in self.columns])

    def input_schema(self) -> dict[str, Any]:
        """An object with both texts."""
        text = {"type": "string", "maxLength": tokens.MAX_CHARACTERS}
        names = [column.name for column in self.columns]
        return {
            "type": "object",
            "properties": dict.fromkeys(names, text),
            "required": names,
            "additionalProperties": False,
        }

    def features(
        self, settings: Mapping[str, Any], state: Mapping[str, Any] | None = None
    ) -> Features:
        """Hashed counts of the character and word n-grams of each text, of those in both and of
        those in which they differ, and figures of the overlap."""
        left, right = (column.name for column in self.columns)
        return PairFeatures((left, right), Settings(**settings).feature_bits)

    def disturbances(self) -> Mapping[str, Disturbance]:
        """Those of texts, each done to one of the two."""
        names = [column.name for column in self.columns]

        def one_of(change: Disturbance) -> Callable[[Item, np.random.Generator], Item]:
            def changed(item: Item, draw: np.random.Generator) -> Item:
                pair = cast(Mapping[str, str], item)
                name = names[int(draw.integers(len(names)))]
                return {**pair, name: cast(str, change(pair[name], draw))}

            return changed

        return by_name(
            replace(found, change=one_of(found)) for found in noise.disturbances().values()
        )

    def pieces(self, item: Item) -> Pieces | None:
        """The words of both texts."""
        pair = cast(Mapping[str, str], item)
        return pieces.of_texts(pair, [column.name for column in self.columns])

    def processor(self, folder: Path | str | None, settings: Mapping[str, Any]) -> Processor:
        """The tokenizer of `folder`, cutting pairs at ``max_length`` tokens."""
        return pairs.PairProcessor.read(folder, Settings(**settings).max_length)

    def load(self, base: Path | str | None, schema: Schema) -> torch.nn.Module:
        """A cross-encoder: a transformer that reads both texts together."""
        outputs = self.family.outputs(schema.labels)
        return networks.classifier(base, outputs, self.family.problem_type)

    def encoder(self, base: Path) -> torch.nn.Module:
        """The means over the tokens of each text, how far they are apart and what they share."""
        return networks.pair_encoder(base, pairs.PairProcessor.read(base, _SHORT).separator)


def _blank(value: object) -> bool:
    return value is None or value != value or (isinstance(value, str) and not value.strip())
