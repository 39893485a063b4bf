"""``feilun.json``: what a folder of weights says of itself.

Every folder that an engine can load (a trained version, a variant) holds one. It names the format
and all that is needed to answer: task, schema, operating point. Times and metrics of a version live
in the catalog, because hashes cover content alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from feilun.errors import CorruptArtifact
from feilun.types import Schema

__all__ = ["ALONE", "FILE", "PARTS", "WITHOUT", "Card", "parts_of", "read_card", "write_card"]

FILE = "feilun.json"
PARTS, ALONE, WITHOUT = "parts", "alone-", "without-"
"""The folder in which a version keeps what was taught by some of its columns, for comparison, and
how these versions are called before the name of a modality."""


@dataclass(frozen=True, slots=True)
class Card:
    """`format` is ``linear``, ``head``, ``transformers`` or ``openvino`` and decides the engine.

    `method` trained it; `config` is that method's resolved settings. `precision` is ``fp32``,
    ``bf16`` or ``int8``. `extra` holds what only this format needs. `point` is the operating
    point, by which the task's family turns raw outputs into answers; in the file its keys stand
    beside the others.
    """

    format: str
    schema: Schema
    method: str
    precision: str = "fp32"
    config: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    point: Mapping[str, Any] = field(default_factory=dict)


_OWN = {one.name for one in fields(Card)} - {"point"}


def write_card(folder: Path, card: Card) -> None:
    """Writes ``feilun.json`` with sorted keys, so that equal cards are equal bytes."""
    plain = asdict(card)
    plain |= plain.pop("point")
    text = json.dumps(plain, ensure_ascii=False, indent=2, sort_keys=True)
    (folder / FILE).write_text(text + "\n", "utf-8")


def parts_of(folder: Path) -> dict[str, Path]:
    """The versions that `folder` keeps for comparison, by their names."""
    return {one.name: one for one in sorted((folder / PARTS).glob("*")) if one.is_dir()}


def read_card(folder: Path) -> Card:
    """The card of `folder`. Raises `CorruptArtifact` when it is missing or not one."""
    try:
        raw = json.loads((folder / FILE).read_text("utf-8"))
        schema = raw.pop("schema")
        schema["labels"] = tuple(schema["labels"])
        own = {key: raw.pop(key) for key in list(raw) if key in _OWN}
        return Card(schema=Schema(**schema), point=raw, **own)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptArtifact("engines.bad_card", folder=folder, reason=repr(error)) from None
