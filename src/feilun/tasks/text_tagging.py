"""Which tags fit a text: several, one, or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from feilun.errors import InvalidData
from feilun.families.tags import TAGS
from feilun.families.tags.cells import flag, tags_in
from feilun.modalities import recognise
from feilun.modalities.text.task import TextSettings, TextTask
from feilun.types import ColumnSample, Example, Roles, Scalar

__all__ = ["Settings", "Task"]

_NAMES: tuple[str, ...] = (
    "tags", "labels", "label", "categories", "topics", "keywords", "genres", "classes", "target",
    "tag", "category", "topic", "标签", "标注", "类别", "分类", "主题", "话题", "关键词",
)  # fmt: skip


class Settings(TextSettings):
    """The ``[task]`` table of a project that tags texts."""


class Task(TextTask):
    """Which tags fit a text: what a complaint is about, the topics of an article, the problems that
    a review names. A text may have several tags, or none.

    The input is one text of any language. The tags of a row are a list, names with a sign between
    them (``late|refund``), or a column of yes and no for each. The linear baseline counts character
    1- to 4-grams and word 1- and 2-grams and decides each tag by itself; above it stands any
    transformers encoder.
    """

    summary = "tasks.text_tagging"
    family = TAGS
    Settings = Settings
    label_aliases = _NAMES
    default_base = "minilm"
    examples = (
        Example("1", "The parcel came two weeks late, I want my money back.", '["late","refund"]'),
        Example("2", "Lovely colour, and it fits.", "[]"),
        Example("3", "包装破了，要求退款。", '["damaged","refund"]'),
    )

    def recognise(self, columns: Sequence[ColumnSample]) -> Roles:
        """The label has a usual name, or is a column of lists; the input has a usual name or the
        longest texts."""
        label = _label(columns)
        rest = [column for column in columns if column.name != label]
        return replace(recognise.roles(rest, self.columns[0], ()), label=label)

    def label_columns(self, columns: Sequence[ColumnSample]) -> Mapping[str, Scalar]:
        """Columns of yes and no, where no column holds whole lists: two at least. Where some of
        their cells say yes and none says no, people have marked what is there: an empty cell says
        no."""
        if _label(columns) is not None:
            return {}
        said = {one.name: _flags(one) for one in columns}
        found = {name: flags for name, flags in said.items() if flags}
        if len(found) < 2:
            return {}
        empty = None if any(False in flags for flags in found.values()) else False
        return dict.fromkeys(found, empty)


def _label(columns: Sequence[ColumnSample]) -> str | None:
    lists = next((one.name for one in columns if _holds_lists(one)), None)
    return recognise.named(columns, _NAMES) or lists


def _holds_lists(column: ColumnSample) -> bool:
    """Whether the cells with something in them are lists, or begin like one; or some of them, where
    the others are names that repeat, as tools export one tag bare and several as a list."""
    values: list[Any] = [one for one in column.values if one is not None and one != ""]
    lists: list[Any] = []
    bare: list[str] = []
    for one in values:
        if isinstance(one, list) or (isinstance(one, str) and one.startswith("[")):
            lists.append(one)
        else:
            bare.append(str(one))
    if not lists or (len(bare) >= len(lists) and 2 * len(set(bare)) > len(bare)):
        return False
    try:
        return tags_in(lists[0]) is not None
    except InvalidData:
        return False


def _flags(column: ColumnSample) -> set[bool] | None:
    """What a column of yes and no says, each once; None for any other column, and an empty one."""
    try:
        said = {flag(value) for value in column.values}
    except ValueError:
        return None
    return {one for one in said if one is not None} or None
