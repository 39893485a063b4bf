"""Who asks for a recommendation, and what of it: one text, a user or JSON that says more."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as attribute
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np
from scipy.sparse import csr_matrix

from feilun.errors import InvalidData
from feilun.families.ranking import DEPTH
from feilun.modalities.table.described import columns_of
from feilun.types import Item

__all__ = ["LONGEST", "MOST", "Asker", "Marks", "canonical", "read", "write"]

LONGEST = 1000
"""Characters of a user's or an item's name."""
MOST = 10_000
"""Items of a history, of what is excluded, of candidates."""

_LISTS = ("history", "exclude", "candidates")
_KEYS = ("user", *_LISTS, "k", "columns", "item")
_WHOLE = re.compile(r"[-+]?\d+\.0+")


@dataclass(frozen=True, slots=True)
class Asker:
    """`user` (None for nobody in particular), the items of his `history`, which items to `exclude`,
    of which `candidates` to choose (None: of all), and how many (`k`; None: as many as usual).
    `columns` say what else is known of the user. `about` is an item that a row describes; as a
    question it asks for items that go with it."""

    user: str | None
    history: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    candidates: tuple[str, ...] | None = None
    k: int | None = None
    columns: Mapping[str, Any] = attribute(default_factory=dict)
    about: str | None = None


def canonical(item: Any) -> str:
    """`item`, a user or a mapping with any of the fields of `Asker`, as one text. Raises
    `InvalidData` for anything else, naming the field."""
    given = _mapping(item)
    if not given:
        return _name(item, "user")
    if not set(given) <= set(_KEYS):
        raise InvalidData("tasks.wrong_columns", given=sorted(map(str, given)), expected=_KEYS)
    if given.get("item") is not None and len(given) == 1:
        return _text({"item": _name(given["item"], "item")})
    who = ("user", "history", "columns")
    if "item" in given or all(given.get(one) is None for one in who):
        raise InvalidData("tasks.nobody_asks", given=sorted(given))
    user = given.get("user")
    if user is not None and len(given) == 1 and _mapping(user):
        return canonical(user)  # a whole request in the one column of a row
    found: dict[str, Any] = {} if user is None else {"user": _name(user, "user")}
    for field in _LISTS:
        if given.get(field) is not None:
            found[field] = _names(given[field], field)
    if given.get("k") is not None:
        found["k"] = _count(given["k"])
    if given.get("columns") is not None:
        if not isinstance(given["columns"], Mapping):
            raise InvalidData("tasks.not_columns", given=type(given["columns"]).__name__)
        found["columns"] = columns_of(given["columns"], "")
    if list(found) == ["user"] and not found["user"].startswith("{"):
        return str(found["user"])
    return _text(found)


def read(item: Item) -> Asker:
    """What a canonical text says."""
    text = str(item)
    if not text.startswith("{"):
        return Asker(text)
    found = json.loads(text)
    if "item" in found:
        return Asker(None, (found["item"],), about=found["item"])
    candidates = found.get("candidates")
    return Asker(
        found.get("user"),
        tuple(found.get("history", ())),
        tuple(found.get("exclude", ())),
        None if candidates is None else tuple(candidates),
        found.get("k"),
        found.get("columns", {}),
    )


def write(
    user: str | None, history: Sequence[str] = (), columns: Mapping[str, Any] | None = None
) -> str:
    """The canonical text of a user, a history, or both, and what else is known of him."""
    if user is not None and not history and not columns and not user.startswith("{"):
        return user
    found: dict[str, Any] = {} if user is None else {"user": user}
    if columns:
        found["columns"] = dict(columns)
    if history or user is None:
        found["history"] = list(dict.fromkeys(history))
    return _text(found)


class Marks:
    """A column for the user and one for each item of the history, by hash; nothing of the rest."""

    def __init__(self, bits: int) -> None:
        self.size = 1 << bits

    def transform(self, items: Sequence[Item]) -> csr_matrix:
        """See `Features`."""
        places: list[int] = []
        ends = [0]
        for item in items:
            asker = read(item)
            user = () if asker.user is None else (f"u{asker.user}",)
            names = [*user, *(f"i{one}" for one in asker.history)]
            places += sorted({self._place(name) for name in names})
            ends.append(len(places))
        values = np.ones(len(places), np.float32)
        return csr_matrix(
            (values, np.array(places, np.int32), np.array(ends)), (len(items), self.size)
        )

    def _place(self, name: str) -> int:
        digest = blake2b(name.encode("utf-8", "replace"), digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.size


def _mapping(value: Any) -> Mapping[str, Any]:
    """`value` where it is a mapping or the JSON of one; else nothing."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    if isinstance(value, Mapping) and not value:
        raise InvalidData("tasks.nobody_asks", given="{}")
    return value if isinstance(value, Mapping) else {}


def _name(value: Any, field: str) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    absent = value is None or (isinstance(value, float) and math.isnan(value))
    text = unicodedata.normalize("NFC", value).strip() if isinstance(value, str) else ""
    if absent or not text:
        given = repr(value[:40]) if isinstance(value, str) else type(value).__name__
        raise InvalidData("tasks.not_a_name", field=field, given=given)
    if len(text) > LONGEST:
        raise InvalidData("tasks.name_too_long", field=field, length=len(text), limit=LONGEST)
    return text.partition(".")[0] if _WHOLE.fullmatch(text) else text


def _names(value: Any, field: str) -> list[str]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    if not isinstance(value, list | tuple):
        raise InvalidData("tasks.not_a_list", field=field)
    if len(value) > MOST:
        raise InvalidData("tasks.list_too_long", field=field, length=len(value), limit=MOST)
    return list(dict.fromkeys(_name(one, field) for one in value))


def _count(value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= DEPTH:
        raise InvalidData("tasks.bad_k", given=str(value)[:40], limit=DEPTH)
    return value


def _text(found: Mapping[str, Any]) -> str:
    return msgspec.json.encode(dict(sorted(found.items()))).decode()
