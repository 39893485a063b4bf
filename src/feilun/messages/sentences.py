"""Sentences that are kept by key and parameters, to be said again in the reader's language."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from feilun.messages import Language, Sentence, hint, t

__all__ = [
    "from_kept",
    "hint_from_kept",
    "params_from_kept",
    "params_to_kept",
    "said_again",
    "to_kept",
]

_KEY = "sentence"


def to_kept(words: str) -> Any:
    """A JSON value of which `from_kept` makes `words` again, in the language then in force. Text
    that is no sentence of the catalogue, as names and paths are, stays as it is."""
    if not isinstance(words, Sentence):
        return words
    return {_KEY: words.key, "params": params_to_kept(words.params), "text": str(words)}


def from_kept(raw: Any, lang: Language | None = None) -> str:
    """What `to_kept` kept, in `lang` (default: the language in force). The text as it was said then
    where it was kept alone, as earlier versions did, or where the sentence is gone."""
    if not isinstance(raw, Mapping):
        return str(raw)
    try:
        return t(raw[_KEY], lang, **params_from_kept(raw["params"], lang))
    except (KeyError, IndexError, ValueError, TypeError):
        return str(raw["text"])


def hint_from_kept(raw: Any) -> str:
    """What to do next, for the sentence that `to_kept` kept; empty where that cannot be said."""
    if not isinstance(raw, Mapping):
        return ""
    try:
        return hint(raw[_KEY], **params_from_kept(raw["params"]))
    except (KeyError, IndexError, ValueError, TypeError):
        return ""


def params_to_kept(params: Mapping[str, Any]) -> dict[str, Any]:
    """JSON values of what fills a sentence, of which `params_from_kept` makes them again."""
    return {name: _plain(value) for name, value in params.items()}


def params_from_kept(raw: Mapping[str, Any], lang: Language | None = None) -> dict[str, Any]:
    """What `params_to_kept` kept, sentences among it in `lang`."""
    return {name: _said(value, lang) for name, value in raw.items()}


def said_again(value: Any) -> Any:
    """The JSON `value`, each `Sentence` in it in the language now in force."""
    return _said(_plain(value), None)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return to_kept(value)
    if hasattr(value, "item"):  # of numpy
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    return str(value)


def _said(value: Any, lang: Language | None) -> Any:
    if isinstance(value, Mapping):
        return from_kept(value, lang) if _KEY in value else params_from_kept(value, lang)
    return [_said(one, lang) for one in value] if isinstance(value, list) else value
