"""Inputs as the prediction log keeps them: JSON text, with bytes put into the blob folder.

Bytes appear in the JSON as ``{"$blob": "<sha256>"}``. A caller's mapping of one key ``$blob`` is
therefore kept as ``{"$item": {...}}``, so that nobody can name a stranger's blob.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from feilun.store.blobs import Blobs
from feilun.store.columns import dump_json
from feilun.types import Item, Scalar

__all__ = ["pack", "unpack"]


def pack(item: Item, blobs: Blobs) -> tuple[str, str, list[str]]:
    """`item` as JSON text, the sha256 of it, and the hashes of the blobs it refers to."""
    names: list[str] = []

    def scalar(value: Scalar) -> object:
        if isinstance(value, (bytes, bytearray, memoryview)):
            names.append(blobs.put(bytes(value)))
            return {"$blob": names[-1]}
        return value

    if isinstance(item, Mapping):
        packed: object = {"$item": {str(name): scalar(value) for name, value in item.items()}}
    else:
        packed = scalar(item)
    text = dump_json(packed)
    return text, hashlib.sha256(text.encode()).hexdigest(), names


def unpack(text: str, blobs: Blobs) -> tuple[Item, bool]:
    """The item of `pack`, and whether all of its bytes are still there."""
    whole = True

    def scalar(value: object) -> Scalar:
        nonlocal whole
        if isinstance(value, Mapping):
            content = blobs.get(str(value["$blob"]))
            whole = whole and content is not None
            return content
        return value  # type: ignore[return-value]

    packed = json.loads(text)
    if isinstance(packed, Mapping) and "$item" in packed:
        return {name: scalar(value) for name, value in packed["$item"].items()}, whole
    return scalar(packed), whole
