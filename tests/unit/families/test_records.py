"""Records: what a cell says, how answers are told, and values where they stand in a text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from feilun.errors import InvalidData
from feilun.families.records import RECORDS, Field
from feilun.metrics.comparison import values
from feilun.metrics.json_texts import as_object
from feilun.modalities.text import sequence
from feilun.modalities.text.values import Reading, places
from feilun.types import Schema


def test_what_says_nothing_is_left_out_and_the_order_of_names_does_not_count() -> None:
    said = '{"a":{"b":1},"c":"x","e":["y",2]}'
    given: dict[str, Any] = {"e": ["y", "", 2.0], "c": " x ", "d": None, "f": "", "g": [], "h": {}}
    assert RECORDS.target({**given, "a": {"b": 1.0, "z": float("nan")}}) == said
    assert RECORDS.target(json.dumps({**given, "a": {"b": 1}})) == said
    assert RECORDS.target({}) == "{}"
    assert RECORDS.names([said, "{}"]) == ("a.b", "c", "e")
    assert RECORDS.relabelled(said, {"a.b": "n", "c": "a.d"}, {"e"}) == '{"a":{"d":"x"},"n":1}'


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("{", "records.not_json"),
        ("[1]", "records.no_object"),
        (b"{}", "records.no_object"),
        ({"a.b": 1}, "records.bad_name"),
        ({" ": 1}, "records.bad_name"),
        ({"a": [{"b": 1}]}, "records.bad_value"),
        ({"a": float("inf")}, "records.bad_value"),
        ({str(n): n for n in range(300)}, "records.too_many"),
        ('{"a":' * 9 + "1" + "}" * 9, "records.too_deep"),
        ('{"a":' * 100_000, "records.too_long"),
    ],
)
def test_what_is_no_record_is_refused(cell: Any, code: str) -> None:
    with pytest.raises(InvalidData) as caught:
        RECORDS.target(cell)
    assert caught.value.code == code
    assert caught.value.message("en") != caught.value.message("zh")


def test_an_answer_that_was_put_right_is_a_target() -> None:
    raw = [Field("a.b", 1, 0.5, 3, 4), Field("c", None, 0.8)]
    (output,) = RECORDS.decoder(Schema("extraction", ("a.b", "c")), {})([raw], True)  # type: ignore[arg-type]
    assert output["record"] == {"a": {"b": 1}, "c": None}
    assert output["score"] == RECORDS.sure(output) == pytest.approx(0.4)
    assert output["fields"]["a.b"] == {"score": 0.5, "start": 3, "end": 4}
    output["record"]["c"] = "x"
    assert RECORDS.target(output) == '{"a":{"b":1},"c":"x"}'


def test_a_field_is_right_when_its_value_is() -> None:
    truth = RECORDS.truth(['{"a":1,"b":"x"}', "{}"], ())
    raw = RECORDS.truth([None, None], ())
    raw[0] = [Field("a", 1, 0.9), Field("b", "y", 0.9), Field("c", None, 0.9)]
    raw[1] = []
    found = values(RECORDS.measured(truth, raw, (), {}))
    assert found == {"f1": 0.5, "precision": 0.5, "recall": 0.5, "exact_rows": 0.5}


@pytest.mark.parametrize(
    ("text", "value", "reading", "where"),
    [
        ("Ada and Adam", "Ada", "text", ["Ada"]),
        ("总额1,234.50元", 1234.5, "point", ["1,234.50"]),
        ("Summe 1.234,50 €, 12 Stück", 1234.5, "comma", ["1.234,50"]),
        ("1 234,50 and 12", 12, "comma", ["12"]),
        ("on 3 March 2024, or 2024-03-03.", "2024-03-03", "day_first",
         ["2024-03-03", "3 March 2024"]),
        ("03/04/2024", "2024-04-03", "day_first", ["03/04/2024"]),
        ("03/04/2024", "2024-03-04", "month_first", ["03/04/2024"]),
        ("2024年5月6日到货", "2024-05-06", "day_first", ["2024年5月6日"]),
        ("31.02.2024", "2024-02-31", "day_first", []),
        ("true 1", True, "point", []),
        ("9" * 400, float("1e300"), "point", []),
    ],
)  # fmt: skip
def test_values_are_found_where_they_stand(
    text: str, value: Any, reading: Reading, where: list[str]
) -> None:
    found = places(text, value, reading, sequence.tokens(text))
    assert sorted(text[start:end] for start, end in found) == where


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        (' ```\r\n{"a": 1}```\n', {"a": 1}),
        ('{"a": 1', None),
        ('```json\n{"a": 1}', None),
        ('{"a": NaN}', None),
        ("[1]", None),
        ('Here it is: {"a": 1}', None),
    ],
)
def test_json_is_read_also_in_a_code_fence(text: str, value: Any) -> None:
    assert as_object(text) == value
