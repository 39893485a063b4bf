"""How people write several tags of one row: a list, names with a sign between them, or a column of
yes and no for each."""

from __future__ import annotations

import ast
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from feilun.errors import InvalidData

__all__ = ["LONGEST", "flag", "plain", "tags_in"]

LONGEST = 100
"""Characters of a tag: a longer one is a sentence from the wrong column."""

_YES = frozenset({"1", "true", "yes", "y", "t", "x", "是", "有", "真", "对", "√", "✓", "✔", "☑"})
_NO = frozenset(
    {"0", "false", "no", "n", "f", "-", "–", "否", "无", "没有", "假", "错", "×", "✗", "✘", "☐"}
)
_NOTHING = frozenset({"", "nan", "null", "none", "n/a", "na", "#n/a"})
_SIGNS = (r"\|", r"[;；]", r"\n", r"\t", r"[,，、]")
"""What may stand between two tags. The first that occurs parts them, so that ``food, drink|travel``
are two."""
_HASHTAGS = re.compile(r"#[^\s#]+(\s*#[^\s#]+)*#?")
_LISTS = ("tags", "labels", "label", "choices")
_NAMES = ("label", "name", "tag")


def flag(value: Any) -> bool | None:
    """Whether a cell says yes; None where it says nothing. Raises `ValueError` for anything else
    than yes and no, in digits, words or marks, English or Chinese."""
    if value is None or isinstance(value, bool) or value != value:
        return value if isinstance(value, bool) else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    word = unicodedata.normalize("NFKC", str(value)).strip().casefold()
    word = word.removesuffix(".0")
    if word in _NOTHING:
        return None
    if word in _YES or word in _NO:
        return word in _YES
    raise ValueError(word)


def tags_in(value: Any) -> list[str] | None:
    """The tags in a cell or in a correction, sorted, each once; None where it says nothing.

    A list, JSON's or Python's; a text with tags between ``|``, ``;``, ``,``, ``、``, ``#``, tabs or
    line ends; a mapping with such a list (an answer that was put right), or of names to yes and no.
    A JSON list is taken as it is, so its tags may have any sign. Raises `InvalidData` saying what
    is wrong with what.
    """
    if isinstance(value, str):
        value = _in_text(value)
    if value is None or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, Mapping):
        held = next((value[name] for name in _LISTS if isinstance(value.get(name), list)), None)
        value = _chosen(value) if held is None else held
        if value is None:
            return None
    if isinstance(value, list | tuple | set | frozenset):
        return sorted({_name(one, place) for place, one in enumerate(value, 1)})
    if isinstance(value, bool | int | float):
        return [_name(value, 1)]
    raise InvalidData("tags.not_a_list", given=type(value).__name__)


def _in_text(text: str) -> Any:
    """What a text lists; None for an empty one."""
    text = text.strip()
    if text.casefold() in _NOTHING:
        return None
    if text.startswith(("[", "{")):
        return _json(text)
    if _HASHTAGS.fullmatch(text):
        return [part for part in text.replace("#", " ").split() if part]
    for sign in _SIGNS:
        if re.search(sign, text):
            return [part for part in map(str.strip, re.split(sign, text)) if part] or None
    pieces = [part.strip() for part in text.split("#")]
    return pieces if all(pieces) else [text]  # C# is one tag


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        # pandas writes a list as Python does: ['a', 'b'].
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = None
    if isinstance(found, list | tuple | set | dict):
        return found
    raise InvalidData("tags.not_json", given=text[:40])


def _chosen(flags: Mapping[str, Any]) -> list[str] | None:
    """The names that are marked with yes; None where nothing is said of any."""
    chosen, said = [], False
    for name, value in flags.items():
        try:
            found = flag(value)
        except ValueError:
            raise InvalidData("tags.not_yes_no", column=name, given=str(value)[:40]) from None
        said |= found is not None
        if found:
            chosen.append(name)
    return chosen if said else None


def _name(value: Any, place: int) -> str:
    if isinstance(value, Mapping):
        value = next((value[name] for name in _NAMES if name in value), value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value != value:
        raise InvalidData("tags.no_name", place=place, given=str(value)[:40])
    name = unicodedata.normalize("NFC", str(value)).strip()
    if not name:
        raise InvalidData("tags.empty_name", place=place)
    if len(name) > LONGEST:
        raise InvalidData("tasks.label_too_long", start=name[:40], length=len(name), limit=LONGEST)
    return name


def plain(tags: Iterable[str]) -> str:
    """The canonical target."""
    return json.dumps(sorted(tags), ensure_ascii=False, separators=(",", ":"))
