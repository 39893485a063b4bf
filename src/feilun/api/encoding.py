"""JSON of the API's answers."""

from __future__ import annotations

from typing import Any

import msgspec

from feilun.messages import Sentence

__all__ = ["encode"]


def _plain(value: Any) -> str:
    """The text of a `Sentence`: the encoder takes none of the kinds of str that know more."""
    if isinstance(value, Sentence):
        return str(value)
    raise TypeError(f"Encoding objects of type {type(value).__name__} is unsupported")


encode = msgspec.json.Encoder(enc_hook=_plain).encode
"""UTF-8 of what msgspec can write, sentences of feilun among it. Raises `TypeError` for others."""
