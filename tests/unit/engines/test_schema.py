"""Schemas for what a model writes: refused where they could not be honoured, and then kept."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from feilun.engines._schema import check_schema, mismatch, mismatched
from feilun.errors import InvalidData

TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "minLength": 1},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["name", "next"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/node",
}
SCALARS: list[Any] = [
    {"type": "integer", "minimum": 0, "maximum": 3},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 2, "multipleOf": 0.5},
    {"type": ["string", "null"], "maxLength": 2},
    {"enum": [1, "a", None, True, [1], {"a": 1}]},
    {"const": False},
    {"type": "boolean"},
    True,
    False,
    {},
]
SCHEMAS = st.recursive(
    st.sampled_from(SCALARS),
    lambda one: st.one_of(
        st.fixed_dictionaries({"type": st.just("array"), "items": one, "maxItems": st.just(2)}),
        st.fixed_dictionaries(
            {
                "properties": st.dictionaries(st.sampled_from("ab"), one),
                "required": st.lists(st.sampled_from("ab"), unique=True),
                "additionalProperties": one,
            }
        ),
        *(
            st.fixed_dictionaries({name: st.lists(one, min_size=1, max_size=3)})
            for name in ("anyOf", "oneOf", "allOf")
        ),
    ),
    max_leaves=6,
)
VALUES = st.recursive(
    st.sampled_from([None, True, False, 0, 1, 1.0, 0.5, 3, 4, -1, "", "a", "abc"]),
    lambda one: st.one_of(st.lists(one, max_size=3), st.dictionaries(st.sampled_from("abc"), one)),
    max_leaves=6,
)


@example({"enum": [[1], {"a": 1}]}, [1.0])
@example({"const": {"a": [0]}}, {"a": [False]})
@example({"uniqueItems": True}, [[1], [1.0]])
@example({"enum": [1e300]}, 1e300)
@example({"uniqueItems": True}, [[0.5], [0.5]])
@settings(max_examples=150, deadline=None)
@given(SCHEMAS, VALUES)
def test_what_fits_is_what_another_validator_lets_pass(schema: Any, value: Any) -> None:
    ours = mismatch(value, schema) is None
    assert ours == jsonschema_rs.Draft202012Validator(schema).is_valid(value)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{"name": "a", "next": {"name": "b", "next": null}}', None),
        (' {"name": "a", "next": null}\n', None),
        ('{"name": "a", "next": {"name": "", "next": null}}', "$"),
        ('{"name": "a"}', "$.next"),
        ('{"name": 1, "next": null}', "$.name"),
        ('{"name": "a", "next": null, "x": 1}', "$.x"),
        ('{"name": "a", "next": null', "$"),
        ('{"name": "a", "next": null} and more', "$"),
        ("[" * 100_000, "$"),
        ("NaN", "$"),
        ("", "$"),
        ("\ud800", "$"),
    ],
)
def test_a_recursive_schema_is_followed(text: str, where: str | None) -> None:
    check_schema(TREE)
    found = mismatched(text, TREE)
    assert found == where or (where == "$" and found is not None)


def test_a_hard_question_ends() -> None:
    """Two ways at each of 60 levels would be 2 to the 60 looks, and the last of them all fails."""
    one = {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}
    schema = {"anyOf": [{"const": 1}, one, {**one, "maxItems": 1}]}
    check_schema(schema)
    value: Any = 2
    for _ in range(60):
        value = {"a": value}
    assert mismatch(value, schema) is not None


@pytest.mark.parametrize(
    ("schema", "code", "param"),
    [
        ("text", "chat.schema_value", "schema"),
        ({"type": "text"}, "chat.schema_value", "schema.type"),
        ({"type": []}, "chat.schema_value", "schema.type"),
        ({"properties": {"a": {"pattern": "x"}}}, "chat.schema_keyword", "schema.properties.a"),
        ({"items": {"if": True}}, "chat.schema_keyword", "schema.items"),
        ({"properties": ["a"]}, "chat.schema_value", "schema.properties"),
        ({"required": "a"}, "chat.schema_value", "schema.required"),
        ({"enum": []}, "chat.schema_value", "schema.enum"),
        ({"anyOf": [1]}, "chat.schema_value", "schema.anyOf[0]"),
        ({"minimum": "1"}, "chat.schema_value", "schema.minimum"),
        ({"multipleOf": 0}, "chat.schema_value", "schema.multipleOf"),
        ({"format": "color"}, "chat.schema_value", "schema.format"),
        ({"$ref": "https://example.com/x"}, "chat.schema_no_target", "schema"),
        ({"$ref": "#/$defs/a"}, "chat.schema_no_target", "schema"),
        ({"$ref": "#"}, "chat.schema_circle", "schema"),
        ({"anyOf": [{"type": "null"}, {"$ref": "#"}]}, "chat.schema_circle", "schema.anyOf[1]"),
        (
            {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"allOf": [{"$ref": "#/$defs/a"}]}}},
            "chat.schema_circle",
            "schema.$defs.a",
        ),
        ({"description": "x" * 100_000}, "chat.schema_too_large", "schema"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_its_name(schema: Any, code: str, param: str) -> None:
    with pytest.raises(InvalidData) as caught:
        check_schema(schema)
    assert (caught.value.code, caught.value.params["param"]) == (code, param)
    assert caught.value.message("en") != caught.value.message("zh")


def test_depth_is_limited() -> None:
    schema: Any = {}
    for _ in range(40):
        schema = {"items": schema}
    with pytest.raises(InvalidData) as caught:
        check_schema(schema)
    assert caught.value.code == "chat.schema_too_deep"


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        ("date-time", "2026-11-29T14:00:00Z", "29.11.2026"),
        ("date", "2026-11-29", "2026-13-01"),
        ("uuid", "0b6c4a5e-3f0e-4f6a-9a93-6f3f5d1a2b3c", "0b6c"),
        ("ipv4", "10.0.0.1", "10.0.0.256"),
        ("email", "ada@example.com", "ada"),
    ],
)
def test_formats_are_kept(form: str, good: str, bad: str) -> None:
    schema = {"type": "string", "format": form}
    check_schema(schema)
    assert mismatched(json.dumps(good), schema) is None
    assert mismatched(json.dumps(bad), schema) == "$"
