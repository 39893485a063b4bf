"""Translates texts from one language into another, in a company's own terms."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from feilun.errors import InvalidData
from feilun.families.base import PairTally
from feilun.families.generation import TRANSLATION
from feilun.modalities import recognise
from feilun.modalities.language.task import WrittenTask
from feilun.modalities.text import language_names
from feilun.modalities.text.pair_checks import TranslationChecks
from feilun.modalities.text.task import TextSettings
from feilun.tasks.base import Column, RowReader, TaskBase
from feilun.types import ColumnSample, Example, Item, Roles

__all__ = ["Settings", "Task"]

# What files call a text and its translation: the names of one line belong together.
_NAMES = (
    ("source", "target"), ("src", "tgt"), ("src", "trg"), ("src", "dst"), ("source", "translation"),
    ("source_text", "target_text"), ("original", "translation"), ("original", "translated"),
    ("text", "translation"), ("msgid", "msgstr"), ("source_sentence", "target_sentence"),
    ("原文", "译文"), ("源文", "译文"), ("源语言", "目标语言"), ("原文", "翻译"), ("文本", "译文"),
)  # fmt: skip
_LISTS = ("translation", "translations", "翻译")
"""What files call a cell that holds both, by their languages."""
_CONTEXT = 40


def _side(place: int) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names[place] for names in _NAMES))


class Settings(TextSettings):
    """The ``[task]`` table of a project that translates."""

    source: str = Field(
        "",
        max_length=40,
        description="language of the texts, such as en: which column of a file of several languages"
        " is translated; empty: its first language",
    )
    target: str = Field(
        "",
        max_length=40,
        description="language of the translations, such as zh-CN; empty: the file's next language",
    )
    untranslated: Literal["source", "empty"] = Field(
        "source",
        description="what is answered where no translation is known: the text itself, as programs"
        " show it, or nothing",
    )


class Task(WrittenTask):
    """Translates texts from one language into another, as a company's own translations do.

    The input is one text; the answer is its translation. Files are translation memories (TMX),
    catalogues of programs (PO), tables with a column of each language, or records of Hugging Face's
    data sets (``{"translation": {"en": "…", "zh": "…"}}``).
    """

    summary = "tasks.translation"
    Settings = Settings
    family = TRANSLATION
    nested = True
    columns = (
        Column(
            "text",
            "text",
            tuple(one for one in (*_side(0), *language_names.NAMES) if one != "text"),
        ),
    )
    label_aliases = tuple(dict.fromkeys((*_side(1), *_LISTS)))
    examples = (
        Example("1", "Delete 3 files?", "删除 3 个文件？"),
        Example("2", "Cannot open “%s”", "无法打开“%s”"),
        Example("3", "退出", "Quit"),
    )
    _direction = ("", "")

    def bound(self, settings: Mapping[str, Any]) -> TaskBase:
        """This task for the two languages that `settings` name."""
        wanted = str(settings.get("source", "")), str(settings.get("target", ""))
        if wanted == self._direction:
            return self
        task = copy.copy(self)
        task._direction = wanted
        return task

    def recognise(self, columns: Sequence[ColumnSample]) -> Roles:
        """Columns with names that belong together, or that are languages; a cell that holds several
        languages is input and label at once. Else the longest texts and the next column of texts
        are taken, in the order of the file."""
        source, label = self._pair(columns)
        if source is None:
            found = recognise.roles(columns, self.columns[0], self.label_aliases)
            source, label = found.inputs["text"], label or found.label
        rest = [one for one in columns if one.name not in (source, label)]
        return Roles(
            {"text": source},
            label,
            id=recognise.named(rest, recognise.ID),
            group=recognise.named(rest, recognise.GROUP),
        )

    def _pair(self, columns: Sequence[ColumnSample]) -> tuple[str | None, str | None]:
        """The columns of texts and translations, None for one that is not plain."""
        for one in columns:
            if any(_spoken(value) for value in one.values):
                return one.name, one.name
        names = [one.name for one in columns]
        languages = [name for name in names if language_names.is_language(name)]
        if len(languages) > 1:
            return language_names.pick(languages, *self._direction)
        for pair in _NAMES:
            both = [recognise.named(columns, (name,)) for name in pair]
            if all(both):
                return both[0], both[1]
        label = recognise.named(columns, self.label_aliases)
        own = [one for one in columns if one.name != label]
        source = recognise.named(own, ("text", *(self.columns[0].aliases)))
        if source is not None or label is not None:
            return source, label
        texts = [one.name for one in columns if _is_text(one)]
        return (texts[0], texts[1]) if len(texts) == 2 else (None, None)

    def reader(self, samples: Sequence[ColumnSample]) -> RowReader | None:
        """A row of a cell with several languages is its text and its translation."""

        def rows(item: Any, raw: Any, values: Mapping[str, Any]) -> Sequence[tuple[Item, Any]]:
            held = _spoken(item)
            if held is None:
                return [(item, raw)]
            source, target = language_names.pick(list(held), *self._direction)
            if source is None or target is None:
                wanted = [one for one in self._direction if one] or ["en", "zh"]
                raise InvalidData("tasks.no_such_language", options=list(held), wanted=wanted)
            return [(held[source], held[target])]

        return rows

    def check(self, item: Item) -> Item:
        """The text; of a mapping of languages that of the source. Raises `InvalidData` for others
        and for one without a word."""
        value = item["text"] if isinstance(item, Mapping) and set(item) == {"text"} else item
        held = _spoken(value)
        if held is not None and isinstance(value, Mapping):
            value = held.get(language_names.pick(list(held), *self._direction)[0] or "")
        return super().check(value)

    def inspection(self) -> PairTally:
        """Untranslated rows, other placeholders, and texts that changed places."""
        return TranslationChecks()

    def unanswered(self, item: Item, settings: Mapping[str, Any]) -> str:
        """The text itself, or nothing; see ``untranslated``."""
        return "" if settings.get("untranslated") == "empty" else str(item)


def _spoken(value: Any) -> Mapping[str, Any] | None:
    """The texts that `value` holds, itself or as JSON, by their languages; None where it holds
    none."""
    if isinstance(value, str):
        if not value.lstrip().startswith("{") or '"' not in value:
            return None
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    if (
        not isinstance(value, Mapping)
        or not value
        or not all(map(language_names.is_language, value))
    ):
        return None
    return value


def _is_text(column: ColumnSample) -> bool:
    values = [one for one in column.values if isinstance(one, str) and one.strip()]
    wordy = sum(any(map(str.isalpha, one)) for one in values)
    return bool(values) and 2 * wordy > len(column.values)
