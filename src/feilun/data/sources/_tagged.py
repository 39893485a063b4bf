"""Sentences as lists of words with a tag each, as datasets of Hugging Face hold them: made texts
with spans. Tags that are numbers take their names from the features of the dataset, or from a
column of the table that lists them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from feilun.data.sources._records import named
from feilun.data.sources.base import BadRow, Table
from feilun.errors import InvalidData
from feilun.modalities.text import sequence
from feilun.types import ColumnSample, Row

__all__ = ["SPANS", "TEXT", "tagged", "tagged_row"]

TEXT, SPANS = "text", "entities"
_WORDS = ("tokens", "words", "词")
_TAGS = ("ner_tags", "tags", "labels", "ner", "bio", "bioes", "bmes")
_NAMES = ("tag_names", "ner_tags_names", "ner_tag_names", "label_names", "label_list", "names",
          "id2label", "int2str", "标签名称")  # fmt: skip


def tagged(table: Table, known: Collection[str] = ()) -> Table:
    """`table` with the columns ``text`` and ``entities`` in the place of its words and their tags;
    other tables, and those whose user names such a column, as they are."""
    names = {name.casefold(): name for name in table.columns}
    words, tags = (next((names[n] for n in some if n in names), "") for some in (_WORDS, _TAGS))
    if not words or not tags or TEXT in names:
        return table
    samples = {one.name: one for one in table.samples()}
    if not (_lists(samples[words]) and _lists(samples[tags])):
        return table
    listed = next((names[n] for n in _NAMES if n in names), "")
    others = [name for name in table.columns if name not in (words, tags, listed, SPANS)]

    def rows() -> Iterator[Row | BadRow]:
        for row in table.rows():
            if isinstance(row, BadRow):
                yield row
                continue
            values: Any = row.values
            rest = {name: values.get(name) for name in others}
            called = _called(values.get(tags), values.get(listed))
            yield tagged_row(row.number, values.get(words), called, rest)

    return table.over([TEXT, SPANS, *others], rows(), details={"tags": tags})


def tagged_row(number: int, words: Any, tags: Any, rest: dict[str, Any]) -> Row | BadRow:
    """The row of one sentence."""
    try:
        text, spans = sequence.joined([str(word) for word in _list(words)], _list(tags))
    except InvalidData as error:
        return BadRow(number, error.code, error.params, rest)
    listed: Any = [{"start": start, "end": end, "label": label} for start, end, label in spans]
    return Row(number, {TEXT: text, SPANS: listed, **rest})


def _called(tags: Any, listed: Any) -> Any:
    """`tags` by their names, where they are numbers and the row lists the names: in their order, or
    each under its number."""
    if isinstance(listed, dict):
        listed = {int(key): name for key, name in listed.items() if str(key).isdigit()}
    elif isinstance(listed, list):
        listed = dict(enumerate(listed))
    return named(tags, listed) if isinstance(listed, dict) else tags


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else []


def _lists(column: ColumnSample) -> bool:
    filled: list[Any] = [value for value in column.values if value is not None]
    return bool(filled) and all(
        isinstance(value, list) and not any(isinstance(one, list | dict) for one in value)
        for value in filled
    )
