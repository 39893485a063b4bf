"""JSON Schema for what a model writes: which schemas are taken, and whether a value fits one.

Taken is what structured outputs and tools use: types, properties, items, enumerations, limits,
`anyOf` and references within the schema. A keyword that would not be honoured is refused by its
name, never skipped, so that what passes fits all that was asked. ``pattern`` is none of them: an
expression of a caller's may take for ever to match.

https://json-schema.org/draft/2020-12
"""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time
from typing import Any

import msgspec

from feilun.errors import InvalidData

__all__ = ["MAX_SCHEMA", "check_schema", "mismatch", "mismatched"]

MAX_SCHEMA = 64 * 1024
"""Bytes of a schema as JSON."""
_DEPTH = 32
_STEPS = 200_000
"""Pairs of a value and a schema that are looked at for one answer."""

_NOTES = frozenset(
    {"$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated"}
)
_LIMITS: dict[str, tuple[type, ...]] = {
    "minimum": (int, float),
    "maximum": (int, float),
    "exclusiveMinimum": (int, float),
    "exclusiveMaximum": (int, float),
    "multipleOf": (int, float),
    "minLength": (int,),
    "maxLength": (int,),
    "minItems": (int,),
    "maxItems": (int,),
}
_SEVERAL = ("anyOf", "oneOf", "allOf")
_OWN = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "enum", "const", "format"}
    | {"$ref", "$defs", "definitions", "uniqueItems", *_SEVERAL, *_LIMITS}
)
_TYPES = ("string", "number", "integer", "boolean", "object", "array", "null")
_FORMATS: dict[str, Callable[[str], Any]] = {
    "date-time": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "uuid": uuid.UUID,
    "ipv4": ipaddress.IPv4Address,
    "ipv6": ipaddress.IPv6Address,
    "email": lambda text: _part(text, "@"),
}

_encode = msgspec.json.Encoder(order="deterministic").encode
_Schema = Mapping[str, Any] | bool


def check_schema(schema: Any, param: str = "schema") -> None:
    """Raises `InvalidData` naming what is wrong, and where below `param`: a keyword that is not
    taken, a value that it cannot have, a reference to nothing or in a circle, or too large."""
    size = len(_encode(schema))
    if size > MAX_SCHEMA:
        raise InvalidData("chat.schema_too_large", given=size, limit=MAX_SCHEMA, param=param)
    if not isinstance(schema, Mapping):
        raise _bad(param, "type")
    _check(schema, schema, param, 0)


def mismatched(text: str, schema: _Schema | None) -> str | None:
    """Where the JSON `text` does not fit `schema` (None: any object will do), as ``$.price``; None
    where it fits."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return "$"
    if schema is None:
        return None if isinstance(value, dict) else "$"
    return mismatch(value, schema)


def mismatch(value: Any, schema: _Schema) -> str | None:
    """Where `value` does not fit `schema`, which `check_schema` has passed; None where it fits."""
    try:
        return _Match(schema).look(value, schema, "$")
    except (RecursionError, OverflowError):
        return "$"


def _check(schema: Any, root: Mapping[str, Any], where: str, depth: int) -> None:
    if isinstance(schema, bool):
        return
    if not isinstance(schema, Mapping):
        raise _bad(where, "type")
    if depth > _DEPTH:
        raise InvalidData("chat.schema_too_deep", limit=_DEPTH, param=where)
    for name, value in schema.items():
        if name not in _OWN and name not in _NOTES:
            raise InvalidData("chat.schema_keyword", name=name[:80], param=where)
        if not _sound(name, value):
            raise _bad(f"{where}.{name}", name)
    if "$ref" in schema:
        _circle(schema, root, where)
    for name, part in _parts(schema):
        _check(part, root, f"{where}.{name}", depth + 1)


def _parts(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The schemas in `schema`."""
    for group in ("properties", "$defs", "definitions"):
        for name, part in schema.get(group, {}).items():
            yield f"{group}.{name[:80]}", part
    for name in ("items", "additionalProperties"):
        if name in schema:
            yield name, schema[name]
    for group in _SEVERAL:
        for place, part in enumerate(schema.get(group, ())):
            yield f"{group}[{place}]", part


def _sound(name: str, value: Any) -> bool:
    """Whether the keyword `name` can have `value`."""
    if name == "type":
        named = value if isinstance(value, list) and value else [value]
        return all(isinstance(one, str) and one in _TYPES for one in named)
    if name in ("properties", "$defs", "definitions"):
        return isinstance(value, Mapping)
    if name == "required":
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    if name == "enum" or name in _SEVERAL:
        return isinstance(value, list) and bool(value)
    if name == "format":
        return isinstance(value, str) and value in _FORMATS
    if name == "uniqueItems":
        return isinstance(value, bool)
    if name == "$ref":
        return isinstance(value, str)
    if name in _LIMITS:
        known = isinstance(value, _LIMITS[name]) and not isinstance(value, bool)
        return known and (value > 0 or name != "multipleOf")
    return True


def _circle(schema: Mapping[str, Any], root: Mapping[str, Any], where: str) -> None:
    """Raises `InvalidData` for references that lead to nothing, or back to themselves before a
    property or an item lies between: to judge by them would never end."""
    seen: set[int] = set()
    waiting: list[Any] = []
    one: Any = schema
    while True:
        for group in _SEVERAL:
            waiting += one[group] if isinstance(one.get(group), list) else []
        if isinstance(one.get("$ref"), str):
            target = _target(root, one["$ref"])
            if target is None:
                raise InvalidData("chat.schema_no_target", given=one["$ref"][:80], param=where)
            waiting.append(target)
        waiting = [each for each in waiting if isinstance(each, Mapping) and id(each) not in seen]
        if not waiting:
            return
        one = waiting.pop()
        seen.add(id(one))
        if one is schema:
            raise InvalidData("chat.schema_circle", given=schema["$ref"][:80], param=where)


def _target(root: Mapping[str, Any], ref: str) -> Any:
    """What ``#/$defs/name`` refers to; None for nothing."""
    if ref != "#" and not ref.startswith("#/"):
        return None
    found: Any = root
    for part in ref.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping):
            found = found.get(name)
        elif isinstance(found, list) and name.isdigit() and int(name[:9]) < len(found):
            found = found[int(name[:9])]
        else:
            return None
    return found if isinstance(found, Mapping | bool) else None


def _bad(where: str, name: str) -> InvalidData:
    return InvalidData("chat.schema_value", name=name, param=where)


class _Match:
    """One value beside one schema. What has been looked at is not looked at again."""

    def __init__(self, root: _Schema) -> None:
        self._root = root
        self._known: dict[tuple[int, int], str | None] = {}

    def look(self, value: Any, schema: _Schema, where: str) -> str | None:
        """Where `value` does not fit; None where it does."""
        if isinstance(schema, bool):
            return None if schema else where
        if isinstance(value, dict | list):
            pair = id(value), id(schema)
            if pair not in self._known:
                if len(self._known) > _STEPS:
                    return where
                self._known[pair] = self._looked(value, schema, where)
            return self._known[pair]
        return self._looked(value, schema, where)

    def _looked(self, value: Any, schema: Mapping[str, Any], where: str) -> str | None:
        types = schema.get("type")
        if types is not None:
            named = types if isinstance(types, list) else [types]
            if not any(_is(value, one) for one in named):
                return where
        if "const" in schema and _key(value) != _key(schema["const"]):
            return where
        if "enum" in schema and _key(value) not in map(_key, schema["enum"]):
            return where
        if not _within(value, schema):
            return where
        return self._combined(value, schema, where) or self._inside(value, schema, where)

    def _combined(self, value: Any, schema: Mapping[str, Any], where: str) -> str | None:
        if "$ref" in schema:
            assert isinstance(self._root, Mapping)
            found = self.look(value, _target(self._root, schema["$ref"]), where)
            if found is not None:
                return found
        for part in schema.get("allOf", ()):
            found = self.look(value, part, where)
            if found is not None:
                return found
        if "anyOf" in schema and all(self.look(value, one, where) for one in schema["anyOf"]):
            return where
        if "oneOf" in schema:
            fits = sum(self.look(value, one, where) is None for one in schema["oneOf"])
            return None if fits == 1 else where
        return None

    def _inside(self, value: Any, schema: Mapping[str, Any], where: str) -> str | None:
        if isinstance(value, list):
            items = schema.get("items", True)
            for place, one in enumerate(value):
                found = self.look(one, items, f"{where}[{place}]")
                if found is not None:
                    return found
        if isinstance(value, dict):
            known = schema.get("properties", {})
            for name in schema.get("required", ()):
                if name not in value:
                    return f"{where}.{name}"
            others = schema.get("additionalProperties", True)
            for name, one in value.items():
                found = self.look(one, known.get(name, others), f"{where}.{name}")
                if found is not None:
                    return found
        return None


def _is(value: Any, kind: str) -> bool:
    if kind == "null":
        return value is None
    if kind == "boolean" or isinstance(value, bool):
        return kind == "boolean" and isinstance(value, bool)
    if kind == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    kinds: dict[str, Any] = {
        "string": str,
        "number": (int, float),
        "object": dict,
        "array": list,
    }
    return isinstance(value, kinds[kind])


def _within(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether the limits of its type hold for a value."""
    if isinstance(value, str):
        return _between(len(value), schema, "Length") and _formed(value, schema.get("format"))
    if isinstance(value, list):
        if schema.get("uniqueItems") and len({_key(one) for one in value}) < len(value):
            return False
        return _between(len(value), schema, "Items")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True
    step = schema.get("multipleOf")
    return (
        value >= schema.get("minimum", value)
        and value <= schema.get("maximum", value)
        and ("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"])
        and ("exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"])
        and (step is None or abs(value / step - round(value / step)) < 1e-9)
    )


def _between(size: int, schema: Mapping[str, Any], what: str) -> bool:
    return bool(schema.get(f"min{what}", size) <= size <= schema.get(f"max{what}", size))


def _formed(text: str, form: str | None) -> bool:
    if form is None:
        return True
    try:
        _FORMATS[form](text)
    except ValueError:
        return False
    return True


def _part(text: str, sign: str) -> None:
    before, _, after = text.partition(sign)
    if not before or not after or sign in after or any(one.isspace() for one in text):
        raise ValueError(text)


def _number(text: str) -> float | int:
    number = float(text)
    return int(number) if number.is_integer() else number


_with_whole_numbers = msgspec.json.Decoder(float_hook=_number).decode


def _key(value: Any) -> bytes:
    """Equal for equal JSON: true is not 1, but 1.0 is, also inside of lists and objects."""
    return _encode(_with_whole_numbers(_encode(value)))
