"""Which document of a catalogue answers a text, and how alike two texts are."""

from __future__ import annotations

import copy
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field

from feilun.errors import InvalidData
from feilun.families.ranking import RANKING, items_of
from feilun.families.tally import PairTally
from feilun.modalities import recognise
from feilun.modalities.text.catalogue_checks import CatalogueChecks
from feilun.modalities.text.task import TextInput
from feilun.tasks.base import Column, RowReader, TaskSettings
from feilun.types import ColumnSample, Example, Item, Roles, Schema

if TYPE_CHECKING:
    import torch

__all__ = ["Settings", "Task"]

# What files call a text and the document that answers it: the names of one line belong together.
_NAMES = (
    ("question", "answer"), ("question", "document"), ("question", "context"),
    ("query", "document"), ("query", "passage"), ("query", "answer"), ("query", "positive"),
    ("query", "title"), ("anchor", "positive"), ("prompt", "response"),
    ("sentence1", "sentence2"), ("sentence_1", "sentence_2"), ("sentence_a", "sentence_b"),
    ("text1", "text2"), ("text_1", "text_2"), ("text_a", "text_b"),
    ("question1", "question2"), ("question_1", "question_2"),
    ("source", "target"), ("source", "translation"), ("english", "chinese"), ("en", "zh"),
    ("title", "body"), ("title", "content"), ("title", "text"),
    ("问题", "答案"), ("问题", "回答"), ("问题", "回复"), ("提问", "回答"), ("问", "答"),
    ("查询", "文档"), ("相似问", "标准问"), ("相似问题", "标准问题"), ("用户问题", "标准问题"),
    ("用户问法", "标准问"), ("问法", "标准问"), ("句子1", "句子2"), ("文本1", "文本2"),
    ("原文", "译文"), ("英文", "中文"), ("标题", "正文"), ("标题", "内容"),
)  # fmt: skip
_NEGATIVE = (
    "negative", "negatives", "hard_negative", "negative_passage", "neg", "wrong_answer",
    "负例", "负样本", "错误答案", "不相似",
)  # fmt: skip
_SCORE = (
    "score", "similarity", "similarity_score", "relevance", "relevance_score", "label", "is_match",
    "is_duplicate", "相似度", "相关度", "得分", "分数", "是否相似", "是否相关",
)  # fmt: skip
_SCALES = (1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 100.0)
"""Highest scores of usual scales, which begin at 0 or 1."""


def _side(place: int) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names[place] for names in _NAMES))


class Settings(TaskSettings):
    """The ``[task]`` table of a project that searches."""

    max_length: int = Field(
        256, ge=8, le=8192, description="tokens of a text that the model reads; the rest is cut off"
    )
    feature_bits: int = Field(
        18,
        ge=10,
        le=24,
        description="drift and review hash n-grams into 2 to this power columns",
    )


class Task(TextInput):
    """Which document of a catalogue answers a text: an answer a question, an article a search, a
    standard question one that is put otherwise, a translation its original.

    The input is one text of any language; the target is the document, and all documents that any
    row names are the catalogue. A row that has a document alone adds it to the catalogue. Versions
    serve ``/v1/search`` over it, ``/v1/rerank`` of other documents, and, where they have an
    encoder, ``/v1/embeddings``.
    """

    summary = "tasks.text_similarity"
    Settings = Settings
    family = RANKING
    columns = (Column("text", "text", _side(0)),)
    label_aliases = ("document", *(name for name in _side(1) if name != "document"))
    examples = (
        Example("1", "How do I get my money back?", "Refunds are paid within five working days."),
        Example("2", "When will my parcel arrive?", "Parcels are on their way for three days."),
        Example("3", "怎么申请退款？", "在订单页面点击“申请退款”，五个工作日内到账。"),
    )
    default_base = "minilm"
    _max_length = 256

    def recognise(self, columns: Sequence[ColumnSample]) -> Roles:
        """By usual names, those that belong together first, else the two columns of the longest
        texts in the file's order. The only column of texts holds documents."""
        aside = {recognise.named(columns, names) for names in (_NEGATIVE, _SCORE)}
        kept = [column for column in columns if column.name not in aside]
        text, document = self.columns[0], Column("document", "text", self.label_aliases)
        try:
            found = recognise.pair_roles(kept, (text, document), _NAMES, ())
        except InvalidData:
            found = recognise.roles(kept, document, ())
            return replace(found, inputs={text.name: found.inputs["document"]},
                           label=found.inputs["document"])  # fmt: skip
        label = found.inputs["document"]
        return replace(found, inputs={text.name: found.inputs[text.name]}, label=label)

    def reader(self, samples: Sequence[ColumnSample]) -> RowReader | None:
        """A row without a text adds its document to the catalogue, and so does a negative. Of two
        texts with a score below the middle of its scale neither is the other's answer: both are
        documents."""
        negative = recognise.named(samples, _NEGATIVE)
        score = recognise.named(samples, _SCORE)
        values = next((one.values for one in samples if one.name == score), ())
        middle = _middle([found for found in map(_number, values) if found is not None])

        def read(item: Item, target: Any, row: Mapping[str, Any]) -> list[tuple[Item, Any]]:
            if _blank(item):
                return [(target, target)]
            alike = _number(row.get(score)) if score else None
            if middle is not None and alike is not None and alike < middle:
                return [(item, item), (target, target)]
            other = row.get(negative) if negative else None
            return [(item, target), *([] if _blank(other) else [(other, other)])]

        return read

    def question(
        self, item: Item, targets: Sequence[str], earlier: Sequence[str] | None = None
    ) -> tuple[Item, str | None]:
        """A document is not its own answer: where nothing else is, there is nothing to judge."""
        own = unicodedata.normalize("NFC", str(item)).strip()
        right = [text for one in targets for text in items_of(one) if text != own]
        return item, self.family.together(right) if right else None

    def bound(self, settings: Mapping[str, Any]) -> Self:
        """With the tokens that an encoder reads."""
        task = copy.copy(self)
        task._max_length = Settings(**settings).max_length
        return task

    def inspection(self) -> PairTally:
        """Documents that say the same, that nobody asks for, and that are too long for an
        encoder."""
        return CatalogueChecks(self._max_length)

    def load(self, base: Path | str | None, schema: Schema) -> torch.nn.Module:
        """There is no head: documents are compared by the vectors of `encoder`."""
        raise InvalidData("tasks.no_head_of_search", task=self.name)


def _middle(values: Sequence[float]) -> float | None:
    """The middle of the scale that `values` are on; None without values, or where they are on no
    usual one."""
    highest = max(values, default=None)
    if highest is None or min(values) < 0:
        return None
    top = next((one for one in _SCALES if highest <= one), None)
    return None if top is None else top / 2


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return float(value)
    try:
        found = float(str(value).strip())
    except ValueError:
        return {"true": 1.0, "yes": 1.0, "是": 1.0, "false": 0.0, "no": 0.0, "否": 0.0}.get(
            str(value).strip().casefold()
        )
    return found if found == found else None


def _blank(value: Any) -> bool:
    return value is None or value != value or (isinstance(value, str) and not value.strip())
