"""Sentences that are kept by key and parameters, to be said again in the reader's language."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from feilun.messages import Sentence, t

__all__ = ["from_kept", "to_kept"]

_KEY = "sentence"


def to_kept(words: str) -> Any:
    """A JSON value of which `from_kept` makes `words` again, in the language then in force. Text
    that is no sentence of the catalogue, as names and paths are, stays as it is."""
    if not isinstance(words, Sentence):
        return words
    params = {name: _plain(value) for name, value in words.params.items()}
    return {_KEY: words.key, "params": params, "text": str(words)}


def from_kept(raw: Any) -> str:
    """What `to_kept` kept. The text as it was said then where it was kept alone, as earlier
    versions did, or where the sentence is gone."""
    if not isinstance(raw, Mapping):
        return str(raw)
    try:
        return t(raw[_KEY], **{name: _said(value) for name, value in raw["params"].items()})
    except (KeyError, IndexError, ValueError, TypeError):
        return str(raw["text"])


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


def _said(value: Any) -> Any:
    if isinstance(value, Mapping):
        return from_kept(value) if _KEY in value else {n: _said(one) for n, one in value.items()}
    return [_said(one) for one in value] if isinstance(value, list) else value
