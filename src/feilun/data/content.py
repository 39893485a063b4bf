"""What makes two rows the same: the normalised content and its key; and labels as text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from hashlib import blake2b, sha256
from typing import Any

from feilun.families.base import Family
from feilun.store.dataset import is_media
from feilun.tasks.base import TaskBase
from feilun.types import Item, Scalar

__all__ = [
    "content_key",
    "label_text",
    "repeat_key",
    "row_key",
    "sound",
    "stored_key",
    "with_target",
]

_WHOLE = re.compile(r"[-+]?\d+\.0+")
_BOOLEAN = frozenset({"true", "false"})
_NO_LABEL = frozenset({"", "nan", "null", "#n/a"})


def content_key(item: Item) -> bytes:
    """16 bytes that are equal for equal content: texts count in Unicode form NFC without the
    space around them, media by their bytes."""
    if isinstance(item, str):
        return _text_key(item)
    if isinstance(item, bytes):
        return _media_key(sha256(item).hexdigest())
    if not isinstance(item, Mapping):
        return blake2b(b"n" + repr(_number(item)).encode(), digest_size=16).digest()
    whole = blake2b(digest_size=16)
    for name in sorted(item):
        whole.update(_text_key(name) + content_key(item[name]))
    return whole.digest()


def stored_key(kinds: Sequence[tuple[str, str]], values: Sequence[Any]) -> bytes:
    """The key of a row as a data version stores it, where media are hashes: `kinds` are the input
    columns with their kinds, `values` their values in the same order. Equal to `content_key` of
    the item."""
    if len(kinds) == 1:
        return _stored_part(kinds[0][1], values[0])
    whole = blake2b(digest_size=16)
    for (name, kind), value in sorted(zip(kinds, values, strict=True)):
        whole.update(_text_key(name) + _stored_part(kind, value))
    return whole.digest()


def row_key(family: Family, content: bytes, target: str | None) -> bytes:
    """What tells a row from others: the key of its content, and where an input may have several
    right answers its target with it."""
    if not (family.several_right and target):
        return content
    return blake2b(content + target.encode("utf-8", "replace"), digest_size=16).digest()


def repeat_key(task: TaskBase, content: bytes, target: str | None) -> bytes:
    """What makes a row the repetition of another: what tells it from others (`row_key`); where rows
    are observations an equal target with it."""
    return with_target(task, row_key(task.family, content, target), target)


def with_target(task: TaskBase, key: bytes, target: str | None) -> bytes:
    """The `repeat_key` of a row whose `row_key` is at hand."""
    if not (task.observations and target):
        return key
    return blake2b(key + target.encode("utf-8", "replace"), digest_size=16).digest()


def _stored_part(kind: str, value: Any) -> bytes:
    return _media_key(value) if is_media(kind) else content_key(value)


def _media_key(name: str) -> bytes:
    """The key of a media file by its SHA-256 in hexadecimal."""
    return blake2b(b"m" + name.encode(), digest_size=16).digest()


def _text_key(text: str) -> bytes:
    text = text.strip()
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return blake2b(b"t" + text.encode("utf-8", "replace"), digest_size=16).digest()


def _number(value: Scalar) -> Scalar:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def sound(text: str) -> str:
    """`text` with U+FFFD where it has halves of surrogate pairs, which nothing can store."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def label_text(task: TaskBase, value: Scalar) -> str | None:
    """The label as text, None when there is none: what `task` makes of the tidied value.

    Numbers lose an empty fraction also where they are written as text, so that 1, 1.0 and "1.0"
    are one label, ``1``; TRUE, True and the boolean are one, ``true``. Texts take Unicode form
    NFC. Beside what the task takes for no label ("", NaN) there is none in "nan", "null" and
    Excel's "#N/A".
    """
    if isinstance(value, str):
        value = unicodedata.normalize("NFC", sound(value).strip())
        if value.casefold() in _NO_LABEL:
            return None
        if _WHOLE.fullmatch(value):
            value = int(value.partition(".")[0])
        elif value.casefold() in _BOOLEAN:  # as Excel, pandas and JSON write it
            value = value.casefold()
    return task.family.target(value)
