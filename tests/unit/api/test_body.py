"""Bodies: limits while reading, types while decoding, each fault with its place."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feilun.api.body import Disconnected, PredictBody, decode, read_body, to_items
from feilun.api.errors import error_body, language_of
from feilun.errors import EnvironmentProblem, FeilunError, InvalidData, PayloadTooLarge
from feilun.types import Item

DECODER = msgspec.json.Decoder(PredictBody)


def items(raw: bytes | str, most: int = 10) -> list[Item]:
    return to_items(decode(DECODER, raw.encode() if isinstance(raw, str) else raw), most)


def read(parts: Sequence[bytes | None], limit: int = 10, length: str = "") -> bytes:
    """Reads a body that arrives in `parts`; None is the client going away."""
    waiting = list(parts)

    async def receive() -> MutableMapping[str, Any]:
        part = waiting.pop(0)
        if part is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": part, "more_body": bool(waiting)}

    headers = {b"content-length": length.encode()} if length else {}
    return asyncio.run(read_body(receive, headers, limit))


def test_a_body_arrives_in_pieces() -> None:
    assert read([b"123", b"", b"456"]) == b"123456"
    assert read([b""]) == b""
    assert read([b"1234567890"]) == b"1234567890"


@pytest.mark.parametrize(
    "parts", [[b"12345678901"], [b"123456", b"78901"], [b"1" * 20, b"2", b"3"]]
)
def test_a_body_beyond_the_limit_is_refused(parts: list[bytes]) -> None:
    with pytest.raises(PayloadTooLarge) as caught:
        read(parts)
    assert caught.value.status == 413


def test_it_is_refused_before_it_is_read_where_it_says_so() -> None:
    with pytest.raises(PayloadTooLarge):
        read([], length="11")
    assert read([b"1"], length="9" * 5 + "x") == b"1"


@pytest.mark.parametrize("parts", [[None], [b"1", None], [b"1", b"2", None]])
def test_a_client_that_goes_away(parts: list[bytes | None]) -> None:
    with pytest.raises(Disconnected):
        read(parts)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ('{"inputs": "one"}', ["one"]),
        ('{"inputs": ["one", "", 3, 2.5, true, null]}', ["one", "", 3, 2.5, True, None]),
        ('{"inputs": {"text": "one"}}', [{"text": "one"}]),
        ('{"inputs": {"$base64": "iVBORw=="}}', [b"\x89PNG"]),
        ('{"inputs": [{"image": {"$base64": "iVBORw=="}}]}', [{"image": b"\x89PNG"}]),
        ('{"inputs": ["\\ud83d\\ude00 很好"]}', ["😀 很好"]),
        ('{"inputs": {"$base64": ""}}', [b""]),
        (b'\xef\xbb\xbf{"inputs": "one"}', ["one"]),
        ('{"inputs": ["\\ud83d\\ude00", "half \\ud83d of"]}', ["😀", "half \ufffd of"]),
        ('{"inputs": ["\\uDE00", "\\ud83d\\ud83D\\ude00"]}', ["\ufffd", "\ufffd😀"]),
        ('{"inputs": ["\\ud83d\\u0041", "\\\\ud83d"]}', ["\ufffdA", "\\ud83d"]),
        ('{"inputs": {"\\ud83d": "\\ud83d"}}', [{"\ufffd": "\ufffd"}]),
    ],
)
def test_inputs_in_all_their_forms(raw: str | bytes, expected: list[Item]) -> None:
    assert items(raw) == expected


@pytest.mark.parametrize(
    ("raw", "status", "code", "param"),
    [
        (b"", 400, "api.not_json", None),
        (b"\x00", 400, "api.not_json", None),
        (b"inputs=one", 400, "api.not_json", None),
        (b'{"inputs": "one"', 400, "api.not_json", None),
        (b'{"inputs": "one"} x', 400, "api.not_json", None),
        (b'{"inputs": "\xff"}', 400, "api.not_json", None),
        (b'{"inputs": "\\ud80"}', 400, "api.not_json", None),
        (b'{"inputs": "' + b"\\ud83dx" * 20_000 + b'"}', 400, "api.not_json", None),
        (b'{"inputs": NaN}', 400, "api.not_json", None),
        (b"\xef\xbb\xbf", 400, "api.not_json", None),
        (b"\xef\xbb\xbf{}", 422, "api.missing_field", "inputs"),
        (b"\xff\xfe{\x00}\x00", 400, "api.not_json", None),
        (b"null", 422, "api.wrong_type", "body"),
        (b"[]", 422, "api.wrong_type", "body"),
        (b"[" * 100_000, 422, "api.wrong_type", "body"),
        (b"{}", 422, "api.missing_field", "inputs"),
        (b'{"inputs": "a", "text": "b"}', 422, "api.unknown_field", "text"),
        (b'{"inputs": "a", "' + b"x" * 500 + b'": 1}', 422, "api.unknown_field", "x" * 80),
        (b'{"inputs": "a", "model": 3}', 422, "api.wrong_type", "model"),
        (b'{"inputs": "a", "all_scores": "yes"}', 422, "api.wrong_type", "all_scores"),
        (b'{"inputs": [["a"]]}', 422, "api.wrong_type", "inputs[0]"),
        (b'{"inputs": ["a", ["b"]]}', 422, "api.wrong_type", "inputs[1]"),
        (b'{"inputs": ' + b'{"a":' * 100_000, 422, "api.wrong_type", None),
        (b'{"inputs": 1e999}', 422, "api.wrong_value", "inputs"),
        (b'{"inputs": ' + b"9" * 5000 + b"}", 422, "api.wrong_value", "inputs"),
        (b'{"inputs": []}', 422, "api.no_inputs", "inputs"),
        (b'{"inputs": {}}', 422, "api.empty_input", "inputs"),
        (b'{"inputs": ["a", {}]}', 422, "api.empty_input", "inputs[1]"),
        (b'{"inputs": ' + b'["a"' + b',"a"' * 10 + b"]}", 413, "api.too_many_inputs", "inputs"),
        (b'{"inputs": ["a", {"$base64": "?"}]}', 422, "api.bad_base64", "inputs[1]"),
        (b'{"inputs": {"i": {"$base64": "AA"}}}', 422, "api.bad_base64", "inputs.i"),
        (b'{"inputs": {"i": {"base64": "AAAA"}}}', 422, "api.bad_tag", "inputs.i"),
        (b'{"inputs": {"$base64": "AAAA", "x": "y"}}', 422, "api.bad_tag", "inputs"),
        (b'{"inputs": {"$base64": 3}}', 422, "api.bad_tag", "inputs"),
        (b'{"inputs": {"i": {"$base64": 3}}}', 422, "api.wrong_type", None),
    ],
)
def test_a_wrong_body_is_told_what_and_where(
    raw: bytes, status: int, code: str, param: str | None
) -> None:
    with pytest.raises(FeilunError) as caught:
        items(raw)
    error = caught.value
    assert (error.status, error.code) == (status, code)
    if param is not None:
        assert error.params["param"] == param
    for lang in ("en", "zh"):
        assert error.message(lang)  # type: ignore[arg-type]


def test_a_text_beyond_the_limit() -> None:
    with pytest.raises(PayloadTooLarge) as caught:
        items('{"inputs": ["a", "%s"]}' % ("x" * 1_000_001))
    assert caught.value.params["param"] == "inputs[1]"


def status_of(raw: bytes) -> int:
    try:
        items(raw)
    except FeilunError as error:
        return error.status
    return 200


@given(st.binary(max_size=200))
def test_any_bytes_are_either_inputs_or_our_error(raw: bytes) -> None:
    assert status_of(raw) in (200, 400, 413, 422)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["text", "$base64", "a"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["inputs", "model", "all_scores"]), json_values))
def test_any_json_is_either_inputs_or_our_error(value: dict[str, Any]) -> None:
    assert status_of(msgspec.json.encode(value)) in (200, 413, 422)


@pytest.mark.parametrize(
    ("header", "lang"),
    [
        ("", None),
        ("zh", "zh"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-US,en;q=0.5", "en"),
        ("en;q=0.2, zh-Hans;q=0.4", "zh"),
        ("fr, de;q=0.7", None),
        ("zhx", None),
        ("zh;q=x, en", "en"),
        ("," * 1000, None),
        ("\xff\xfe", None),
    ],
)
def test_the_language_of_a_caller(header: str, lang: str | None) -> None:
    assert language_of({b"accept-language": header.encode("latin-1")}) == lang


def test_an_unknown_failure_shows_nothing_of_itself() -> None:
    status, body = error_body(RuntimeError("password=hunter2"), "req_1", "zh")
    error = msgspec.json.decode(body)["error"]
    assert status == 500
    assert (error["code"], error["request_id"]) == ("api.internal", "req_1")
    assert "req_1" in error["message"]
    assert b"hunter2" not in body


def test_a_problem_of_the_machine_shows_no_path() -> None:
    problem = EnvironmentProblem("store.database_busy", path="/srv/secret/ledger.db", seconds=30)
    status, body = error_body(problem, "req_1")
    assert status == 503
    assert b"secret" not in body


def test_an_error_of_the_caller_is_told_in_full() -> None:
    status, body = error_body(InvalidData("api.no_inputs", param="inputs"), "req_1", "zh")
    error = msgspec.json.decode(body)["error"]
    assert status == 422
    assert error["param"] == "inputs"
    assert error["type"] == "invalid_request_error"
    assert "至少" in error["message"]
